"""A month's statement for each team, to be read and printed: its keys and models, tokens, cost and hours of servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from gateway.admin_pages.usage_figures import Asked, Line, lines, total
from gateway.chargeback.hours import Weights
from gateway.chargeback.month import Month, NoFullHour, WrongMonth, latest, month
from gateway.chargeback.report import report
from gateway.models import UsageHourTotal
from keys.scope import visible_teams
from upstreams.models import PricePeriod

MOST_CALLS = 200_000
"""Of how many calls a page splits the hours while somebody waits; `manage.py chargeback` does it for any number."""
MOST_STATEMENTS = 30
"""On one page, each with its team's keys and models. Of more teams one is chosen."""
MONTHS = 13
_MOST_KEYS = 200


@dataclass(frozen=True, slots=True)
class Hours:
    """A team's share of the servers: hours, and US dollars."""

    hours: float
    dollars: float


@dataclass(frozen=True, slots=True)
class Statement:
    """One team's month. `hours` is None where they were not split."""

    team: Line
    keys: list[Line]
    more_keys: bool
    models: list[Line]
    hours: Hours | None


def statement_view(request: HttpRequest) -> HttpResponse:
    """The page of a month, `?month=2026-11`; of one team with `?team=`."""
    now = timezone.now()
    newest = latest(now)
    name = request.GET.get("month") or f"{newest:%Y-%m}"
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Monthly statement",
        "month_name": name,
        "months": _months(newest.date()),
        "made_at": now,
    }
    try:
        wanted = month(name, now)
    except NoFullHour:
        return TemplateResponse(request, "admin/usage/statement.html", {**context, "is_too_early": True})
    except WrongMonth as error:
        context["wrong"] = str(error).replace("--month", "The month")
        return TemplateResponse(request, "admin/usage/statement.html", context, status=400)
    context |= _statements(wanted, visible_teams(request.user), request.GET.get("team"))
    return TemplateResponse(request, "admin/usage/statement.html", context)


def _months(first: date) -> Iterator[tuple[str, str]]:
    for _ in range(MONTHS):
        yield f"{first:%Y-%m}", f"{first:%B %Y}"
        first = (first - timedelta(days=1)).replace(day=1)


def _statements(wanted: Month, visible: frozenset[str] | None, only: str | None) -> dict[str, Any]:
    last = (wanted.end - timedelta(microseconds=1)).astimezone(UTC).date()
    of_all = Asked("team", wanted.start.date(), last, "cost", "month", visible)
    teams, _ = lines(of_all, most=None)
    teams = [team for team in teams if only is None or team.value == only]
    context = {"month": wanted, "first": of_all.first, "last": last, "total": total(of_all)}
    if len(teams) > MOST_STATEMENTS:
        return {**context, "choice": teams}
    shares, note = _hours(wanted, sees_all=visible is None)
    found = [_statement(of_all, team, shares) for team in teams]
    return {**context, "statements": found, "note": note, "has_hours": bool(shares)}


def _statement(of_all: Asked, team: Line, shares: Mapping[str, Hours]) -> Statement:
    keys, more = lines(Asked("key", of_all.first, of_all.last, "cost", "month", [team.value]), most=_MOST_KEYS)
    models, _ = lines(Asked("model", of_all.first, of_all.last, "cost", "month", [team.value]), most=_MOST_KEYS)
    return Statement(team, keys, more, models, shares.get(team.value, Hours(0, 0)) if shares else None)


def _hours(wanted: Month, *, sees_all: bool) -> tuple[dict[str, Hours], str]:
    """Each team's share of the servers, and what is to be said of it. Who does not see every team is told no number of
    calls or hours, and no server, since these are of all teams."""
    if not PricePeriod.objects.between(wanted.start, wanted.end).exists():
        return {}, "No upstream had a price per hour in this month, so there are no GPU hours to split."
    calls = _calls(wanted.start, wanted.end)
    if calls > MOST_CALLS:
        of_all = f"of {calls:,} calls " if sees_all else ""
        return {}, (
            f"The GPU hours {of_all}are not split while you wait: "
            f"manage.py chargeback --month {wanted.name} --by team makes the table."
        )
    made = report(wanted, "team", Weights())
    shares = {str(line.group[0]): Hours(line.hours / 10_000, line.cents / 100) for line in made.lines}
    notes = [note for note in made.notes if not note.startswith("The month is not over")]
    if notes and not sees_all:
        notes = ["Some servers or hours of the month are estimated or left out; who sees every team is told which."]
    return shares, " ".join(notes)


def _calls(start: datetime, end: datetime) -> int:
    return UsageHourTotal.objects.filter(hour__gte=start, hour__lt=end).aggregate(n=Sum("calls"))["n"] or 0
