"""The admin pages of routing: aliases that differ, and the one row for all others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from common.admin import FiltersOnly
from upstreams.model_list import every_model
from upstreams.models import ModelAlias, Routing

if TYPE_CHECKING:
    _AliasAdmin = admin.ModelAdmin[ModelAlias]
    _RoutingAdmin = admin.ModelAdmin[Routing]
else:
    _AliasAdmin = _RoutingAdmin = admin.ModelAdmin


class ModelAliasAdmin(FiltersOnly, _AliasAdmin):
    """Every model that can be called, and the aliases that stand for another or have a strategy of their own."""

    list_display = ("name", "stands_for", "strategy", "prefix_bytes")
    list_filter = ("strategy",)
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("name", "stands_for")
    search_help_text = "Model alias"
    fields = ("name", "stands_for", "strategy", "prefix_bytes")
    actions = None

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list of aliases below all models that they and the deployments make callable."""
        given = extra_context or {}
        models = given["models"] if "models" in given else every_model()
        context = {"title": "Models", **given, "models": models}
        return super().changelist_view(request, context)


class RoutingAdmin(_RoutingAdmin):
    """One row, which is always there."""

    fieldsets = (
        ("Choice", {"fields": ("strategy", "prefix_bytes")}),
        ("Failures", {"fields": ("most_attempts", "cooldown_seconds", "failures_before_cooldown")}),
    )

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Routing | None:
        """The row, or its defaults while nobody has saved it."""
        return Routing.current() if object_id == "1" else None

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Under its name alone: there is no other row that it could be told from. Saving stays here anyhow."""
        own = {"title": "Routing", "subtitle": None, "show_save_and_continue": False}
        context = {**own, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def response_change(self, request: HttpRequest, obj: Routing) -> HttpResponse:
        """Stays on the page: there is no list to go back to."""
        self.message_user(request, "The routing was changed.", messages.SUCCESS)
        return redirect("admin:upstreams_routing_change", 1)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Routing | None = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return redirect("admin:upstreams_routing_change", 1)
