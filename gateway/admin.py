"""Registers the admin pages, and adds to keys and upstreams what joins them with traffic."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any, cast

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from common.admin import figure
from gateway.admin_pages.logs import RequestLogAdmin
from gateway.admin_pages.usage import NOTHING, calls_per_upstream, last_day, of_each
from gateway.models import RequestLog
from keys.admin import KeyChangeList, VirtualKeyAdmin
from keys.admin_budgets import SpendChangeList
from keys.admin_groups import EndUserAdmin, GroupAdmin, KeyCountChangeList, OwnerAdmin, TeamAdmin
from keys.identity import INFERENCE, Identity
from keys.models import EndUser, Owner, Team, VirtualKey
from keys.permissions import may_use_model
from upstreams.admin import UpstreamAdmin
from upstreams.admin_routing import ModelAliasAdmin, RoutingAdmin
from upstreams.models import Deployment, ModelAlias, Routing, Upstream


class KeyUsageChangeList(KeyChangeList):
    """A page of keys with their usage, which takes one query for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        usage = last_day().per_key([key.pk for key in self.result_list])
        for key in self.result_list:
            key.usage = usage.get(key.pk, NOTHING)


@admin.register(VirtualKey)
class KeyTrafficAdmin(VirtualKeyAdmin):
    """Keys, and what they were used for."""

    list_display = (*VirtualKeyAdmin.list_display, "calls")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeyUsageChangeList

    @admin.display(description="calls, 24 h")
    def calls(self, key: Any) -> SafeString:
        return _calls_and_tokens(key.usage)

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
                "traffic": _figures(usage),
                "logs_url": _logs_url(request, key=object_id),
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


class _UsageOfGroups(ChangeList):
    """Adds their usage to a page of teams, owners or end users; one query for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        usage = of_each(LOG_COLUMNS[cast("Any", self.model).kind], [row.public_id for row in self.result_list])
        for row in self.result_list:
            row.usage = usage.get(row.public_id, NOTHING)


class HolderUsageChangeList(_UsageOfGroups, KeyCountChangeList):
    """A page of teams or owners."""


class EndUserUsageChangeList(_UsageOfGroups, SpendChangeList):
    """A page of end users."""


LOG_COLUMNS = {"team": "team_id", "user": "user_id", "end_user": "end_user"}
"""In which column of the request log those of a kind are named."""


class GroupTrafficAdmin(GroupAdmin):
    """Teams, owners and end users, and what was used in their names."""

    @admin.display(description="calls, 24 h")
    def calls(self, row: Any) -> SafeString:
        return _calls_and_tokens(row.usage)

    def facts(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        usage = of_each(LOG_COLUMNS[row.kind], [row.public_id]).get(row.public_id, NOTHING)
        logs_url = _logs_url(request, **{row.kind: row.public_id})
        return {**super().facts(request, row), "traffic": _figures(usage), "logs_url": logs_url}


@admin.register(Team)
class TeamTrafficAdmin(GroupTrafficAdmin, TeamAdmin):
    """Teams with their traffic."""

    list_display = (*TeamAdmin.list_display, "calls")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return HolderUsageChangeList


@admin.register(Owner)
class OwnerTrafficAdmin(GroupTrafficAdmin, OwnerAdmin):
    """Owners with their traffic."""

    list_display = (*OwnerAdmin.list_display, "calls")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return HolderUsageChangeList


@admin.register(EndUser)
class EndUserTrafficAdmin(GroupTrafficAdmin, EndUserAdmin):
    """End users with their traffic."""

    list_display = (*EndUserAdmin.list_display, "calls")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return EndUserUsageChangeList


class UpstreamChangeList(ChangeList):
    """A page of upstreams with their calls, which takes one query for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        upstreams = list(self.result_list)
        calls = calls_per_upstream([upstream.pk for upstream in upstreams])
        for upstream in upstreams:
            upstream.calls = calls.get(upstream.pk, 0)
        self.result_list = upstreams


@admin.register(Upstream)
class UpstreamTrafficAdmin(UpstreamAdmin):
    """Upstreams, and how much goes to them."""

    list_display = (*UpstreamAdmin.list_display, "calls")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return UpstreamChangeList

    @admin.display(description="calls, 24 h")
    def calls(self, upstream: Any) -> SafeString:
        return _number(upstream.calls)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {"fallback": settings.UPSTREAM_BASE_FALLBACK, **(extra_context or {})}
        return super().changelist_view(request, context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {"logs_url": _logs_url(request, upstream=object_id), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)


admin.site.register(RequestLog, RequestLogAdmin)
admin.site.register(ModelAlias, ModelAliasAdmin)
admin.site.register(Routing, RoutingAdmin)


def _number(number: int) -> SafeString:
    return format_html('<span class="number">{}</span>', figure(number))


def _calls_and_tokens(usage: Mapping[str, int]) -> SafeString:
    tokens = usage["prompt_tokens"] + usage["completion_tokens"]
    told = figure(tokens, "tokens") if tokens else ""
    return format_html('{}<span class="under number">{}</span>', _number(usage["calls"]), told)


def _figures(usage: Mapping[str, int]) -> list[tuple[str, str]]:
    """The traffic of a day, for a row's page."""
    return [
        ("Calls, 24 h", figure(usage["calls"])),
        ("Errors, 24 h", figure(usage["errors"])),
        ("Prompt tokens, 24 h", figure(usage["prompt_tokens"])),
        ("Completion tokens, 24 h", figure(usage["completion_tokens"])),
    ]


def _logs_url(request: HttpRequest, **filters: str) -> str:
    """The request log with these filters; empty for who may not see it."""
    if not request.user.has_perm("gateway.view_requestlog"):
        return ""
    return f"{reverse('admin:gateway_requestlog_changelist')}?{urlencode(filters)}"
