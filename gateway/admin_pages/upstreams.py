"""Upstreams in the admin, with how much goes to them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from gateway.admin_pages.traffic import logs_url_with, number
from gateway.admin_pages.usage import calls_per_upstream
from upstreams.admin import UpstreamAdmin


class UpstreamChangeList(ChangeList):
    """A page of upstreams with their calls, which takes one query for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        upstreams = list(self.result_list)
        calls = calls_per_upstream([upstream.pk for upstream in upstreams])
        for upstream in upstreams:
            upstream.calls = calls.get(upstream.pk, 0)
        self.result_list = upstreams


class UpstreamTrafficAdmin(UpstreamAdmin):
    """Upstreams, and how much goes to them."""

    list_display = (*UpstreamAdmin.list_display, "calls")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return UpstreamChangeList

    @admin.display(description="calls, 24 h")
    def calls(self, upstream: Any) -> SafeString:
        return number(upstream.calls)

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
