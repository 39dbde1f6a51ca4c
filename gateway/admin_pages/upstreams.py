"""Upstreams in the admin, with how much goes to them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from common.admin import DASH
from gateway.admin_pages import in_flight
from gateway.admin_pages.traffic import logs_url_with, number
from gateway.admin_pages.usage import calls_per_upstream
from keys.scope import visible_teams
from upstreams.admin import UpstreamAdmin
from upstreams.models import Upstream


class UpstreamChangeList(ChangeList):
    """A page of upstreams with their calls, open and of the last day, which takes two queries for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        upstreams = list(self.result_list)
        calls = calls_per_upstream(request.user, [one.pk for one in upstreams])
        open_calls = in_flight.counts() if visible_teams(request.user) is None else None
        for upstream in upstreams:
            upstream.calls = calls.get(upstream.pk, 0)
            upstream.open_now = None if open_calls is None else open_calls.get(str(upstream.pk), 0)
        self.result_list = upstreams


class UpstreamTrafficAdmin(UpstreamAdmin):
    """Upstreams, and how much goes to them."""

    list_display = (*UpstreamAdmin.list_display, "open_now", "calls")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return UpstreamChangeList

    @admin.display(description="in flight")
    def open_now(self, upstream: Any) -> SafeString | str:
        return DASH if upstream.open_now is None else number(upstream.open_now)

    @admin.display(description="calls, 24 h")
    def calls(self, upstream: Any) -> SafeString:
        return number(upstream.calls)

    def open_calls(self, upstream: Upstream) -> int | None:
        """How many calls are open on it, as of the relays' last reports."""
        counts = in_flight.counts()
        return None if counts is None else counts.get(str(upstream.pk), 0)

    def now_context(self, request: HttpRequest, upstream: Upstream) -> dict[str, Any]:
        found = in_flight.on_upstream(upstream.pk, request.user)
        told = {"open_calls": found.count, "open_list": found.lines, "open_more": found.more}
        return {**super().now_context(request, upstream), **told}

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
        context = {"logs_url": logs_url_with(request, upstream=object_id), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)
