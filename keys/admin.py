"""The admin pages of virtual keys, as far as keys are concerned; `gateway.admin` adds their traffic and registers them.

The plain text of a secret is rendered once, in the answer to the POST that made it: it goes through no message, no
session and no address. Writes go through the models, which bump the version.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from common.admin import BAD, GOOD, WARNING, badge, changeable, log_changes, moment
from common.errors import GatewayError
from keys.admin_forms import ALREADY_ROTATED, OVERLAPS, IssueForm, KeyForm, RotateForm
from keys.models import KeysVersion, Secret, VirtualKey

if TYPE_CHECKING:
    _KeyAdmin = admin.ModelAdmin[VirtualKey]
    _Keys = QuerySet[VirtualKey]
else:
    _KeyAdmin = admin.ModelAdmin

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
        states = {"blocked": Q(blocked=True), "expired": Q(blocked=False) & expired}
        states["active"] = Q(blocked=False) & ~expired | Q(blocked=False, expires_at=None)
        return queryset.filter(states.get(self.value() or "", Q()))


class VirtualKeyAdmin(_KeyAdmin):
    """Issue, change, block, rotate and delete keys."""

    form = KeyForm
    list_display: tuple[str, ...] = ("label", "state_badge", "masked_secret", "owner", "expiry", "last_use")
    list_display_links = ("label",)
    list_filter = (StateFilter,)
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("name", "user_id", "=secrets__last_four")
    search_help_text = "Name, owner, or the last four characters of a secret"
    list_per_page = 50
    actions = ("block", "unblock", "rotate")
    fieldsets = (
        (None, {"fields": ("name", "user_id")}),
        ("What it may call", {"fields": ("models", "endpoint_classes")}),
        ("Limits", {"fields": ("max_parallel_requests", "expires_at")}),
        ("Metadata", {"fields": ("metadata",), "classes": ("collapse",)}),
    )
    add_fieldsets = (
        (None, {"fields": ("name", "user_id")}),
        ("What it may call", {"fields": ("models", "endpoint_classes")}),
        ("Limits", {"fields": ("max_parallel_requests", "valid_for")}),
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
            log_changes(self, request, changed, f"{word}.")
        level = messages.SUCCESS if changed else messages.WARNING
        self.message_user(request, f"{word} {_keys(len(changed))}.", level)

    @method_decorator(require_POST)
    def set_blocked_view(self, request: HttpRequest, object_id: int, *, blocked: bool) -> HttpResponseRedirect:
        """The buttons on a key's page."""
        key = changeable(self, request, object_id)
        self._set_blocked(request, self.get_queryset(request).filter(pk=key.pk), blocked=blocked)
        return redirect("admin:keys_virtualkey_change", key.pk)

    # --- Issue ------------------------------------------------------------------------------------

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = IssueForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                return self._issue(request, form.values())
            except GatewayError as refusal:  # somebody took the name meanwhile
                form.add_error("name", refusal.message)
        return self._issue_page(request, form, form_url, extra_context)

    def _issue(self, request: HttpRequest, values: dict[str, Any]) -> HttpResponse:
        with transaction.atomic():
            key, plain = VirtualKey.objects.issue(created_by=request.user.get_username(), **values)
            self.log_addition(request, key, [{"added": {}}])
        return self._secrets_page(request, [(key, plain)], f"{key} is ready")

    def _issue_page(
        self, request: HttpRequest, form: IssueForm, form_url: str, extra_context: dict[str, Any] | None
    ) -> HttpResponse:
        form_page = helpers.AdminForm(form, self.add_fieldsets, {}, (), model_admin=self)  # type: ignore[arg-type]
        context = {
            **self.admin_site.each_context(request),
            "title": "Issue a key",
            "adminform": form_page,
            "errors": helpers.AdminErrorList(form, []),
            "inline_admin_formsets": [],
            "media": self.media + form_page.media,
            "is_popup": False,
            "to_field": None,
            **(extra_context or {}),
        }
        return self.render_change_form(request, context, add=True, form_url=form_url)

    # --- Rotate -----------------------------------------------------------------------------------

    @admin.action(description="Rotate …", permissions=["change"])
    def rotate(self, request: HttpRequest, queryset: _Keys) -> HttpResponseRedirect:
        ids = ",".join(str(pk) for pk in queryset.values_list("pk", flat=True))
        return redirect(f"{reverse('admin:keys_virtualkey_rotate')}?{urlencode({'ids': ids})}")

    def rotate_view(self, request: HttpRequest) -> HttpResponse:
        """Asks for the overlap; then rotates and shows the new secrets."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            form = RotateForm(request.POST)
            if form.is_valid():
                return self._rotated(request, form.cleaned_data["secret"], form.cleaned_data["overlap"])
            self.message_user(request, f"Nothing was rotated. {ALREADY_ROTATED}", messages.ERROR)
            return redirect("admin:keys_virtualkey_changelist")
        ids = [int(one) for one in request.GET.get("ids", "").split(",") if one.isdecimal() and len(one) < 19]
        keys = list(self.get_queryset(request).filter(pk__in=ids))
        if not keys:
            return redirect("admin:keys_virtualkey_changelist")
        form = RotateForm(initial={"secret": [key.secret.pk for key in keys if key.secret]})
        return self._page(request, "rotate", {"title": f"Rotate {_keys(len(keys))}", "keys": keys, "form": form})

    def _rotated(self, request: HttpRequest, newest: Collection[Secret], overlap: timedelta) -> HttpResponse:
        shown = {secret.pk for secret in newest}
        choice = dict(OVERLAPS)[int(overlap.total_seconds())]
        with transaction.atomic():
            KeysVersion.bump()  # whoever rotates at the same time waits here, and then finds other secrets
            keys = self.get_queryset(request).filter(secrets__in=shown).distinct()
            due = [key for key in keys if key.secret and key.secret.pk in shown]
            issued = [(key, key.rotate(overlap)) for key in due]
            log_changes(self, request, due, f"Rotated. Old secrets stop working: {choice}.")
        if len(issued) < len(shown):
            self.message_user(request, f"Rotated {_keys(len(issued))}. {ALREADY_ROTATED}", messages.WARNING)
        if not issued:
            return redirect("admin:keys_virtualkey_changelist")
        title = f"New secret of {issued[0][0]}" if len(issued) == 1 else f"New secrets of {_keys(len(issued))}"
        return self._secrets_page(request, issued, title)

    # --- The page with secrets --------------------------------------------------------------------

    def snippet(self, request: HttpRequest, key: VirtualKey, plain: str) -> str:
        """A command that uses the new secret; empty when there is none. The gateway's admin knows one."""
        return ""

    def _secrets_page(self, request: HttpRequest, issued: Sequence[tuple[VirtualKey, str]], title: str) -> HttpResponse:
        one = issued[0][0] if len(issued) == 1 else None
        context = {
            "title": title,
            "issued": [(key, plain, self.snippet(request, key, plain)) for key, plain in issued],
            "next_url": reverse("admin:keys_virtualkey_change", args=[one.pk])
            if one
            else reverse("admin:keys_virtualkey_changelist"),
        }
        response = self._page(request, "secrets", context)
        response.headers["Cache-Control"] = "no-store"
        return response

    def _page(self, request: HttpRequest, name: str, context: dict[str, Any]) -> TemplateResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media, **context}
        return TemplateResponse(request, f"admin/keys/virtualkey/{name}.html", context)

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
            path("rotate/", view(self.rotate_view), name="keys_virtualkey_rotate"),
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


def _keys(number: int) -> str:
    return f"{number} {'key' if number == 1 else 'keys'}"
