"""The admin pages of upstreams, as far as upstreams are concerned; `gateway.admin` adds traffic and registers them.

A credential is never rendered. A check asks the stored URL and no other, so it cannot be used to look around.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from common.admin import DASH, GOOD, QUIET, WARNING, FiltersOnly, badge, duration, moment, with_facts
from upstreams import posture
from upstreams.admin_checks import CheckViews, callable_models, take_over_preview
from upstreams.admin_control import ControlViews, may_control
from upstreams.admin_deleting import Deleting
from upstreams.admin_deployments import DeploymentInline
from upstreams.admin_forms import AGAIN, UpstreamForm
from upstreams.admin_history import ASLEEP_BADGE, HEALTH_BADGES, health_history, load_history
from upstreams.admin_states import StateActions, buttons
from upstreams.control import COMMANDS
from upstreams.models import ACTIVE, DISABLED, DRAINING, ENVIRONMENT, HEALTHY, UNHEALTHY, Upstream
from upstreams.sources import API, CONFIG

if TYPE_CHECKING:
    _UpstreamAdmin = admin.ModelAdmin[Upstream]
else:
    _UpstreamAdmin = admin.ModelAdmin

STATE_BADGES = {ACTIVE: (GOOD, "Active"), DRAINING: (WARNING, "Draining"), DISABLED: (QUIET, "Disabled")}
SOURCE_BADGES = {
    ENVIRONMENT: ("Environment", "Kept in step with HOSTED_VLLM_API_BASE"),
    CONFIG: ("Config file", "Kept in step with a configuration file, each time it is applied"),
    API: ("REST API", "Made through the model API"),
}
CREDENTIAL_CLEARED = (
    "The stored credential was cleared, because it belongs to the server of the old URL. "
    "Enter the credential of the new one."
)
TIMES = ("connect_timeout", "first_byte_timeout", "idle_timeout", "total_timeout")
TIMES_HELP = "How long a call waits on this upstream, in seconds. What is empty is as the gateway's settings say."
PRICE_HELP = (
    "What the whole server costs, whether it is used or not. A new price counts from now on, the first one from the "
    "day on which the upstream was added. Prices of tokens, seconds and calls are set for each deployment."
)
_CREDENTIAL_FIELDS = ("credential", "clear_credential")
_SENTENCE_END = re.compile(r"(?<=[.?!])\s")


class UpstreamAdmin(StateActions, CheckViews, ControlViews, Deleting, FiltersOnly, _UpstreamAdmin):
    """Add, change, check, drain, try, control and delete upstreams."""

    form = UpstreamForm
    inlines = (DeploymentInline,)
    list_display: tuple[str, ...] = (
        "place",
        "health_badge",
        "state_badge",
        "models",
        "load",
        "posture_badge",
        "checked",
    )
    actions = ("drain", "undrain")
    list_filter = ("state", "health")
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("name", "url", "deployments__alias")
    search_help_text = "Name, URL or model alias"

    # --- The list ---------------------------------------------------------------------------------

    @admin.display(description="name", ordering="name")
    def place(self, upstream: Upstream) -> SafeString:
        return format_html('{} <span class="under">{}</span>', upstream.name, upstream.url)

    @admin.display(description="state", ordering="state")
    def state_badge(self, upstream: Upstream) -> SafeString:
        badges = badge(*STATE_BADGES[upstream.state])
        if upstream.is_default:
            badges += badge(QUIET, "Default", "Receives calls whose model is nobody's alias")
        if upstream.source in SOURCE_BADGES:
            badges += badge(QUIET, *SOURCE_BADGES[upstream.source])
        return badges

    @admin.display(description="health", ordering="health")
    def health_badge(self, upstream: Upstream) -> SafeString:
        """The first sentence of what was found; the page has it all."""
        words = _SENTENCE_END.split(upstream.health_text, maxsplit=1)[0]
        if upstream.health == HEALTHY:
            words = f"vLLM {upstream.vllm_version}, {duration(upstream.latency_ms)}"
        badges = badge(*HEALTH_BADGES[upstream.health])
        if upstream.health == HEALTHY and upstream.posture.get("asleep"):
            badges += badge(*ASLEEP_BADGE)
        return format_html('{} <span class="under">{}</span>', badges, words)

    @admin.display(description="models")
    def models(self, upstream: Upstream) -> str | None:
        shown = ", ".join(upstream.served_models[:2])
        more = len(upstream.served_models) - 2
        return f"{shown} and {more} more" if more > 0 else shown or None

    @admin.display(description="running, waiting")
    def load(self, upstream: Upstream) -> SafeString | str:
        """vLLM's own figures; of a server that is away, since when there are none."""
        if upstream.load_at is None:
            return DASH
        if not upstream.has_load(timezone.now()):
            return format_html('{} <span class="under">no figures since {}</span>', DASH, moment(upstream.load_at))
        use = "" if upstream.kv_cache_use is None else f"KV cache {upstream.kv_cache_use:.0%}"
        return format_html('{}, {} <span class="under">{}</span>', upstream.running, upstream.waiting, use)

    @admin.display(description="posture")
    def posture_badge(self, upstream: Upstream) -> SafeString:
        """The gravest of what is wrong; the page has it all."""
        kind, word, told = posture.summary(_findings(upstream))
        return format_html('{} <span class="under">{}</span>', badge(kind, word), capfirst(told))

    @admin.display(description="checked", ordering="checked_at")
    def checked(self, upstream: Upstream) -> SafeString | str:
        return moment(upstream.checked_at, "never")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Upstreams", **(extra_context or {})})

    # --- The form ---------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: Upstream | None = None) -> Any:
        server: tuple[str, ...] = ("name", "url")
        if self._takes_credential(request, obj):
            server += ("credential", *(["clear_credential"] if obj is not None and obj.credential else []))
        twins = Upstream.objects.at(request.POST["url"]) if request.method == "POST" and "url" in request.POST else []
        if any(obj is None or twin.pk != obj.pk for twin in twins):
            server = (*server[:2], "same_address", *server[2:])
        folded = () if obj is not None else ("collapse",)  # nothing of it is needed to begin with
        return (
            (None, {"fields": server}),
            ("Calls", {"fields": ("state", "is_default", "max_parallel"), "classes": folded}),
            ("Price", {"fields": ("price_per_hour",), "description": PRICE_HELP, "classes": folded}),
            ("Times", {"fields": TIMES, "description": TIMES_HELP, "classes": ("collapse",)}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Upstream | None = None) -> tuple[str, ...]:
        # Declared fields that are read-only leave the form: what is not shown cannot be posted either.
        if not self._takes_credential(request, obj):
            return ("url", *_CREDENTIAL_FIELDS)
        return ()

    def _takes_credential(self, request: HttpRequest, upstream: Upstream | None) -> bool:
        if upstream is None:
            return True
        return upstream.source != ENVIRONMENT and self.has_change_permission(request, upstream)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)

        def told(upstream: Upstream, _: dict[str, Any]) -> dict[str, Any]:
            titled = {"title": str(upstream), "subtitle": None, "show_save_and_add_another": False}
            return {**titled, **self._page_context(request, upstream), **(extra_context or {})}

        return with_facts(self, request, object_id, response, told)

    def _page_context(self, request: HttpRequest, upstream: Upstream) -> dict[str, Any]:
        now = timezone.now()
        return {
            **self.now_context(request, upstream),
            "of_environment": upstream.source == ENVIRONMENT,
            "states": buttons(upstream),
            "history": health_history(upstream, now),
            "load_history": load_history(upstream, request.GET.get("hours", ""), now),
            "posture": _findings(upstream),
            "posture_at": moment(upstream.posture_at),
            "models_to_try": callable_models(upstream),
            "commands": COMMANDS.values() if may_control(request) else (),
        }

    def get_inlines(self, request: HttpRequest, obj: Upstream | None) -> Any:
        """A new upstream has no deployments to enter: its models are found as soon as it is saved."""
        return self.inlines if obj is not None else ()

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().add_view(request, form_url, {"title": "Add an upstream", **(extra_context or {})})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        form = context["adminform"].form
        if isinstance(form, UpstreamForm) and form.ask_again():
            context["errors"].append(AGAIN)  # which the page counts
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Upstream, form: Any, change: bool) -> None:  # noqa: FBT001
        if not change:
            obj.save()
            take_over_preview(obj)
            return
        # Only what was edited: what the prober noted meanwhile must stay.
        if form.changed_columns:
            obj.save(update_fields={*form.changed_columns, "updated_at"})
        if form.had_credential and not obj.credential and "credential" not in form.changed_columns:
            self.message_user(request, CREDENTIAL_CLEARED, messages.WARNING)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Upstream]) -> None:
        Upstream.objects.filter(pk__in=[upstream.pk for upstream in queryset]).delete()

    # --- What can be done on the page ---------------------------------------------------------------

    def now_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """The part of the page that changes by itself."""
        upstream = self.get_object(request, str(object_id))
        if upstream is None:
            raise Http404
        if not self.has_view_permission(request, upstream):
            raise PermissionDenied
        return render(request, "admin/upstreams/upstream/now.html", self.now_context(request, upstream))

    def now_context(self, request: HttpRequest, upstream: Upstream) -> dict[str, Any]:
        """How the upstream is at this moment."""
        return {
            "original": upstream,
            "state": self.state_badge(upstream),
            "health": badge(*HEALTH_BADGES[upstream.health]),
            "latency": duration(upstream.latency_ms),
            "checked": self.checked(upstream),
            "load": self.load(upstream),
            "asleep": bool(upstream.posture.get("asleep")),
            "is_away": upstream.health == UNHEALTHY,
        }

    def get_urls(self) -> list[URLPattern]:
        def own(route: str, view: Any, name: str) -> URLPattern:
            pattern: URLPattern = path(route, self.admin_site.admin_view(view), name=f"upstreams_upstream_{name}")
            return pattern

        return [
            own("add/check/", self.preview_view, "preview"),
            own("<int:object_id>/check/", self.check_view, "check"),
            own("<int:object_id>/try/", self.try_view, "try"),
            own("<int:object_id>/state/", self.state_view, "state"),
            own("<int:object_id>/control/", self.control_view, "control"),
            own("<int:object_id>/now/", self.now_view, "now"),
            *super().get_urls(),
        ]


def _findings(upstream: Upstream) -> list[posture.Finding]:
    return posture.findings(upstream.url, upstream.vllm_version, posture.Posture.stored(upstream.posture))
