"""The calls that are open on an upstream now, as the relays report them, as far as somebody may see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from common.admin import duration
from gateway.account import relay_report
from gateway.admin_pages.home.notices import admin_url
from keys.models import VirtualKey
from keys.scope import scoped_keys, visible_teams

MOST_LINES = 20


@dataclass(frozen=True, slots=True)
class Line:
    """One open call. `key_url` is the page of its key; empty for who may not see that. `lasted` is how long it is open,
    in words."""

    call_id: str
    key: str
    key_url: str
    model: str
    route: str
    started: datetime
    lasted: str


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
    names = dict(scoped_keys(VirtualKey.objects.filter(pk__in=_keys(told)), user).values_list("pk", "name"))
    may_open = user.has_perm("keys.view_virtualkey")
    seen = sorted((one for one in told if sees_all or one.get("key_id") in names), key=lambda one: one["started"])
    lines = [_line(one, names, may_open=may_open) for one in seen[:MOST_LINES]]
    return InFlight(count, lines, max(0, (count or len(seen)) - len(lines)))


def _is_on(call: dict[str, Any], upstream_id: int) -> bool:
    return str(call.get("upstream_id")) == str(upstream_id)


def _keys(calls: list[dict[str, Any]]) -> set[Any]:
    return {one["key_id"] for one in calls if one.get("key_id")}


def _line(call: dict[str, Any], names: dict[Any, str], *, may_open: bool) -> Line:
    key_id, started = call.get("key_id"), datetime.fromtimestamp(call["started"], UTC)
    return Line(
        str(call["call_id"]),
        (names[key_id] or f"key {key_id}") if key_id in names else "",
        admin_url("keys_virtualkey", key_id) if may_open and key_id in names else "",
        call.get("model") or "",
        call.get("route") or "",
        started,
        duration(max(0.0, (timezone.now() - started) / timedelta(milliseconds=1))),
    )
