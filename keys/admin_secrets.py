"""The admin pages that make secrets: a key is issued, keys are rotated. Knows nothing of lists and of traffic.

The plain text of a secret is rendered once, in the answer to the POST that made it: it goes through no message, no
session and no address.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode

from common.admin import log_changes
from common.errors import GatewayError
from keys.admin_forms import ALREADY_ROTATED, OVERLAPS, IssueForm, RotateForm, key_fieldsets
from keys.admin_limited import LimitedAdmin, counted
from keys.admin_models import with_models
from keys.admin_scope import for_person
from keys.models import KeysVersion, Secret, Team, VirtualKey

if TYPE_CHECKING:
    _Keys = QuerySet[VirtualKey]

MOST_ROTATED = 100  # at once: their ids stand in an address, their new secrets on one page


class SecretsAdmin(LimitedAdmin):
    """Issues and rotates."""

    # --- Issue ------------------------------------------------------------------------------------

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = for_person(with_models(IssueForm, self.known_models()), request)(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                return self._issue(request, form)
            except GatewayError as refusal:  # somebody took the name meanwhile
                form.add_error("name", refusal.message)
        return self._issue_page(request, form, form_url, extra_context)

    def _issue(self, request: HttpRequest, form: IssueForm) -> HttpResponse:
        with transaction.atomic():
            key, plain = VirtualKey.objects.issue(created_by=request.user.get_username(), **form.values())
            self.log_addition(request, key, [{"added": {}}])
        self.warn_of_team(request, key.team_id)
        self.warn_of_prices(request, key, form.known_models)
        return self._secrets_page(request, [(key, plain)], f"{key} is ready")

    def _issue_page(
        self, request: HttpRequest, form: IssueForm, form_url: str, extra_context: dict[str, Any] | None
    ) -> HttpResponse:
        fieldsets: Any = key_fieldsets(None, "valid_for")
        form_page = helpers.AdminForm(form, fieldsets, {}, (), model_admin=self)
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

    def warn_of_team(self, request: HttpRequest, team_id: str | None) -> None:
        """Says so when nobody has said what the key's team may use."""
        if team_id and not Team.objects.filter(team_id=team_id).exists():
            words = f"There is no team “{team_id}” yet: until you add it, the key has no limits of a team."
            self.message_user(request, words, messages.WARNING)

    # --- Rotate -----------------------------------------------------------------------------------

    @admin.action(description="Rotate …", permissions=["change"])
    def rotate(self, request: HttpRequest, queryset: _Keys) -> HttpResponseRedirect:
        if queryset.count() > MOST_ROTATED:
            self.message_user(request, f"Rotate at most {MOST_ROTATED} keys at once.", messages.ERROR)
            return redirect("admin:keys_virtualkey_changelist")
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
        keys = self.granted(request, self.get_queryset(request).filter(pk__in=ids), "rotated")
        if not keys:
            return redirect("admin:keys_virtualkey_changelist")
        form = RotateForm(initial={"secret": [key.secret.pk for key in keys if key.secret]})
        return self._page(
            request, "rotate", {"title": f"Rotate {counted(len(keys), 'key')}", "keys": keys, "form": form}
        )

    def _rotated(self, request: HttpRequest, newest: Collection[Secret], overlap: timedelta) -> HttpResponse:
        shown = {secret.pk for secret in newest}
        choice = dict(OVERLAPS)[int(overlap.total_seconds())]
        with transaction.atomic():
            KeysVersion.bump()  # whoever rotates at the same time waits here, and then finds other secrets
            keys = self.get_queryset(request).filter(secrets__in=shown).distinct()
            current = [key for key in keys if key.secret and key.secret.pk in shown]
            due = self.granted(request, current, "rotated")
            issued = [(key, key.rotate(overlap)) for key in due]
            log_changes(request, due, f"Rotated. Old secrets stop working: {choice}.")
        if len(current) < len(shown):
            self.message_user(request, f"Rotated {counted(len(issued), 'key')}. {ALREADY_ROTATED}", messages.WARNING)
        if not issued:
            return redirect("admin:keys_virtualkey_changelist")
        title = f"New secret of {issued[0][0]}" if len(issued) == 1 else f"New secrets of {counted(len(issued), 'key')}"
        return self._secrets_page(request, issued, title)

    # --- The page with secrets --------------------------------------------------------------------

    def snippets(self, request: HttpRequest, key: VirtualKey, plain: str) -> Sequence[Any]:
        """Programs that use the new secret, each with `name` and `text`. The gateway's admin knows some."""
        return ()

    def _secrets_page(self, request: HttpRequest, issued: Sequence[tuple[VirtualKey, str]], title: str) -> HttpResponse:
        one = issued[0][0] if len(issued) == 1 else None
        context = {
            "title": title,
            "issued": [(key, plain, self.snippets(request, key, plain) if one else None) for key, plain in issued],
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

    def get_urls(self) -> list[URLPattern]:
        rotate = path("rotate/", self.admin_site.admin_view(self.rotate_view), name="keys_virtualkey_rotate")
        return [rotate, *super().get_urls()]
