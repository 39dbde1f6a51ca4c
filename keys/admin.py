"""The admin pages of virtual keys, as far as keys are concerned; `gateway.admin` adds their traffic and registers them.

Writes go through the models, which bump the version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from common.admin import BAD, GOOD, QUIET, WARNING, FiltersOnly, badge, changeable, log_changes, moment
from keys.admin_forms import KeyForm
from keys.admin_secrets import SecretsAdmin, counted
from keys.models import KeysVersion, VirtualKey

if TYPE_CHECKING:
    _Keys = QuerySet[VirtualKey]

STATE_BADGES = {
    "active": (GOOD, "Active"),
    "blocked": (BAD, "Blocked"),
    "expired": (WARNING, "Expired"),
}


class StateFilter(admin.SimpleListFilter):
    """Active, blocked or expired, as `VirtualKey.state` tells them apart."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, text) for state, (_, text) in STATE_BADGES.items()]

    def queryset(self, request: HttpRequest, queryset: _Keys) -> _Keys:
        expired = Q(expires_at__lte=timezone.now())
        states = {
            "active": Q(blocked=False) & ~expired,
            "blocked": Q(blocked=True),
            "expired": Q(blocked=False) & expired,
        }
        return queryset.filter(states.get(self.value() or "", Q()))


class VirtualKeyAdmin(FiltersOnly, SecretsAdmin):
    """Issue, change, block, rotate and delete keys."""

    form = KeyForm
    list_display: tuple[str, ...] = (
        "label",
        "type_badge",
        "state_badge",
        "masked_secret",
        "owner",
        "expiry",
        "last_use",
    )
    list_display_links = ("label",)
    list_filter = (StateFilter, "key_type")
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("name", "user_id", "=secrets__last_four")
    search_help_text = "Name, owner, or the last four characters of a secret"
    list_per_page = 50
    actions = ("block", "unblock", "rotate")
    fieldsets = (
        (None, {"fields": ("name", "user_id", "key_type")}),
        ("What it may call", {"fields": ("models", "aliases", "endpoint_classes", "allowed_upstreams")}),
        ("Limits", {"fields": ("max_parallel_requests", "priority", "expires_at")}),
        ("Metadata", {"fields": ("metadata",), "classes": ("collapse",)}),
    )

    # --- The list ---------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> _Keys:
        return super().get_queryset(request).prefetch_related("secrets")

    @admin.display(description="name", ordering="name")
    def label(self, key: VirtualKey) -> str:
        return key.name or "(no name)"

    @admin.display(description="secret")
    def masked_secret(self, key: VirtualKey) -> SafeString:
        return badge("code", key.masked)

    @admin.display(description="owner", ordering="user_id")
    def owner(self, key: VirtualKey) -> str | None:
        return key.user_id

    @admin.display(description="state")
    def state_badge(self, key: VirtualKey) -> SafeString:
        return badge(*STATE_BADGES[key.state])

    @admin.display(description="type", ordering="key_type")
    def type_badge(self, key: VirtualKey) -> SafeString:
        return badge(WARNING if key.is_management else QUIET, key.get_key_type_display())

    @admin.display(description="expires", ordering="expires_at")
    def expiry(self, key: VirtualKey) -> SafeString | str:
        return moment(key.expires_at, "never")

    @admin.display(description="last use", ordering="last_used_at")
    def last_use(self, key: VirtualKey) -> SafeString | str:
        return moment(key.last_used_at, "never")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Virtual keys", **(extra_context or {})})

    # --- Block and unblock ------------------------------------------------------------------------

    @admin.action(description="Block", permissions=["change"])
    def block(self, request: HttpRequest, queryset: _Keys) -> None:
        self._set_blocked(request, queryset, blocked=True)

    @admin.action(description="Unblock", permissions=["change"])
    def unblock(self, request: HttpRequest, queryset: _Keys) -> None:
        self._set_blocked(request, queryset, blocked=False)

    def _set_blocked(self, request: HttpRequest, keys: _Keys, *, blocked: bool) -> None:
        word = "Blocked" if blocked else "Unblocked"
        with transaction.atomic():
            KeysVersion.bump()
            changed = [key for key in keys if key.blocked != blocked]
            VirtualKey.objects.filter(pk__in=[key.pk for key in changed]).update(blocked=blocked)
            log_changes(request, changed, f"{word}.")
        level = messages.SUCCESS if changed else messages.WARNING
        self.message_user(request, f"{word} {counted(len(changed))}.", level)

    @method_decorator(require_POST)
    def set_blocked_view(self, request: HttpRequest, object_id: int, *, blocked: bool) -> HttpResponseRedirect:
        """The buttons on a key's page."""
        key = changeable(self, request, object_id)
        self._set_blocked(request, self.get_queryset(request).filter(pk=key.pk), blocked=blocked)
        return redirect("admin:keys_virtualkey_change", key.pk)

    # --- Change and delete ------------------------------------------------------------------------

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        key = self.get_object(request, object_id)
        context = self._facts(key) if key else {}
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def _facts(self, key: VirtualKey) -> dict[str, Any]:
        secrets = sorted(key.secrets.all(), key=lambda secret: secret.pk, reverse=True)
        return {
            "title": str(key),
            "subtitle": None,
            "state": self.state_badge(key),
            "type": self.type_badge(key),
            "show_save_and_add_another": False,
            "issued_at": moment(key.created_at),
            "used_at": self.last_use(key),
            "secrets": [
                {
                    "masked": str(secret),
                    "made": moment(secret.created_at),
                    "used": moment(secret.last_used_at, "never"),
                    "until": moment(secret.expires_at, "as long as the key"),
                }
                for secret in secrets
            ],
        }

    def save_model(self, request: HttpRequest, obj: VirtualKey, form: Any, change: bool) -> None:  # noqa: FBT001
        # Only what was edited: a block or a last use that was written meanwhile must stay.
        if form.changed_data:
            obj.save(update_fields=form.changed_data)

    def delete_queryset(self, request: HttpRequest, queryset: _Keys) -> None:
        VirtualKey.objects.filter(pk__in=[key.pk for key in queryset]).delete()

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path(
                "<int:object_id>/block/",
                view(self.set_blocked_view),
                {"blocked": True},
                name="keys_virtualkey_block",
            ),
            path(
                "<int:object_id>/unblock/",
                view(self.set_blocked_view),
                {"blocked": False},
                name="keys_virtualkey_unblock",
            ),
            *super().get_urls(),
        ]
