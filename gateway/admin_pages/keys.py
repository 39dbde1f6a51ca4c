"""Virtual keys in the admin, with what they were used for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils.safestring import SafeString

from gateway.admin_pages.killing import KillingAdmin
from gateway.admin_pages.known_models import (
    CHAT,
    EMBEDDING,
    RERANK,
    KnowsRelay,
    answering_first,
    current_view,
    known_models,
    mode_of,
)
from gateway.admin_pages.party_traffic import party_traffic
from gateway.admin_pages.playground_keys import PlaygroundFilter
from gateway.admin_pages.public_address import public_address
from gateway.admin_pages.snippet_access import Access
from gateway.admin_pages.snippets import (
    Call,
    Snippet,
    for_chat,
    for_completions,
    for_control,
    for_embeddings,
    for_keys,
    for_models,
    for_ranking,
)
from gateway.admin_pages.traffic import calls_and_tokens, figures, logs_url_with
from gateway.admin_pages.usage import NOTHING, last_day
from keys.admin import KeyChangeList, VirtualKeyAdmin
from keys.models import VirtualKey

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
    """As `KeyTrafficAdmin.snippets`. `plain` may stand for a secret that nobody knows any more. None where no program
    that is known here would get past the permission step."""
    address = public_address(request)
    if key.is_management:
        return for_keys(address, plain)
    access = Access.of(key)
    for model, makers in _examples(key, access):
        if found := _allowed(access, model, [one for maker in makers for one in maker(Call(address, plain, model))]):
            return found
    return _allowed(access, None, [*for_models(address, plain), *for_control(address, plain)])[:1]


def _allowed(access: Access, model: str | None, snippets: Iterable[Snippet]) -> list[Snippet]:
    """Those whose calls the key may all make, the first of each name."""
    named: dict[str, Snippet] = {}
    for snippet in snippets:
        if snippet.name not in named and all(access.may_call(target, model) for target in snippet.calls):
            named[snippet.name] = snippet
    return list(named.values())


_Maker = Callable[[Call], Sequence[Snippet]]
_MAKERS: Sequence[tuple[str, Sequence[_Maker]]] = (
    (CHAT, (for_chat,)),
    (CHAT, (for_completions,)),
    (EMBEDDING, (for_embeddings,)),
    (RERANK, (for_ranking,)),
)


def _examples(key: VirtualKey, access: Access) -> Iterator[tuple[str, Sequence[_Maker]]]:
    """Models that the key may ask for, each with programs for it: the first that somebody serves, for each kind of
    call; or else the first that a list names.

    A model for chats comes before all others, and one that an upstream answers for now before one that is away.
    """
    view = current_view()
    served = [one.name for one in known_models(view) if "*" not in one.name and access.may_use(one.name)]
    modes = {name: mode_of(view, name) for name in answering_first(view, served[:MOST_LOOKED_AT])}
    lists = (key.models, *(party.models for party in access.parties))
    named = (model for listed in lists for model in listed if "*" not in model)
    unknown = next((model for model in named if model not in modes and access.may_use(model)), None)
    for mode, makers in _MAKERS:
        model = next((name for name, one in modes.items() if one == mode), None)
        if model is not None:
            yield model, makers
    if unknown is not None:
        yield from ((unknown, makers) for _, makers in _MAKERS)
