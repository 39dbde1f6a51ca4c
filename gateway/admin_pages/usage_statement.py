"""A month's statement for each team, to be read and printed: its keys and models, tokens, cost and hours of servers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote

from django.contrib import admin
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from common.admin import DASH, figure
from gateway.admin_pages.usage_figures import Asked, Line, lines
from gateway.admin_pages.usage_form import options
from gateway.chargeback.hours import Weights
from gateway.chargeback.month import Month, NoFullHour, WrongMonth, latest, month
from gateway.chargeback.report import report
from gateway.models import UsageHourTotal
from keys.models import Team
from keys.scope import scoped, visible_teams
from upstreams.models import PricePeriod

MOST_CALLS = 200_000
"""Of how many calls a page splits the hours while somebody waits; `manage.py chargeback` does it for any number."""
MOST_STATEMENTS = 30
"""On one page, each with its team's keys and models. Of more teams one is chosen."""
MONTHS = 13
EVERY_TEAM = "*"
"""What the page sends where no team is chosen: an empty one stands for the calls that have no team."""
_MOST_LINES = 200


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
    more_models: bool
    hours: Hours | None


def statement_view(request: HttpRequest) -> HttpResponse:
    """The page of a month, `?month=2026-11`; of one team with `&team=`, empty for the calls of none."""
    now = timezone.now()
    newest = latest(now)
    name = request.GET.get("month") or f"{newest:%Y-%m}"
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Monthly statement",
        "month_name": name,
        "months": _months(newest.date()),
        "made_at": now,
        "every_team": EVERY_TEAM,
        "team": request.GET.get("team", EVERY_TEAM),
    }
    try:
        wanted = month(name, now)
    except NoFullHour:
        return _page(request, {**context, "is_too_early": True})
    except WrongMonth as error:
        return _page(request, {**context, "wrong": str(error).replace("--month", "The month")}, status=400)
    of_all = _of_all(wanted, visible_teams(request.user))
    teams, _ = lines(of_all, most=None)
    context |= {"month": wanted, "first": of_all.first, "last": of_all.last}
    context |= _statements(wanted, of_all, [team for team in teams if context["team"] in (EVERY_TEAM, team.value)])
    return _page(request, context, teams)


def _page(request: HttpRequest, context: dict[str, Any], found: Iterable[Line] = (), status: int = 200) -> HttpResponse:
    choices = [(EVERY_TEAM, "All teams"), *_choices(request.user, found)]
    shown = {**context, "team_options": options(choices, context["team"])}
    return TemplateResponse(request, "admin/usage/statement.html", shown, status=status)


def _months(first: date) -> Iterator[tuple[str, str]]:
    for _ in range(MONTHS):
        yield f"{first:%Y-%m}", f"{first:%B %Y}"
        first = (first - timedelta(days=1)).replace(day=1)


def _choices(user: Any, found: Iterable[Line] = ()) -> list[tuple[str, str]]:
    """The teams that the person may see, and those that are gone and had calls: ids and names, no team last."""
    rows = scoped(Team.objects.all(), user).values_list("team_id", "alias")
    names = {team: alias or team for team, alias in rows} | {line.value: line.name for line in found}
    return sorted(names.items(), key=lambda one: (not one[0], one[1].casefold()))


def _of_all(wanted: Month, visible: frozenset[str] | None) -> Asked:
    last = (wanted.end - timedelta(microseconds=1)).astimezone(UTC).date()
    return Asked("team", wanted.start.date(), last, "cost", "month", visible)


def _statements(wanted: Month, of_all: Asked, teams: list[Line]) -> dict[str, Any]:
    if len(teams) > MOST_STATEMENTS:
        return {"choice": len(teams), "choice_rows": _choice_rows(wanted, teams)}
    if not teams:
        return {}
    shares, note = _hours(wanted, sees_all=of_all.teams is None)
    return {"statements": [_statement(of_all, team, shares) for team in teams], "note": note}


def _choice_rows(wanted: Month, teams: list[Line]) -> SafeString:
    """A row for each team, which leads to its statement: made here, as a template takes much longer for a thousand."""
    row = (
        '<tr><th scope="row"><a href="?{}">{}</a></th>'
        '<td class="number">{}</td><td class="number">{}</td><td class="number">{}</td></tr>'
    )
    cells = (
        (
            f"month={wanted.name}&team={quote(team.value, safe='')}",
            team.name,
            figure(team.calls),
            figure(team.tokens),
            DASH if team.cost is None else f"{team.cost:,.2f}",
        )
        for team in teams
    )
    return format_html_join("\n", row, cells)


def _statement(of_all: Asked, team: Line, shares: Mapping[str, Hours]) -> Statement:
    keys, more_keys = lines(replace(of_all, by="key", teams=[team.value]), most=_MOST_LINES)
    models, more_models = lines(replace(of_all, by="model", teams=[team.value]), most=_MOST_LINES)
    hours = shares.get(team.value, Hours(0, 0)) if shares else None
    return Statement(team, keys, more_keys, models, more_models, hours)


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
