"""The last 24 hours out of the roll-ups, for the chart and the lists of what was used most.

Cheap however many keys there are: models by the hour have small sums of their own; of the keys, the likeliest are
found among the daily sums, which are looked through now and then, and only their hours are read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import F, QuerySet, Sum
from django.utils import timezone

from gateway.account.rollups_of_all import HOUR
from gateway.admin_pages.home.kept import Kept
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
Ranking = list[tuple[int, str]]
"""Weights and values, the heaviest first."""

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


def lately(user: Any) -> Hours:
    """As `by_model`, up to 20 seconds old: for what is asked for every few seconds."""
    return _of_all_models.of(visible_teams(user), lambda: by_model(user))


def by_key(user: Any, key_ids: Collection[int]) -> Hours:
    """Likewise, by the ids of these keys; 0 stands for calls without one."""
    rows = UsageHour.objects.filter(key_id__in=key_ids, hour__gte=_first())
    return _hours(scoped(rows, user), "key_id")


def busiest_keys(user: Any, measure: str) -> list[int]:
    """The keys that may have most of a figure: those with the highest sums of a day, of today and the day
    before, but for those of the playground.

    Each day's sums are looked through along an index, without a sum for every key: today's at most every 20 seconds,
    and those of the day before, to which only late calls are added, every 10 minutes.
    """
    first, today = _first().date(), timezone.now().date()
    found = _of_today.of((today, measure, visible_teams(user)), lambda: _ranking(user, measure, today))
    if first != today:
        before = _of_the_day_before.of((first, measure, visible_teams(user)), lambda: _ranking(user, measure, first))
        found = sorted([*found, *before], key=lambda one: (-one[0], one[1]))[:MOST_KEYS]
    return sorted({int(value) if value.isdecimal() else 0 for _, value in found})


def _is_long(ranking: Ranking) -> bool:
    """Of few keys the sums are looked through quickly, and each new one is shown at once."""
    return len(ranking) == MOST_KEYS


_of_all_models: Kept[Hours] = Kept(20)
_of_today: Kept[Ranking] = Kept(20, _is_long)
_of_the_day_before: Kept[Ranking] = Kept(600, _is_long)


def forget() -> None:
    """Looks through the sums anew."""
    _of_all_models.forget()
    _of_today.forget()
    _of_the_day_before.forget()


def _ranking(user: Any, measure: str, day: date) -> Ranking:
    days = UsageDay.objects.filter(dimension="key", day=day).exclude(label__startswith=PLAYGROUND)
    heaviest = scoped(days, user).annotate(weight=_WEIGHTS[measure]).order_by("-weight", "value")
    return list(heaviest.values_list("weight", "value")[:MOST_KEYS])


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
