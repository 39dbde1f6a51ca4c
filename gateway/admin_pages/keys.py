"""Virtual keys in the admin, with what they were used for."""

from __future__ import annotations

import json
import shlex
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from gateway.admin_pages.traffic import calls_and_tokens, figures, logs_url_with
from gateway.admin_pages.usage import NOTHING, last_day
from keys.admin import KeyChangeList, VirtualKeyAdmin
from keys.identity import INFERENCE, Identity
from keys.models import VirtualKey
from keys.permissions import may_use_model
from upstreams.models import Deployment, Upstream


class KeyUsageChangeList(KeyChangeList):
    """A page of keys with their usage, which takes one query for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        usage = last_day().per_key([key.pk for key in self.result_list])
        for key in self.result_list:
            key.usage = usage.get(key.pk, NOTHING)


class KeyTrafficAdmin(VirtualKeyAdmin):
    """Keys, and what they were used for."""

    list_display = (*VirtualKeyAdmin.list_display, "calls")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeyUsageChangeList

    @admin.display(description="calls, 24 h")
    def calls(self, key: Any) -> SafeString:
        return calls_and_tokens(key.usage)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context: dict[str, Any] = {}
        if object_id.isdecimal() and len(object_id) < 19:
            usage = last_day().per_key([int(object_id)]).get(int(object_id), NOTHING)
            context = {
                "traffic": figures(usage),
                "logs_url": logs_url_with(request, key=object_id),
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def snippet(self, request: HttpRequest, key: VirtualKey, plain: str) -> str:
        """A `curl` for the terminal: a chat where a model is known that the key may use, else the list of models.

        A management key, which calls no model, lists keys.
        """
        address = settings.PUBLIC_URL or request.build_absolute_uri("/")[:-1]
        header = shlex.quote(f"Authorization: Bearer {plain}")
        if key.is_management:
            return f"curl {shlex.quote(f'{address}/key/list')} \\\n  -H {header}"
        model = _example_model(key) if INFERENCE in key.endpoint_classes else None
        if model is None:
            return f"curl {shlex.quote(f'{address}/vllm/v1/models')} \\\n  -H {header}"
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
        return (
            f"curl {shlex.quote(f'{address}/vllm/v1/chat/completions')} \\\n  -H {header} \\\n"
            f"  -H 'Content-Type: application/json' \\\n  -d {shlex.quote(json.dumps(body))}"
        )


def _example_model(key: VirtualKey) -> str | None:
    """A model that the key may ask for: one that somebody serves, or else one that its list names."""
    identity = Identity(key_id=key.pk, name=key.name, models=tuple(key.models))
    default = Upstream.objects.filter(is_default=True).first()
    served = [*(default.served_models if default else []), *Deployment.objects.values_list("alias", flat=True)[:100]]
    named = [model for model in key.models if "*" not in model]
    return next((model for model in (*served, *named) if may_use_model(identity, model)), None)
