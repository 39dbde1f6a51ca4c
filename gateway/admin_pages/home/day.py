"""The last 24 hours out of the roll-ups: the chart, and the keys and models that were used most.

An hour that is over hardly changes: its sums are kept in memory, so that what a page costs does not grow with the
number of keys. Calls that arrive late (a long stream, a journal that waited) are seen within the minutes that they are
kept for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from gateway.models import UsageHour
from keys.scope import visible_teams

HOURS = 24
MEASURES = ("calls", "errors", "refused", "prompt_tokens", "completion_tokens")
CALLS, ERRORS, REFUSED, PROMPT, COMPLETION = range(len(MEASURES))
KEPT_SECONDS = 300.0
FRESH_HOURS = 2  # the newest, which are read each time
MOST_SCOPES = 32

Sums = list[int]
Part = dict[Any, Sums]
Teams = frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour's sums, by model and by key id."""

    models: Part
    keys: Part

    def by(self, dimension: str) -> Part:
        return self.keys if dimension == "key" else self.models


NOTHING = Hour({}, {})


class LastDay:
    """The hours of the last day, as far as somebody may see them. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[Teams, tuple[float, dict[datetime, Hour]]] = {}
        self._lock = threading.Lock()

    def of(self, user: Any) -> list[tuple[datetime, Hour]]:
        """The last 24 hours, the oldest first; the one that runs is the last. Raises django.db.Error."""
        teams = visible_teams(user)
        last = timezone.now().replace(minute=0, second=0, microsecond=0)
        wanted = [last - timedelta(hours=back) for back in range(HOURS - 1, -1, -1)]
        with self._lock:
            read_at, kept = self._kept.get(teams, (0.0, {}))
        is_kept = bool(kept) and self._clock() - read_at < KEPT_SECONDS and wanted[-FRESH_HOURS - 1] in kept
        missing = wanted[-FRESH_HOURS:] if is_kept else wanted
        found = {**(kept if is_kept else {}), **_read(missing[0], teams)}
        if not is_kept:
            self._keep(teams, {hour: found.get(hour, NOTHING) for hour in wanted})
        return [(hour, found.get(hour, NOTHING)) for hour in wanted]

    def forget(self) -> None:
        """Reads everything again."""
        with self._lock:
            self._kept.clear()

    def _keep(self, teams: Teams, hours: dict[datetime, Hour]) -> None:
        with self._lock:
            while len(self._kept) >= MOST_SCOPES:
                del self._kept[next(iter(self._kept))]
            self._kept[teams] = (self._clock(), hours)


def _read(start: datetime, teams: Teams) -> dict[datetime, Hour]:
    rows = UsageHour.objects.filter(hour__gte=start)
    if teams is not None:
        rows = rows.filter(team_id__in=teams)
    sums = {f"sum_{name}": Sum(name) for name in MEASURES}
    found: dict[datetime, Hour] = {}
    for place, column in enumerate(("model", "key_id")):
        told = rows.order_by().values("hour", column).annotate(**sums).values_list("hour", column, *sums)
        for hour, value, *counts in told.iterator():
            of_hour = found.setdefault(hour, Hour({}, {}))
            (of_hour.keys if place else of_hour.models)[value] = counts
    return found


def added(parts: Iterable[Part]) -> Part:
    """Several hours in one."""
    sums: Part = {}
    for part in parts:
        for value, counts in part.items():
            known = sums.get(value)
            if known is None:
                sums[value] = list(counts)
            else:
                for place, count in enumerate(counts):
                    known[place] += count
    return sums


last_day = LastDay()
