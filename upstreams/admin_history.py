"""The history of an upstream on its page: when it was healthy, and how busy it was."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max, Min, QuerySet
from django.utils.safestring import SafeString

from common.admin import BAD, GOOD, QUIET, WARNING, badge, moment
from upstreams.models import HEALTHY, UNHEALTHY, UNKNOWN, HealthChange, LoadSample, Upstream
from upstreams.seen import Stretch, lasted, load_chart, share, stretches

HEALTH_BADGES = {
    HEALTHY: (GOOD, "Healthy"),
    UNHEALTHY: (BAD, "Unhealthy"),
    UNKNOWN: (QUIET, "Not checked yet"),
}
ASLEEP_BADGE = (WARNING, "Asleep")
SHOWN_DAYS = 7
MOST_LINES = 10
SPAN_WORDS = (("1", "Last hour"), ("24", "Last day"), ("168", "Last 7 days"))
SPANS = {hours: timedelta(hours=int(hours)) for hours, _ in SPAN_WORDS}


@dataclass(frozen=True, slots=True)
class Line:
    """A change of health in words."""

    badge: SafeString
    at: SafeString | str
    lasted: str
    text: str


@dataclass(frozen=True, slots=True)
class HealthHistory:
    """The last days of an upstream: a strip to draw, the latest changes, and the share of healthy time."""

    strip: list[Stretch]
    lines: list[Line]
    healthy_share: str
    since: SafeString | str


@dataclass(frozen=True, slots=True)
class LoadHistory:
    """The load chart, the span that it shows, and the spans that can be chosen (hours, words)."""

    chart: dict[str, Any]
    hours: str
    spans: tuple[tuple[str, str], ...]


def health_history(upstream: Upstream, now: datetime) -> HealthHistory:
    """Two queries: what changed in the days that are shown, and what was before."""
    start = max(now - timedelta(days=SHOWN_DAYS), upstream.created_at)
    rows = HealthChange.objects.filter(upstream=upstream)
    changes = list(rows.filter(at__gt=start).order_by("at", "pk"))
    before = rows.filter(at__lte=start).first()
    drawn = stretches(
        [(one.at, one.health) for one in changes],
        start,
        max(now, start + timedelta(seconds=1)),
        before=before.health if before else UNKNOWN,
    )
    healthy = share(drawn, HEALTHY, of=(HEALTHY, UNHEALTHY))
    known = [*([before] if before else []), *changes][-MOST_LINES:]
    ends = [*(one.at for one in known[1:]), now][: len(known)]
    return HealthHistory(
        # What is bad is drawn last, so that nothing covers a short outage.
        sorted(drawn, key=lambda one: one.health == UNHEALTHY),
        [_line(one, end) for one, end in reversed(list(zip(known, ends, strict=True)))],
        "" if healthy is None else f"{int(healthy * 1000) / 10:g} %",
        moment(start),
    )


def _line(change: HealthChange, end: datetime) -> Line:
    return Line(badge(*HEALTH_BADGES[change.health]), moment(change.at), lasted(end - change.at), change.text)


def load_history(upstream: Upstream, hours: str, now: datetime) -> LoadHistory:
    """The load chart of the last `hours`, which is one of SPANS; else of what is known best."""
    samples = LoadSample.objects.filter(upstream=upstream)
    hours = hours if hours in SPANS else _best_span(samples, now)
    start = now - SPANS[hours]
    rows = samples.filter(at__gte=start)
    chart = load_chart(rows.values_list("at", "running", "waiting", "kv_cache_use"), start, now)
    return LoadHistory(chart, hours, SPAN_WORDS)


def _best_span(samples: QuerySet[LoadSample], now: datetime) -> str:
    """An hour until there is a day to see: the first minutes of a new upstream are no more than a dot in it."""
    known = samples.aggregate(first=Min("at"), last=Max("at"))
    is_new = known["first"] is None or known["first"] > now - SPANS["24"]
    is_silent = known["last"] is not None and known["last"] < now - SPANS["1"]
    return "1" if is_new and not is_silent else "24"
