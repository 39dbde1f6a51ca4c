"""The last 24 hours out of the roll-ups, for the chart and the lists of what was used most.

Cheap however many keys there are: all calls and models by the hour have small sums of their own; of the keys, the
likeliest are found among the daily sums of the teams that used most, and only their hours are read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import F, QuerySet, Sum
from django.utils import timezone

from gateway.account.rollups_of_all import HOUR
from gateway.admin_pages.home.kept import Kept
from gateway.models import UsageDay, UsageHour, UsageHourModel, UsageHourTotal, UsageOfAll
from keys.scope import scoped, visible_teams
from keys.validation import PLAYGROUND

HOURS = 24
MOST_KEYS = 30  # of a day, whose hours are read
SURE_KEYS = 12  # of these: none that is left out had more of the figure on that day
FEW_TEAMS, MOST_TEAMS = 20, 200  # whose keys are looked through
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


def in_all(user: Any) -> Hours:
    """All calls of the last 24 hours, the oldest hour first; the one that runs is the last. Their value is ""."""
    if visible_teams(user) is None:
        rows = UsageHourTotal.objects.filter(hour__gte=_first())
        return _by_hour((hour, "", counts) for hour, *counts in rows.values_list("hour", *MEASURES))
    return _by_hour((hour, "", counts) for hour, *counts in _summed(_models(user), "hour"))


def lately(user: Any) -> Hours:
    """As `in_all`, up to 20 seconds old: for what is asked for every few seconds."""
    return _of_all_calls.of(visible_teams(user), lambda: in_all(user))


def by_model(user: Any) -> Hours:
    """The same hours by model."""
    return _by_hour((hour, model, counts) for hour, model, *counts in _summed(_models(user), "hour", "model"))


def of_models(user: Any) -> Part:
    """The sums of these hours of each model."""
    return {model: counts for model, *counts in _summed(_models(user), "model")}


def _models(user: Any) -> QuerySet[Any]:
    if visible_teams(user) is None:
        rows = UsageOfAll.objects.filter(span=HOUR, dimension="model", start__gte=_first())
        found: QuerySet[Any] = rows.annotate(hour=F("start"), model=F("value"))
        return found
    # Each hour is a place of the index, in which the teams then are; all hours together would be read whole.
    return scoped(UsageHourModel.objects.filter(hour__in=_each_hour()), user)


def by_key(user: Any, key_ids: Collection[int]) -> Hours:
    """The same hours by the ids of these keys; 0 stands for calls without one."""
    rows = _summed(_keys(user, key_ids), "hour", "key_id")
    return _by_hour((hour, key_id, counts) for hour, key_id, *counts in rows)


def of_keys(user: Any, key_ids: Collection[int]) -> Part:
    """The sums of these hours of each of these keys that has any."""
    return {key_id: counts for key_id, *counts in _summed(_keys(user, key_ids), "key_id")}


def _keys(user: Any, key_ids: Collection[int]) -> QuerySet[UsageHour]:
    return scoped(UsageHour.objects.filter(key_id__in=key_ids, hour__gte=_first()), user)


def busiest_keys(user: Any, measure: str) -> list[int]:
    """The keys that may have most of a figure: those with the highest sums of a day, of today and the day
    before, but for those of the playground.

    The sums of the teams that used most on a day are looked through along an index, today's at most every 20 seconds,
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


_of_all_calls: Kept[Hours] = Kept(20)
_of_today: Kept[Ranking] = Kept(20, _is_long)
_of_the_day_before: Kept[Ranking] = Kept(600, _is_long)


def forget() -> None:
    """Looks through the sums anew."""
    _of_all_calls.forget()
    _of_today.forget()
    _of_the_day_before.forget()


def _ranking(user: Any, measure: str, day: date) -> Ranking:
    keys = UsageDay.objects.filter(dimension="key", day=day).exclude(label__startswith=PLAYGROUND)
    if visible_teams(user) is not None:
        return _heaviest(scoped(keys, user), measure, MOST_KEYS)
    teams = _heaviest(UsageDay.objects.filter(dimension="team", day=day), measure, MOST_TEAMS + 1)
    if not teams:
        return []
    found = _heaviest(keys.filter(team_id__in=[team for _, team in teams[:FEW_TEAMS]]), measure, MOST_KEYS)
    # A key has no more than its team: of teams with less than what the last sure one has, none need be looked through.
    least = found[SURE_KEYS - 1][0] if len(found) >= SURE_KEYS else -1
    likely = [team for weight, team in teams if weight > least]
    if len(likely) > MOST_TEAMS:
        return _heaviest(keys, measure, MOST_KEYS)
    if others := likely[FEW_TEAMS:]:
        found += _heaviest(keys.filter(team_id__in=others), measure, MOST_KEYS)
    return sorted(found, key=lambda one: (-one[0], one[1]))[:MOST_KEYS]


def _heaviest(days: QuerySet[UsageDay], measure: str, count: int) -> Ranking:
    rows = days.annotate(weight=_WEIGHTS[measure]).order_by("-weight", "value")
    return list(rows.values_list("weight", "value")[:count])


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


def _summed(rows: QuerySet[Any], *columns: str) -> Iterable[Any]:
    """The columns and the measures of the rows that share them."""
    sums = {f"sum_{name}": Sum(name) for name in MEASURES}
    found: Iterable[Any] = rows.order_by().values(*columns).annotate(**sums).values_list(*columns, *sums)
    return found


def _by_hour(sums: Iterable[tuple[datetime, Any, Sums]]) -> Hours:
    found: dict[datetime, Part] = {hour: {} for hour in _each_hour()}
    for hour, value, counts in sums:
        if hour in found:
            found[hour][value] = counts
    return list(found.items())
