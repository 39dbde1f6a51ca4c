"""The admin pages of the request log: read-only, paged by key, never counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from common.admin import BAD, DASH, GOOD, QUIET, WARNING, badge, duration, figure, moment
from gateway.account.entry import Outcome
from gateway.admin_pages.causes import cause_of
from gateway.admin_pages.log_filters import MOST_MODELS, LogFilterForm, known_values, page_of
from gateway.admin_pages.log_parties import parties_of
from gateway.admin_pages.timeline import WIDTH, bars
from gateway.models import RequestLog
from keys.limit_words import limit_word
from upstreams.models import Upstream

if TYPE_CHECKING:
    _LogAdmin = admin.ModelAdmin[RequestLog]
else:
    _LogAdmin = admin.ModelAdmin

BEFORE, AFTER = "before", "after"

OUTCOME_KINDS = {
    Outcome.COMPLETED: GOOD,
    Outcome.CLIENT_DISCONNECTED: QUIET,
    Outcome.REFUSED: WARNING,
    Outcome.REVOKED: WARNING,
    Outcome.DRAINED: WARNING,
}
SOURCE_WORDS = {
    "reported": "as the upstream reported them",
    "estimated": "estimated from the chunks, because the answer was not read to its end",
    "unknown": "not known",
    "none": "no tokens were counted",
}


class LogChangeList(ChangeList):
    """One page of the log. Django's lookups, counts and page numbers play no part."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> Any:
        self.filter_form = LogFilterForm(request.GET)
        self.filter_specs: list[Any] = []
        self.has_filters = False
        self.has_active_filters = bool(self.filter_form.chosen)
        self.clear_all_filters_qs = "?"
        return self.root_queryset

    def get_results(self, request: HttpRequest) -> None:
        branches = self.filter_form.branches(RequestLog.objects.all())
        before, after = (_call_id(request.GET.get(name)) for name in (BEFORE, AFTER))
        page = page_of(branches, self.list_per_page, before=before, after=after)
        self.result_list = page.rows
        self.result_count = len(page.rows)
        self.newer_url = self._link(request, {AFTER: page.rows[0]}) if page.rows and page.has_newer else ""
        self.older_url = self._link(request, {BEFORE: page.rows[-1]}) if page.rows and page.has_older else ""
        self.newest_url = self._link(request, {}) if before or after else ""
        self.models = known_values("model", MOST_MODELS)
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.full_result_count = None
        self.show_admin_actions = False
        self.paginator = None

    @staticmethod
    def _link(request: HttpRequest, place: dict[str, RequestLog]) -> str:
        query = request.GET.copy()
        for name in (BEFORE, AFTER):
            query.pop(name, None)
        query.update({name: row.pk.hex for name, row in place.items()})
        return f"?{query.urlencode()}"


class RequestLogAdmin(_LogAdmin):
    """Every call: the list, and what happened in one of them."""

    list_display = ("received", "result", "key", "model_asked", "path", "tokens", "took")
    list_display_links = ("received",)
    list_per_page = 50
    sortable_by = ()
    show_full_result_count = False
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return LogChangeList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Request logs", **(extra_context or {})})

    # --- The list ---------------------------------------------------------------------------------

    @admin.display(description="received")
    def received(self, call: RequestLog) -> SafeString | str:
        return moment(call.received_at)

    @admin.display(description="result")
    def result(self, call: RequestLog) -> SafeString:
        return result_badge(call)

    @admin.display(description="virtual key")
    def key(self, call: RequestLog) -> str:
        return call.key_name or DASH

    @admin.display(description="model and upstream")
    def model_asked(self, call: RequestLog) -> SafeString:
        return format_html('{} <span class="under">{}</span>', call.model or DASH, call.upstream_name or "no upstream")

    @admin.display(description="route")
    def path(self, call: RequestLog) -> SafeString:
        method = "" if call.method == "POST" else f"{call.method} "
        return format_html('<span class="mono">{}{}</span>', method, call.route)

    @admin.display(description="tokens in → out")
    def tokens(self, call: RequestLog) -> SafeString | str:
        if call.total_tokens is None:
            return DASH
        about = "≈ " if call.usage_source == "estimated" else ""
        return format_html(
            '<span class="number">{}{} → {}</span>', about, figure(call.prompt_tokens), figure(call.completion_tokens)
        )

    @admin.display(description="took")
    def took(self, call: RequestLog) -> SafeString:
        ttft = "" if call.ttft_ms is None else f"TTFT {duration(call.ttft_ms)}"
        return format_html(
            '<span class="number">{}</span><span class="under number">{}</span>', duration(call.duration_ms), ttft
        )

    # --- One call ---------------------------------------------------------------------------------

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        call = self.get_object(request, object_id)
        context = _details(request, call) if call is not None else {}
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})


def result_badge(call: RequestLog) -> SafeString:
    """Status and outcome in one label."""
    words = "completed" if call.outcome == Outcome.COMPLETED else call.outcome.replace("_", " ")
    text = f"{call.status} {words}" if call.status else words
    return badge(_kind(call), text)


def _kind(call: RequestLog) -> str:
    status = call.status or 0
    if call.outcome == Outcome.COMPLETED and status >= 400:
        return BAD if status >= 500 else WARNING
    return OUTCOME_KINDS.get(Outcome(call.outcome), BAD) if call.outcome in set(Outcome) else BAD


def _details(request: HttpRequest, call: RequestLog) -> dict[str, Any]:
    parties = {party.kind: party for party in parties_of(request, call)}
    cause = cause_of(call.outcome, call.status, call.error_type, call.error_text)
    return {
        "title": f"Call {call.request_id}",
        "subtitle": None,
        "result": result_badge(call),
        "received": moment(call.received_at),
        "cause": cause,
        "mend": parties.get(cause.whose) if cause is not None else None,
        "parties": list(parties.values()),
        "shadowed": [limit_word(name) for name in call.shadowed],
        "bars": [(bar, duration(bar.length_ms), duration(bar.start_ms)) for bar in bars(_moments(call))],
        "bar_width": WIDTH,
        "took": duration(call.duration_ms),
        "attempts": figure(call.attempts, "upstream" if call.attempts == 1 else "upstreams"),
        "waited": "" if call.queue_ms is None else duration(call.queue_ms),
        "ttft": duration(call.ttft_ms),
        "inter_token": DASH if call.inter_token_ms is None else f"{call.inter_token_ms:.1f} ms",
        "token_figures": _token_figures(call),
        "source": SOURCE_WORDS.get(call.usage_source, call.usage_source),
        "cost": DASH if call.cost is None else f"{call.cost:.6f} US dollars",
        "bytes_in": figure(call.bytes_in, "bytes"),
        "bytes_out": figure(call.bytes_out, "bytes"),
        "upstream_exists": call.upstream_id is not None and Upstream.objects.filter(pk=call.upstream_id).exists(),
    }


def _moments(call: RequestLog) -> list[tuple[str, float]]:
    return [(moment.name, moment.offset_ms) for moment in call.timeline]


def _token_figures(call: RequestLog) -> list[tuple[str, str]]:
    figures = (
        ("Prompt", call.prompt_tokens),
        ("of these cached", call.cached_tokens),
        ("Completion", call.completion_tokens),
        ("of these reasoning", call.reasoning_tokens),
    )
    return [(name, figure(number)) for name, number in figures if number is not None]


def _call_id(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None
