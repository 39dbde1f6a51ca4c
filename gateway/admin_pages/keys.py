"""Virtual keys in the admin, with what they were used for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils.safestring import SafeString

from gateway.admin_pages.killing import KillingAdmin
from gateway.admin_pages.known_models import (
    CHAT,
    EMBEDDING,
    KnowsRelay,
    answering_first,
    current_view,
    known_models,
    mode_of,
)
from gateway.admin_pages.party_traffic import party_traffic
from gateway.admin_pages.playground_keys import PlaygroundFilter
from gateway.admin_pages.snippets import Call, Snippet, for_chat, for_embeddings, for_keys, for_models
from gateway.admin_pages.traffic import calls_and_tokens, figures, logs_url_with
from gateway.admin_pages.usage import NOTHING, last_day
from keys.admin import KeyChangeList, VirtualKeyAdmin
from keys.identity import INFERENCE, Identity
from keys.models import VirtualKey
from keys.permissions import may_use_model

MOST_LOOKED_AT = 200


class KeyUsageChangeList(KeyChangeList):
    """A page of keys with their usage, which takes one query for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        usage = last_day().per_key([key.pk for key in self.result_list])
        for key in self.result_list:
            key.usage = usage.get(key.pk, NOTHING)


class KeyTrafficAdmin(KnowsRelay, KillingAdmin, VirtualKeyAdmin):
    """Keys, and what they were used for."""

    list_display = (*VirtualKeyAdmin.list_display, "calls")
    list_filter = (*VirtualKeyAdmin.list_filter, PlaygroundFilter)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeyUsageChangeList

    @admin.display(description="calls, 24 h")
    def calls(self, key: Any) -> SafeString:
        return calls_and_tokens(key.usage)

    def facts(self, request: HttpRequest, row: VirtualKey) -> dict[str, Any]:
        return {
            **super().facts(request, row),
            "traffic": figures(last_day().per_key([row.pk]).get(row.pk, NOTHING)),
            "traffic_of": party_traffic(request, "key_id", row.pk),
            "logs_url": logs_url_with(request, key=str(row.pk)),
        }

    def snippets(self, request: HttpRequest, key: VirtualKey, plain: str) -> Sequence[Snippet]:
        """Programs for a model that the key may use, where one is known; a management key calls none, and lists keys.

        Those for a chat come first, of what the key may call.
        """
        return snippets_for(request, key, plain)


def snippets_for(request: HttpRequest, key: VirtualKey, plain: str) -> Sequence[Snippet]:
    """As `KeyTrafficAdmin.snippets`. `plain` may stand for a secret that nobody knows any more."""
    address = settings.PUBLIC_URL or request.build_absolute_uri("/")[:-1]
    if key.is_management:
        return for_keys(address, plain)
    model, mode = _example(key) if INFERENCE in key.endpoint_classes else (None, CHAT)
    if model is None:
        return for_models(address, plain)
    call = Call(address, plain, model)
    return for_embeddings(call) if mode == EMBEDDING else for_chat(call)


def _example(key: VirtualKey) -> tuple[str | None, str]:
    """A model that the key may ask for, and what it is for: one that somebody serves, or else one that its list names.

    A model for chats comes before all others, and one that an upstream answers for now before one that is away.
    """
    view = current_view()
    identity = Identity(key_id=key.pk, name=key.name, models=tuple(key.models), aliases=key.aliases)
    served = [one.name for one in known_models(view) if "*" not in one.name and may_use_model(identity, one.name)]
    modes = {name: mode_of(view, name) for name in answering_first(view, served[:MOST_LOOKED_AT])}
    chat = next((name for name, mode in modes.items() if mode == CHAT), None)
    if chat is not None:
        return chat, CHAT
    embedding = next((name for name, mode in modes.items() if mode == EMBEDDING), None)
    if embedding is not None:
        return embedding, EMBEDDING
    return next((model for model in key.models if "*" not in model and model not in modes), None), CHAT
