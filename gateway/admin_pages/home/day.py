"""The last 24 hours out of the roll-ups, for the chart and the lists of what was used most.

Cheap however many keys there are: models by the hour have a small table of their own; of the keys, the likeliest are
found among the daily sums, and only their hours are read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, QuerySet, Sum
from django.utils import timezone

from gateway.models import UsageDay, UsageHour, UsageHourModel
from keys.scope import scoped

HOURS = 24
MOST_KEYS = 30  # whose hours are read
MEASURES = ("calls", "errors", "refused", "prompt_tokens", "completion_tokens")
CALLS, ERRORS, REFUSED, PROMPT, COMPLETION = range(len(MEASURES))

Sums = list[int]
Part = dict[Any, Sums]
Hours = list[tuple[datetime, Part]]

_ORDERS: dict[str, Any] = {
    "calls": F("sum_calls"),
    "errors": F("sum_errors") - F("sum_refused"),
    "tokens": F("sum_prompt_tokens") + F("sum_completion_tokens"),
}


def by_model(user: Any) -> Hours:
    """The last 24 hours by model, the oldest first; the one that runs is the last."""
    return _hours(scoped(UsageHourModel.objects.filter(hour__gte=_first()), user), "model")


def by_key(user: Any, key_ids: Collection[int]) -> Hours:
    """Likewise, by the ids of these keys; 0 stands for calls without one."""
    rows = UsageHour.objects.filter(key_id__in=key_ids, hour__gte=_first())
    return _hours(scoped(rows, user), "key_id")


def busiest_keys(user: Any, measure: str) -> list[int]:
    """The keys that may have most calls, errors or tokens: by the sums of today and of the days that began the day."""
    days = UsageDay.objects.filter(dimension="key", day__gte=_first().date())
    rows = _summed(scoped(days, user).order_by().values("value"))
    most = rows.order_by(_ORDERS[measure].desc(), "value").values_list("value", flat=True)[:MOST_KEYS]
    return [int(value) if value.isdecimal() else 0 for value in most]


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


def _hours(rows: QuerySet[Any], column: str) -> Hours:
    first = _first()
    found: dict[datetime, Part] = {first + timedelta(hours=hour): {} for hour in range(HOURS)}
    told = _summed(rows.order_by().values("hour", column))
    for hour, value, *counts in told.values_list("hour", column, *(f"sum_{name}" for name in MEASURES)):
        if hour in found:
            found[hour][value] = counts
    return list(found.items())


def _summed(rows: Any) -> Any:
    return rows.annotate(**{f"sum_{name}": Sum(name) for name in MEASURES})
