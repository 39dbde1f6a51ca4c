"""The last 24 hours out of the roll-ups, for the chart and the lists of what was used most.

Cheap however many keys there are: models by the hour have small sums of their own; of the keys, the likeliest are
found among the daily sums, and only their hours are read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, QuerySet, Sum
from django.utils import timezone

from gateway.account.rollups_of_all import HOUR
from gateway.models import UsageDay, UsageHour, UsageHourModel, UsageOfAll
from keys.scope import scoped, visible_teams
from keys.validation import PLAYGROUND

HOURS = 24
MOST_KEYS = 30  # whose hours are read
MEASURES = ("calls", "errors", "refused", "cut", "prompt_tokens", "completion_tokens")
CALLS, ERRORS, REFUSED, CUT, PROMPT, COMPLETION = range(len(MEASURES))

Sums = list[int]
Part = dict[Any, Sums]
Hours = list[tuple[datetime, Part]]

_WEIGHTS: dict[str, Any] = {
    "calls": F("calls"),
    "failed": F("errors") - F("refused") - F("cut"),
    "refused": F("refused"),
    "tokens": F("prompt_tokens") + F("completion_tokens"),
}


def by_model(user: Any) -> Hours:
    """The last 24 hours by model, the oldest first; the one that runs is the last."""
    if visible_teams(user) is None:
        rows = UsageOfAll.objects.filter(span=HOUR, dimension="model", start__gte=_first())
        return _hours(rows.annotate(hour=F("start"), model=F("value")), "model")
    # Each hour is a place of the index, in which the teams then are; all hours together would be read whole.
    return _hours(scoped(UsageHourModel.objects.filter(hour__in=_each_hour()), user), "model")


def by_key(user: Any, key_ids: Collection[int]) -> Hours:
    """Likewise, by the ids of these keys; 0 stands for calls without one."""
    rows = UsageHour.objects.filter(key_id__in=key_ids, hour__gte=_first())
    return _hours(scoped(rows, user), "key_id")


def busiest_keys(user: Any, measure: str) -> list[int]:
    """The keys that may have most of a figure: those with the highest sums of a day, of today and the day
    before, but for those of the playground. One look along an index, without a sum for every key."""
    days = UsageDay.objects.filter(dimension="key", day__gte=_first().date()).exclude(label__startswith=PLAYGROUND)
    heaviest = scoped(days, user).annotate(weight=_WEIGHTS[measure]).order_by("-weight", "value")
    values = heaviest.values_list("value", flat=True)[:MOST_KEYS]
    return sorted({int(value) if value.isdecimal() else 0 for value in values})


def added(parts: Iterable[Part]) -> Part:
    """Several hours in one."""
    sums: Part = {}
    for part in parts:
        for value, counts in part.items():
            known = sums.setdefault(value, [0] * len(MEASURES))
            for place, count in enumerate(counts):
                known[place] += count
    return sums


def _first() -> datetime:
    return timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)


def _each_hour() -> list[datetime]:
    return [_first() + timedelta(hours=hour) for hour in range(HOURS)]


def _hours(rows: QuerySet[Any], column: str) -> Hours:
    found: dict[datetime, Part] = {hour: {} for hour in _each_hour()}
    sums = {f"sum_{name}": Sum(name) for name in MEASURES}
    told = rows.order_by().values("hour", column).annotate(**sums).values_list("hour", column, *sums)
    for hour, value, *counts in told:
        if hour in found:
            found[hour][value] = counts
    return list(found.items())
