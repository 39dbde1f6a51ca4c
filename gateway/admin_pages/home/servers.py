"""The upstreams as a row of tiles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from common.admin import BAD, GOOD, WARNING, badge
from gateway.account import relay_report
from keys.scope import visible_teams
from upstreams.admin import STATE_BADGES
from upstreams.admin_history import ASLEEP_BADGE, HEALTH_BADGES
from upstreams.models import ACTIVE, HEALTHY, Upstream

MOST = 24
BAR = 100
FULL, NEARLY_FULL = 0.95, 0.8


@dataclass(frozen=True, slots=True)
class Server:
    """One upstream. `in_flight` is None where nobody knows, or where it is not for this person. `has_load`: vLLM said
    how busy it is, and is there to say so."""

    row: Upstream
    url: str
    badges: list[SafeString]
    in_flight: int | None
    has_load: bool

    @property
    def cache_bar(self) -> int:
        """The length of the bar of the KV cache, of 100."""
        return round(min(1.0, self.row.kv_cache_use or 0.0) * BAR)

    @property
    def cache_kind(self) -> str:
        """Its colour."""
        use = self.row.kv_cache_use or 0.0
        return BAD if use >= FULL else WARNING if use >= NEARLY_FULL else GOOD


def servers(user: Any) -> tuple[list[Server], int]:
    """The tiles, what is in trouble first, and how many upstreams have none."""
    rows = list(Upstream.objects.order_by("name"))
    rows.sort(key=lambda row: (row.state != ACTIVE, row.health == HEALTHY))
    reports = relay_report.current() if visible_teams(user) is None else []
    in_flight = relay_report.added(reports, "in_flight") if reports else None
    now = timezone.now()
    return [_server(row, in_flight, now) for row in rows[:MOST]], max(0, len(rows) - MOST)


def _server(row: Upstream, in_flight: dict[str, int] | None, now: datetime) -> Server:
    # A healthy upstream that takes calls needs one word only; one that sleeps lets them wait.
    badges = [] if row.state == ACTIVE else [badge(*STATE_BADGES[row.state])]
    if row.health == HEALTHY and row.posture.get("asleep"):
        badges.append(badge(*ASLEEP_BADGE))
    elif row.state == ACTIVE or row.health != HEALTHY:
        badges.append(badge(*HEALTH_BADGES[row.health]))
    return Server(
        row=row,
        url=reverse("admin:upstreams_upstream_change", args=[row.pk]),
        badges=badges,
        in_flight=None if in_flight is None else in_flight.get(str(row.pk), 0),
        has_load=row.has_load(now),
    )
