"""Who used what, from the daily roll-ups: sums of each value of a dimension, and how they lie in time. Days are UTC."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from django.db.models import F, Max, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from gateway.account.endings import failed_of, failed_share
from gateway.account.rollups_of_all import DAY, EVERY, MONTH, OF_DAYS, OF_MONTHS
from gateway.account.rollups_of_all import start_of as midnight_of
from gateway.admin_pages.usage_ranking import largest, month_after, months
from gateway.models import UsageDay, UsageOfAll
from keys.models import EndUser, Owner, Team, VirtualKey
from upstreams.models import Upstream

DIMENSIONS = {
    "team": "Team",
    "key": "Key",
    "owner": "Owner",
    "end_user": "End user",
    "model": "Model",
    "upstream": "Upstream",
    "tag": "Tag",
}
MEASURES = {"tokens": "Tokens", "cost": "Cost", "calls": "Calls", "failed": "Failed", "refused": "Refused"}
STEPS = {"day": "Day", "week": "Week", "month": "Month"}
MOST_ROWS = 100
MOST_SERIES = 7
OTHERS = "All others"
MOST_PLACES = 5_000
"""Of an index, that are looked up one by one for days and teams; where there are more, all between are read."""

_COLUMNS = ("calls", "errors", "refused", "cut", "prompt_tokens", "completion_tokens", "cached_tokens", "cost")
_SUMS = {f"sum_{name}": Sum(name) for name in _COLUMNS}
_ORDER = {
    "tokens": (F("sum_prompt_tokens") + F("sum_completion_tokens")).desc(),
    "cost": F("sum_cost").desc(nulls_last=True),
    "calls": F("sum_calls").desc(),
    "failed": (F("sum_errors") - F("sum_refused") - F("sum_cut")).desc(),
    "refused": F("sum_refused").desc(),
}
_PARTS = {
    "tokens": {"prompt_tokens": 1, "completion_tokens": 1},
    "failed": {"errors": 1, "refused": -1, "cut": -1},
}
"""What a measure that is no column of its own adds up, and takes away."""
_UNITS = {"tokens": "tokens", "cost": "USD", "calls": "calls", "failed": "calls", "refused": "calls"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be shown: `by` a dimension, days from `first` to `last`, of these teams alone (None: of all)."""

    by: str
    first: date
    last: date
    measure: str = "tokens"
    step: str = "day"
    teams: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One value and what its calls came to. `cost` in US dollars, None where nothing had a price. `errors` are all
    that were not answered (`gateway.account.endings`)."""

    value: str
    name: str
    calls: int = 0
    errors: int = 0
    refused: int = 0
    cut: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost: Decimal | None = None

    @property
    def tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def failed(self) -> int:
        """Calls."""
        return failed_of(self.errors, self.refused, self.cut)

    @property
    def failed_per_cent(self) -> float | None:
        """Of the calls that were let through and not cut."""
        share = failed_share(answered=self.calls - self.errors, failed=self.failed)
        return None if share is None else 100 * share


def rows_of(asked: Asked) -> QuerySet[Any]:
    """The roll-ups by day that are asked about."""
    if asked.teams is None and asked.by in OF_DAYS:
        return _of_all(asked, asked.by)
    return _of_teams(asked, asked.by)


def _of_teams(asked: Asked, dimension: str) -> QuerySet[Any]:
    rows = UsageDay.objects.filter(dimension=dimension)
    if asked.teams is None:
        return rows.filter(day__range=(asked.first, asked.last))
    days = _days(asked)
    if len(days) * len(asked.teams) > MOST_PLACES:
        return rows.filter(team_id__in=asked.teams, day__range=(asked.first, asked.last))
    return rows.filter(team_id__in=asked.teams, day__in=days)  # as many places of the index, not all teams between


def _days(asked: Asked) -> list[date]:
    return [asked.first + timedelta(days=number) for number in range((asked.last - asked.first).days + 1)]


def _of_all(asked: Asked, dimension: str) -> QuerySet[Any]:
    rows = UsageOfAll.objects.filter(span=DAY, dimension=dimension, start__in=list(map(midnight_of, _days(asked))))
    found: QuerySet[Any] = rows.annotate(day=TruncDate("start", tzinfo=UTC))
    return found


def _every(asked: Asked) -> QuerySet[Any]:
    """All calls, each once: every call has one team, or none."""
    return _of_all(asked, EVERY) if asked.teams is None else _of_teams(asked, "team")


def lines(asked: Asked, most: int | None = MOST_ROWS) -> tuple[list[Line], bool]:
    """The values with the most of the measure, and whether there are more than `most`."""
    found = None if most is None else _found_by_month(asked, most + 1)
    if found is None:
        found = _found(asked, count=None if most is None else most + 1)
    names = names_of(asked.by, [value for value, *_ in found], asked.teams)
    made = [Line(value, _name(asked.by, value, label, names), *_figures(sums)) for value, label, *sums in found]
    return made[:most], most is not None and len(found) > most


def _found(asked: Asked, values: Collection[str] | None = None, count: int | None = None) -> list[Any]:
    """Value, label and sums of each value (or of these), those with most of the measure first: the first `count`."""
    parts = [rows if values is None else rows.filter(value__in=values) for rows in _parts(asked)]
    if len(parts) == 1:
        return list(_sums_of(asked, parts[0])[:count])
    return _joined(asked, [row for part in parts for row in _sums_of(asked, part)])[:count]


def _parts(asked: Asked) -> list[QuerySet[Any]]:
    """The roll-ups that are asked about: of whole months those by month, which are few, and of the days before and
    after these those by day."""
    whole = [month for month in months(asked.first, asked.last) if _is_whole(month, asked)]
    if not whole or asked.teams is not None or asked.by not in OF_MONTHS:
        return [rows_of(asked)]
    before = replace(asked, last=whole[0] - timedelta(days=1))
    after = replace(asked, first=month_after(whole[-1]))
    days = [rows_of(part) for part in (before, after) if part.first <= part.last]
    return [UsageOfAll.objects.filter(span=MONTH, dimension=asked.by, start__in=list(map(midnight_of, whole))), *days]


def _is_whole(month: date, asked: Asked) -> bool:
    """Whether all of its days that have come are asked about."""
    last = min(month_after(month) - timedelta(days=1), timezone.now().date())
    return asked.first <= month and last <= asked.last


def _sums_of(asked: Asked, rows: QuerySet[Any]) -> QuerySet[Any]:
    """Value, label and sums of each value, those with most of the measure first."""
    grouped = rows.order_by().values("value").annotate(named=Max("label"), **_SUMS)
    ordered: QuerySet[Any] = grouped.order_by(_ORDER[asked.measure], "value")
    return ordered.values_list("value", "named", *_SUMS)


def _joined(asked: Asked, rows: Iterable[Any]) -> list[Any]:
    """The same of several parts together."""
    found: dict[str, list[Any]] = {}
    for value, *sums in rows:
        known = found.get(value)
        found[value] = sums if known is None else [max(known[0], sums[0]), *map(_plus, known[1:], sums[1:])]

    def place(row: list[Any]) -> tuple[Any, ...]:
        weight = _weight(asked, dict(zip(_COLUMNS, row[2:], strict=True)))
        return -weight, asked.measure == "cost" and row[-1] is None, row[0]

    return sorted(([value, *sums] for value, sums in found.items()), key=place)


def _plus(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else one + other


def _found_by_month(asked: Asked, count: int) -> list[Any] | None:
    """The `count` largest, where the sums of months tell which these may be; None where they do not, or need not."""
    if asked.teams is not None or asked.by not in OF_MONTHS:
        return None
    return largest(
        *(asked.by, asked.first, asked.last, asked.measure, count),
        sums_of=lambda values: _found(asked, values),
        weight_of=lambda row: _weight(asked, dict(zip(_COLUMNS, row[2:], strict=True))),
    )


def _weight(asked: Asked, sums: Mapping[str, Any]) -> Any:
    parts = _PARTS.get(asked.measure, {asked.measure: 1})
    return sum(sign * (sums[name] or 0) for name, sign in parts.items())


def total(asked: Asked) -> Line:
    """Of all calls, each once."""
    sums = _every(asked).aggregate(**_SUMS)
    return Line("", "Total", *_figures([sums[name] for name in _SUMS]))


def _figures(sums: Iterable[Any]) -> list[Any]:
    *counts, cost = sums
    return [*(count or 0 for count in counts), None if cost is None else Decimal(cost)]


# --- In time -------------------------------------------------------------------------------------------------------


def chart(asked: Asked, top: list[Line]) -> dict[str, Any]:
    """The measure of the first lines and of all others, by day, week or month, as `{% chart %}` takes it."""
    shown = top[:MOST_SERIES]
    starts = list(_starts(asked))
    of_each = _by_step(asked, rows_of(asked).filter(value__in=[line.value for line in shown]))
    series = [(line.name, [of_each.get((line.value, start), 0) for start in starts]) for line in shown]
    if asked.by != "tag" and len(top) > len(shown):  # a call may have several tags, and none
        every = _by_step(asked, _every(asked), is_total=True)
        rest = [every.get(("", start), 0) - sum(values[at] for _, values in series) for at, start in enumerate(starts)]
        series.append((OTHERS, [max(0, value) for value in rest]))
    return {
        "x": [int(datetime(start.year, start.month, start.day, tzinfo=UTC).timestamp()) for start in starts],
        "series": [
            {"name": name, "unit": _UNITS[asked.measure], "values": [round(value, 6) for value in values]}
            for name, values in series
        ],
        "stacked": asked.by != "tag",
        "kind": "bars",
        "dates": asked.step,
    }


def start_of(day: date, step: str) -> date:
    """The first day of the day's week (a Monday) or month; or the day."""
    if step == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if step == "month" else day


def steps(asked: Asked) -> Iterator[Asked]:
    """The same asked of each step by itself; of the first and the last only the days that are asked about."""
    for _, days in groupby(_days(asked), lambda day: start_of(day, asked.step)):
        first, *rest = days
        yield replace(asked, first=first, last=rest[-1] if rest else first)


def _starts(asked: Asked) -> Iterable[date]:
    return dict.fromkeys(start_of(day, asked.step) for day in _days(asked))


def _by_step(asked: Asked, rows: QuerySet[Any], *, is_total: bool = False) -> dict[tuple[str, date], float]:
    columns = ("day",) if is_total else ("value", "day")
    parts = _PARTS.get(asked.measure, {asked.measure: 1})
    sums = [f"sum_{name}" for name in parts]
    found: dict[tuple[str, date], float] = {}
    grouped = rows.order_by().values(*columns).annotate(**{name: _SUMS[name] for name in sums})
    for row in grouped.values_list(*columns, *sums):
        value = "" if is_total else row[0]
        key = value, start_of(row[len(columns) - 1], asked.step)
        found[key] = found.get(key, 0.0) + sum(
            sign * float(part or 0) for sign, part in zip(parts.values(), row[len(columns) :], strict=True)
        )
    return found


# --- Names ---------------------------------------------------------------------------------------------------------


def names_of(by: str, values: Collection[str], teams: Collection[str] | None = None) -> Mapping[str, str]:
    """What people call these now, where they still exist and have a name. Of keys only those that are these teams' now
    (None: of all): one that went to another team is known here by the name that it had."""
    if by in ("key", "upstream"):
        table, column = (VirtualKey, "name") if by == "key" else (Upstream, "name")
        rows: Any = table._default_manager.filter(pk__in=[int(value) for value in values if value.isdigit()])
        if by == "key" and teams is not None:
            rows = rows.filter(team_id__in=teams)
        return {str(pk): name for pk, name in rows.values_list("pk", column) if name}
    tables: dict[str, tuple[Any, str]] = {
        "team": (Team, "team_id"),
        "owner": (Owner, "user_id"),
        "end_user": (EndUser, "end_user_id"),
    }
    if by not in tables:
        return {}
    table, column = tables[by]
    rows = table._default_manager.filter(**{f"{column}__in": list(values)}).values_list(column, "alias")
    return {ident: alias for ident, alias in rows if alias}


def _name(by: str, value: str, label: str, names: Mapping[str, str]) -> str:
    if not value:
        return f"No {DIMENSIONS[by].lower()}"
    if by in ("key", "upstream"):
        return names.get(value) or label or f"{DIMENSIONS[by]} {value}"
    return names.get(value) or value
