"""The figures at the top: what goes on at this moment, out of the relay's reports, and what today has cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from common.admin import DASH, duration
from gateway.account import recent, relay_report
from gateway.account.endings import failed_share
from gateway.account.histogram import TTFT_BOUNDS_MS, percentile
from gateway.account.relay_report import RelayReport
from gateway.admin_pages.home.day import lately
from gateway.admin_pages.home.trend import Trend, trends
from gateway.models import UsageDay
from keys.scope import visible_teams

NOT_AVAILABLE = "n/a"
SILENT = "No relay reports."
SPEND = "Spend today, UTC"


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure with its unit, what it is, a line that says more, and how it went. `kind` colours the figure."""

    name: str
    figure: str
    unit: str = ""
    more: str = ""
    url: str = ""
    kind: str = ""
    trend: Trend | None = None


def tiles(user: Any) -> list[Tile]:
    """All figures, of the calls that this person may see."""
    teams = visible_teams(user)
    reports = relay_report.current()
    minute, five = _seen(reports, "minute", teams), _seen(reports, "five_minutes", teams)
    is_known = bool(reports)
    trend = trends(lately(user))
    found = [
        _calls(minute, is_known=is_known),
        _failed(five, is_known=is_known),
        _tokens(minute, is_known=is_known),
        _ttft(five, is_known=is_known),
        _in_flight(reports, teams),
        _spend(teams, may_open=user.has_perm("gateway.view_usagehour")),
    ]
    return [replace(tile, trend=trend.get(tile.name)) for tile in found]


def logs_url(**filters: str) -> str:
    """The request log with these filters."""
    url = reverse("admin:gateway_requestlog_changelist")
    return f"{url}?{urlencode(filters)}" if filters else url


def _seen(reports: list[RelayReport], name: str, teams: frozenset[str] | None) -> recent.Figures:
    """The figures of the teams that may be seen, of all workers."""
    told: list[Mapping[str, int]] = [
        figures
        for report in reports
        for team, figures in (report.facts.get(name) or {}).items()
        if teams is None or team in teams
    ]
    return recent.joined(told)


def _calls(minute: recent.Figures, *, is_known: bool) -> Tile:
    calls = minute.get(recent.CALLS, 0)
    more = "in the last minute" if is_known else SILENT
    return Tile("Calls", _number(calls) if is_known else DASH, "/min", more, logs_url())


def _failed(five: recent.Figures, *, is_known: bool) -> Tile:
    names = (recent.CALLS, recent.FAILED, recent.REFUSED, recent.CUT)
    calls, failed, refused, cut = (five.get(name, 0) for name in names)
    url = logs_url(ended="trouble", period="15m")
    if not is_known:
        return Tile("Failed", DASH, "", SILENT, url)
    if not calls:
        return Tile("Failed", DASH, "", "no call in 5 min", url)
    share = failed_share(answered=calls - failed - refused - cut, failed=failed)
    rate = DASH if share is None else f"{share:.1%}".removesuffix("%")
    more = f"{failed:,} failed, {refused:,} refused" + (f", {cut:,} cut" if cut else "")
    return Tile("Failed", rate, "" if share is None else "%", more, url, "bad" if (share or 0) > 0.05 else "")


def _tokens(minute: recent.Figures, *, is_known: bool) -> Tile:
    prompt, completion = (minute.get(name, 0) for name in (recent.PROMPT_TOKENS, recent.COMPLETION_TOKENS))
    more = f"{_rate(prompt)} in, {_rate(completion)} out" if is_known else SILENT
    return Tile("Tokens", _rate(prompt + completion) if is_known else DASH, "/s", more)


def _ttft(five: recent.Figures, *, is_known: bool) -> Tile:
    counts = [five.get(name, 0) for name in recent.TTFT]
    half, most = (percentile(TTFT_BOUNDS_MS, counts, share) for share in (0.5, 0.95))
    if half is None or most is None:
        return Tile("TTFT p50", DASH, "", "no stream in 5 min" if is_known else SILENT)
    figure, unit = _time(half)
    return Tile("TTFT p50", figure, unit, f"p95 {' '.join(_time(most))}")


def _in_flight(reports: list[RelayReport], teams: frozenset[str] | None) -> Tile:
    if not reports:
        return Tile("In flight", DASH, "", SILENT)
    by_team = relay_report.added(reports, "open_by_team")
    count = sum(calls for team, calls in by_team.items() if teams is None or team in teams)
    waiting = sum(report.facts.get("waiting") or 0 for report in reports)
    workers = f"{len(reports)} relay worker{'s' if len(reports) > 1 else ''}"
    more = f"{waiting:,} wait for a place" if waiting and teams is None else workers
    return Tile("In flight", f"{count:,}", "calls" if count != 1 else "call", more)


def _spend(teams: frozenset[str] | None, *, may_open: bool) -> Tile:
    today = timezone.now().date()
    rows = UsageDay.objects.filter(dimension="team", day__in=[today, today - timedelta(days=1)])
    if teams is not None:
        rows = rows.filter(team_id__in=teams)
    spent = dict(rows.order_by().values("day").annotate(sum_cost=Sum("cost")).values_list("day", "sum_cost"))
    now, before = spent.get(today), spent.get(today - timedelta(days=1))
    url = reverse("admin:usage") if may_open else ""
    if now is None and before is None:
        return Tile(SPEND, NOT_AVAILABLE, "", "no call had a price", url)
    return Tile(SPEND, _dollars(now), "", f"yesterday {_dollars(before)}", url)


def _dollars(cost: Decimal | None) -> str:
    if cost is None:
        return NOT_AVAILABLE
    return f"${cost:,.2f}" if cost >= 1 or not cost else f"${cost:.3g}"


def _number(number: float) -> str:
    return f"{number:,.0f}"


def _rate(tokens: int) -> str:
    per_second = tokens / 60
    return f"{per_second:,.0f}" if per_second >= 10 or not tokens else f"{per_second:.1f}"


def _time(milliseconds: float) -> tuple[str, str]:
    number, unit = duration(milliseconds).split(" ")
    return number, unit
