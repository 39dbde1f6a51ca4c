"""The usage page: who used what, as a chart, a table and CSV. Whoever manages teams sees theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from common.spreadsheets import lines as lines_of_csv
from gateway.admin_pages.usage_figures import DIMENSIONS, MEASURES, STEPS, Asked, Line, chart, lines, steps, total
from gateway.admin_pages.usage_form import UsageForm
from gateway.models import UsageDay
from keys.models import Team
from keys.scope import scoped, visible_teams

PERMISSION = "gateway.view_usagehour"
_COUNTS = ("calls", "failed", "refused", "cut", "prompt_tokens", "cached_tokens", "completion_tokens")
_HEAD = ("name", *_COUNTS, "cost_usd")


def usage_view(request: HttpRequest) -> HttpResponse:
    """The page."""
    form = _form(request)
    today = timezone.now().date()
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Usage",
        "form": form,
        "query": request.GET.urlencode(),
        "last_month": today.replace(day=1) - timedelta(days=1),
        "has_any": _visible(request).exists,  # asked where there is nothing to show
    }
    if form.is_valid():
        context |= _shown(form.asked(visible_teams(request.user)), request.GET)
    return TemplateResponse(request, "admin/usage/index.html", context, status=200 if form.is_valid() else 400)


def usage_csv(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """The whole table, every line of it, as CSV; with `?in_steps=1` by day, week or month, as `step` says."""
    form = _form(request)
    if not form.is_valid():
        return usage_view(request)
    asked = form.asked(visible_teams(request.user))
    in_steps = bool(request.GET.get("in_steps"))
    parts = f"{asked.by}-and-{asked.step}" if in_steps else asked.by
    return StreamingHttpResponse(
        _csv_in_steps(asked) if in_steps else _csv(asked),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="usage-by-{parts}-{asked.first}-{asked.last}.csv"',
            "Cache-Control": "no-store",
        },
    )


def _form(request: HttpRequest) -> UsageForm:
    teams = scoped(Team.objects.order_by("alias", "team_id"), request.user).values_list("team_id", "alias")
    named = {team: alias or team for team, alias in teams}
    return UsageForm(request.GET.dict(), teams=named, today=timezone.now().date())


def _visible(request: HttpRequest) -> Any:
    return scoped(UsageDay.objects.all(), request.user)


def _shown(asked: Asked, query: Mapping[str, Any]) -> dict[str, Any]:
    top, more = lines(asked)
    every = total(asked)
    largest = max((_measured(line, asked.measure) for line in top), default=0)
    return {
        "asked": asked,
        "measure": MEASURES[asked.measure],
        "dimension": DIMENSIONS[asked.by],
        "step": STEPS[asked.step],
        "lines": [(line, _share(_measured(line, asked.measure), largest)) for line in top],
        "more": more,
        "total": every,
        "chart": chart(asked, top) if top else None,
        "overlaps": asked.by == "tag",
    }


def _measured(line: Line, measure: str) -> float:
    return float(getattr(line, measure) or 0)


def _share(value: float, largest: float) -> float:
    """Per cent of the largest, for the bar behind a figure."""
    return round(100 * value / largest, 1) if largest else 0.0


def _csv(asked: Asked) -> Iterator[str]:
    yield lines_of_csv([[asked.by, *_HEAD]])
    for line in lines(asked, most=None)[0]:
        yield lines_of_csv([_cells(line)])


def _csv_in_steps(asked: Asked) -> Iterator[str]:
    """One step after the other: of three years by day not all lines are in memory at once."""
    yield lines_of_csv([["from", "to", asked.by, *_HEAD]])
    for one in steps(asked):
        for line in lines(one, most=None)[0]:
            yield lines_of_csv([[str(one.first), str(one.last), *_cells(line)]])


def _cells(line: Line) -> list[Any]:
    cost = "" if line.cost is None else f"{line.cost.normalize():f}"
    return [line.value, line.name, *(getattr(line, name) for name in _COUNTS), cost]
