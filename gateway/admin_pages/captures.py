"""Payload captures in the admin: who captures what, starting and stopping one, and the calls that it has kept."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from common.admin import QUIET, WARNING, FiltersOnly, badge, changeable, figure, log_changes, moment
from gateway.admin_pages.captured_calls import page_of
from gateway.admin_pages.key_named import key_named, known_keys
from gateway.admin_pages.known_models import known_models
from gateway.capture.models import LONGEST, MOST_CALLS, CapturedPayload, PayloadCapture, PayloadCaptureQuerySet
from gateway.models import RequestLog
from keys.admin_fields import SuggestInput
from keys.identity import MANAGEMENT
from keys.models import VirtualKey
from keys.patterns import matches
from keys.scope import scoped, visible_teams

if TYPE_CHECKING:
    _CaptureAdmin = admin.ModelAdmin[PayloadCapture]
    _CaptureForm = forms.ModelForm[PayloadCapture]
else:
    _CaptureAdmin, _CaptureForm = admin.ModelAdmin, forms.ModelForm

MOST_CALLS_AT_ALL = 10_000
TIMES = ((15, "15 minutes"), (60, "1 hour"), (240, "4 hours"), (720, "12 hours"), (1440, "24 hours"))
assert timedelta(minutes=TIMES[-1][0]) <= LONGEST  # noqa: S101 - of two constants


def visible_captures(user: Any) -> PayloadCaptureQuerySet:
    """Those that the person may know of: of keys while these were of their teams, and of models for who sees every
    team."""
    rows, teams = PayloadCapture.objects.all(), visible_teams(user)
    if teams is None:
        return rows
    return rows.filter(team_id__in=teams).exclude(
        key_id__in=VirtualKey.objects.filter(key_type=MANAGEMENT).values("pk")
    )


def visible_payloads(user: Any) -> QuerySet[CapturedPayload]:
    """Those of their captures, and of calls for their teams: whose log they may read."""
    return scoped(CapturedPayload.objects.filter(capture__in=visible_captures(user)), user)


class StartForm(_CaptureForm):
    """Starts a capture: of a key or of a model, for a time, with a reason."""

    key = forms.CharField(
        label="Virtual key",
        required=False,
        max_length=300,
        widget=forms.TextInput(attrs={"list": "known-keys", "placeholder": "name or id", "autocomplete": "off"}),
        help_text="Its calls are captured. Name a key or a model, not both.",
    )
    model = forms.CharField(
        required=False,
        max_length=200,
        widget=SuggestInput(lambda: [(one.name, one.note) for one in known_models() if "*" not in one.name]),
        help_text="The calls that ask for this model are captured, whoever makes them.",
    )
    minutes = forms.TypedChoiceField(label="For", choices=TIMES, coerce=int, initial=60)
    most_calls = forms.IntegerField(
        label="At most",
        min_value=1,
        max_value=MOST_CALLS_AT_ALL,
        initial=MOST_CALLS,
        help_text="Calls; then the capture stops. Calls that the gateway refuses do not count: of those it keeps as "
        "many again.",
    )
    reason = forms.CharField(
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Why somebody's prompts are to be read. It stays, with your name.",
    )

    class Meta:
        model = PayloadCapture
        fields = ("model", "most_calls", "reason")

    user: Any = None

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        named, model = str(said.get("key") or "").strip(), str(said.get("model") or "").strip()
        if bool(named) == bool(model) and not self.errors:
            raise forms.ValidationError("Name a key or a model: one of the two.")
        if model and visible_teams(self.user) is not None:
            self.add_error("model", "Its callers may be of any team; you can capture the keys of your own teams.")
        if named:
            self._name_key(named)
        return said

    def _name_key(self, text: str) -> None:
        try:
            key = key_named(text, self.user)
        except forms.ValidationError as error:
            self.add_error("key", error)
            return
        self.instance.key_id, self.instance.key_name = key.pk, key.name or key.masked
        self.instance.team_id = key.team_id
        self.instance.model = ""

    def save(self, commit: bool = True) -> PayloadCapture:  # noqa: FBT001, FBT002 - Django's own
        now = timezone.now()
        self.instance.starts_at = now
        self.instance.ends_at = now + timedelta(minutes=self.cleaned_data["minutes"])
        return super().save(commit)


class NoForm(_CaptureForm):
    """Nothing of a capture can be changed."""

    class Meta:
        model = PayloadCapture
        fields: tuple[str, ...] = ()


class PayloadCaptureAdmin(FiltersOnly, _CaptureAdmin):
    """Captures: a list, a form that starts one, and a page with what it kept. Nothing of one can be changed."""

    form = StartForm
    list_display = ("what", "state", "until", "calls", "reason_text", "started_by")
    list_display_links = ("what",)
    list_per_page = 50
    sortable_by = ()
    actions = None
    fieldsets = ((None, {"fields": ("key", "model", "minutes", "most_calls", "reason")}),)
    add_form_template = "admin/gateway/payloadcapture/add_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[PayloadCapture]:
        return visible_captures(request.user).counted().with_moves()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002
        if obj is not None:
            return NoForm
        form = super().get_form(request, obj, change=change, **kwargs)
        return type("StartForm", (form,), {"user": request.user})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fieldsets(request, obj) if obj is None else ()

    def get_urls(self) -> list[URLPattern]:
        stop = path("<int:capture_id>/stop/", self.admin_site.admin_view(self.stop_view), name="payload_capture_stop")
        return [stop, *super().get_urls()]

    # --- The list ---------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Payload captures", **(extra_context or {})})

    @admin.display(description="of")
    def what(self, row: PayloadCapture) -> str:
        return str(row)

    @admin.display(description="state")
    def state(self, row: Any) -> SafeString:
        return state_badge(row)

    @admin.display(description="until")
    def until(self, row: Any) -> SafeString | str:
        left = time_left(row)
        until = moment(row.stopped_at or row.ends_at)
        return format_html('{}<span class="under">{}</span>', until, left) if left else until

    @admin.display(description="calls")
    def calls(self, row: Any) -> str:
        return f"{figure(row.captured)} of {figure(row.most_calls)}" + (
            f", {figure(row.unsent)} not sent" if row.unsent else ""
        )

    @admin.display(description="reason")
    def reason_text(self, row: PayloadCapture) -> str:
        return row.reason if len(row.reason) <= 120 else f"{row.reason[:120]}…"

    # --- One of them ------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: PayloadCapture, form: Any, change: bool) -> None:  # noqa: FBT001
        obj.started_by = request.user.get_username()
        obj.save(force_insert=True)

    def response_add(
        self, request: HttpRequest, obj: PayloadCapture, post_url_continue: str | None = None
    ) -> HttpResponse:
        """To its own page, where the first call appears."""
        if not self.has_view_permission(request, obj):
            return super().response_add(request, obj, post_url_continue)
        messages.success(request, "The capture has started. Relay workers know of it within a second.")
        if obj.model and not any(matches(one.name, obj.model) for one in known_models()):
            messages.warning(
                request,
                f"No upstream has a model called “{obj.model}” now. Only calls that ask for exactly this name are "
                "captured: is it spelled right?",
            )
        return redirect("admin:gateway_payloadcapture_change", obj.pk)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        context = {"title": "Start a capture", "known_keys": known_keys(request.user)}
        return super().add_view(request, form_url, {**context, **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method == "POST":
            raise PermissionDenied
        row = self.get_object(request, object_id)
        context = self._details(request, row) if row is not None else {}
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def _details(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        may_read = request.user.has_perm("gateway.view_capturedpayload")
        kept = visible_payloads(request.user).filter(capture=row)
        return {
            "title": f"Payload capture: {row}",
            "subtitle": None,
            "state": state_badge(row),
            "is_active": row.is_active(timezone.now()),
            "time_left": time_left(row),
            "calls": page_of(kept, request.GET),
            "may_read": may_read,
            "retention_days": settings.CAPTURE_RETENTION_DAYS,
        }

    def stop_view(self, request: HttpRequest, capture_id: int) -> HttpResponse:
        """Ends a capture now."""
        row = changeable(self, request, capture_id)
        if request.method == "POST":
            if row.stop(request.user.get_username()):
                log_changes(request, [row], "Stopped.")
                messages.success(request, "The capture has stopped. Within a second nothing more is kept.")
            else:
                messages.info(request, "This capture was over already.")
        return redirect("admin:gateway_payloadcapture_change", row.pk)


def time_left(row: Any) -> str:
    """How long an active one goes on, as its page says it; empty for one that is over or full."""
    seconds = (row.ends_at - timezone.now()).total_seconds()
    if row.stopped_at is not None or seconds <= 0 or row.captured >= row.most_calls:
        return ""
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min left" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min left"


def state_badge(row: Any) -> SafeString:
    """Whether it captures now, and if not, why."""
    if row.stopped_at is not None:
        return badge(QUIET, f"Stopped by {row.stopped_by}")
    if not row.is_active(timezone.now()):
        return badge(QUIET, "Over")
    if row.captured >= row.most_calls:
        return badge(QUIET, "Full")
    if row.has_moved:
        return badge(QUIET, "Rests: the key is of another team")
    return badge(WARNING, "Captures now")


def payload_of(request: HttpRequest, call: RequestLog) -> CapturedPayload | None:
    """What was captured of a call, without its bodies; None where nothing was, or the viewer may not read it."""
    if not request.user.has_perm("gateway.view_capturedpayload"):
        return None
    rows = visible_payloads(request.user).filter(pk=call.pk)
    return rows.defer("request_body", "response_body").first()
