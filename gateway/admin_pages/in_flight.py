"""The calls that are open on an upstream now, as the relays report them, as far as somebody may see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.account import relay_report
from keys.models import VirtualKey
from keys.scope import scoped, visible_teams

MOST_LINES = 20


@dataclass(frozen=True, slots=True)
class Line:
    """One open call."""

    call_id: str
    key: str
    model: str
    route: str
    started: datetime


@dataclass(frozen=True, slots=True)
class InFlight:
    """What is open on one upstream. `count` is None where no relay reports, or where it is not for everybody's eyes;
    `more` is how many calls are open beside those in `lines`."""

    count: int | None
    lines: list[Line]
    more: int


def counts() -> dict[str, int] | None:
    """Open calls by upstream id (as text), over all relays; None where no relay reports."""
    reports = relay_report.current()
    return relay_report.added(reports, "in_flight") if reports else None


def on_upstream(upstream_id: int, user: Any) -> InFlight:
    """The calls on one upstream, the oldest first. Who manages teams sees those of their keys only."""
    reports = relay_report.current()
    sees_all = visible_teams(user) is None
    count = relay_report.added(reports, "in_flight").get(str(upstream_id), 0) if reports and sees_all else None
    told = [one for report in reports for one in report.facts.get("calls") or () if _is_on(one, upstream_id)]
    names = dict(scoped(VirtualKey.objects.filter(pk__in=_keys(told)), user).values_list("pk", "name"))
    seen = sorted((one for one in told if sees_all or one.get("key_id") in names), key=lambda one: one["started"])
    lines = [_line(one, names) for one in seen[:MOST_LINES]]
    return InFlight(count, lines, max(0, (count or len(seen)) - len(lines)))


def _is_on(call: dict[str, Any], upstream_id: int) -> bool:
    return str(call.get("upstream_id")) == str(upstream_id)


def _keys(calls: list[dict[str, Any]]) -> set[Any]:
    return {one["key_id"] for one in calls if one.get("key_id")}


def _line(call: dict[str, Any], names: dict[Any, str]) -> Line:
    started = datetime.fromtimestamp(call["started"], UTC)
    return Line(
        str(call["call_id"]),
        names.get(call.get("key_id"), ""),
        call.get("model") or "",
        call.get("route") or "",
        started,
    )
