"""Hourly and daily sums of calls, kept in the transaction that inserts the calls' rows, so that they outlive the rows.

Knows neither journals nor batches: it is told which calls are new, and adds each of them once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from operator import add, itemgetter
from typing import Any, TypeVar

from django.db import connections, router

from gateway.account import histogram
from gateway.account.bulk_insert import BulkInsert
from gateway.account.endings import Ending, ending_of
from gateway.account.rollups_of_all import of_day, of_hour
from gateway.models import Usage, UsageDay, UsageHour, UsageHourModel, UsageHourTag, UsageHourTotal, UsageOfAll

OTHER = "other"
MOST_VALUES_AN_HOUR = 1_000
_HOURS_REMEMBERED = 48
_ROWS_AT_ONCE = 400  # of about 50 parameters each; SQLite takes 32,766 in one statement

_SUMMED = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
_MEASURES = ("calls", "errors", "refused", "cut", *_SUMMED)
_BUCKETS = (*histogram.TTFT_COLUMNS, *histogram.DURATION_COLUMNS)
_DURATION_START = len(histogram.TTFT_COLUMNS)
_NAMES = ("key_name", "upstream_name")


def _ending(entry: Mapping[str, Any]) -> Ending:
    return ending_of(entry.get("outcome"), entry.get("status"))


class Cap:
    """Lets the first 1,000 different values of a dimension in an hour through; the rest become "other".

    Clients choose end users, models and tags, so nothing else bounds the number of rows. Each recorder counts for
    itself, from what it finds in the table: several on one database may together let a few more through.
    """

    def __init__(self, most: int = MOST_VALUES_AN_HOUR) -> None:
        self._most = most
        self._seen: dict[tuple[type[Usage], str, datetime], set[str]] = {}

    def of(self, table: type[Usage], dimension: str, hour: datetime, value: str) -> str:
        """The value, or "other"."""
        seen = self._seen.get((table, dimension, hour))
        if seen is None:
            seen = self._seen[table, dimension, hour] = self._recall(table, dimension, hour)
        if value in seen or not value:
            return value
        if len(seen) >= self._most:
            return OTHER
        seen.add(value)
        return value

    def _recall(self, table: type[Usage], dimension: str, hour: datetime) -> set[str]:
        while len(self._seen) >= 3 * _HOURS_REMEMBERED:
            del self._seen[next(iter(self._seen))]
        # Written out: three of these stand before each hour's first call, and Django takes ten times as long to put
        # them together as the database to carry them out.
        connection = connections[router.db_for_write(table)]
        statement = f"SELECT DISTINCT {dimension} FROM {table._meta.db_table} WHERE hour = %s LIMIT %s"  # noqa: S608 - our own names
        with connection.cursor() as cursor:
            cursor.execute(statement, [connection.ops.adapt_datetimefield_value(hour), self._most])
            return {value for (value,) in cursor.fetchall()} - {""}


class Sums:
    """The measures of some calls that share their dimensions."""

    __slots__ = ("cost", "label", "measures")

    def __init__(self) -> None:
        self.measures = [0] * len(_MEASURES)
        self.cost: Decimal | None = None
        self.label = ""

    def add(self, entry: Mapping[str, Any], ending: Ending) -> None:
        """Adds one call's counts."""
        measures = self.measures
        measures[0] += 1
        measures[1] += ending is not Ending.ANSWERED
        measures[2] += ending is Ending.REFUSED
        measures[3] += ending is Ending.CUT
        for place, name in enumerate(_SUMMED, 4):
            measures[place] += entry.get(name) or 0
        cost = entry.get("cost")
        if cost is not None:
            self.cost = (self.cost or Decimal(0)) + Decimal(cost)

    def plus(self, other: Sums) -> None:
        """Adds what other calls came to."""
        self.measures = list(map(add, self.measures, other.measures))
        if other.cost is not None:
            self.cost = other.cost if self.cost is None else self.cost + other.cost


class HourSums(Sums):
    """Those of an hour, with the histograms of their times and the names of key and upstream."""

    __slots__ = ("buckets", "names")

    def __init__(self) -> None:
        super().__init__()
        self.buckets = [0] * len(_BUCKETS)
        self.names = ["", ""]

    def add_times(self, entry: Mapping[str, Any]) -> None:
        """Adds one call to the histograms, if its times are known."""
        ttft, ended = entry.get("ttft_ms"), entry.get("ended_at")
        if ttft is not None:
            self.buckets[histogram.bucket_of(histogram.TTFT_BOUNDS_MS, ttft)] += 1
        if ended is not None:
            duration = (ended - entry["received_at"]) * 1000
            self.buckets[_DURATION_START + histogram.bucket_of(histogram.DURATION_BOUNDS_MS, duration)] += 1


AnySums = TypeVar("AnySums", bound=Sums)


def add_usage(entries: Iterable[Mapping[str, Any]], cap: Cap) -> None:
    """Adds calls that were not counted before. Call it inside the transaction that inserts their rows.

    Rows are written in the order of their dimensions, so that two recorders wait for each other rather than
    deadlock. Raises what the database raises.
    """
    hours: dict[tuple[Any, ...], HourSums] = {}
    days: dict[tuple[Any, ...], Sums] = {}
    models: dict[tuple[Any, ...], Sums] = {}
    tags: dict[tuple[Any, ...], Sums] = {}
    totals: dict[tuple[Any, ...], Sums] = {}
    of_all: dict[tuple[Any, ...], Sums] = {}
    for entry in entries:
        ending = _ending(entry)
        hour = _hour(entry["received_at"])
        sums = _of(hours, _dimensions(entry, hour, cap), HourSums)
        sums.add(entry, ending)
        sums.add_times(entry)
        sums.names = [entry.get(name) or "" for name in _NAMES]
        _of(totals, (hour,)).add(entry, ending)
        for tag in entry.get("tags") or ():
            tag = cap.of(UsageHourTag, "tag", hour, tag)
            _of(tags, (hour, tag)).add(entry, ending)
            _of(days, ("tag", hour.date(), entry.get("team_id") or "", tag)).add(entry, ending)
    for dimensions, sums in hours.items():
        hour, _, team_id, _, _, model, upstream_id = dimensions
        _of(models, (hour, team_id, model)).plus(sums)
        for day, label in _days_of(dimensions, sums.names):
            sums_of_day = _of(days, day)
            sums_of_day.plus(sums)
            sums_of_day.label = label
        for key in of_hour(hour, model, upstream_id):
            _of(of_all, key).plus(sums)
    for (dimension, date_of, _, value), sums_of_day in days.items():
        for key in of_day(dimension, date_of, value):
            every = _of(of_all, key)
            every.plus(sums_of_day)
            every.label = sums_of_day.label
    _execute(_ADD_HOURS, [[*key, *s.measures, *s.buckets, s.cost, *s.names] for key, s in _sorted(hours)])
    _execute(_ADD_MODELS, [[*key, *s.measures, s.cost] for key, s in _sorted(models)])
    _execute(_ADD_TAGS, [[*key, *s.measures, s.cost] for key, s in _sorted(tags)])
    _execute(_ADD_DAYS, [[*key, *s.measures, s.cost, s.label] for key, s in _sorted(days)])
    # Last, since all recorders write the same rows of these, and wait for each other: those of months, which are many,
    # before those of hours and days.
    _execute(_ADD_OF_ALL, [[*key, *s.measures, s.cost, s.label] for key, s in reversed(_sorted(of_all))])
    _execute(_ADD_TOTALS, [[*key, *s.measures, s.cost] for key, s in _sorted(totals)])


def _execute(statement: BulkInsert, rows: list[list[Any]]) -> None:
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        statement.execute(rows[start : start + _ROWS_AT_ONCE])


def _sorted(sums: dict[tuple[Any, ...], AnySums]) -> list[tuple[tuple[Any, ...], AnySums]]:
    return sorted(sums.items(), key=itemgetter(0))


def _of(sums: dict[tuple[Any, ...], AnySums], key: tuple[Any, ...], kind: Any = Sums) -> AnySums:
    found = sums.get(key)
    if found is None:
        found = sums[key] = kind()
    return found


def _days_of(dimensions: tuple[Any, ...], names: list[str]) -> Iterator[tuple[tuple[str, date, str, str], str]]:
    """Each daily sum, with its label, that the calls of an hour with these dimensions are part of."""
    hour, key_id, team_id, user_id, end_user, model, upstream_id = dimensions
    day = hour.date()
    yield ("team", day, team_id, team_id), ""
    yield ("key", day, team_id, str(key_id or "")), names[0]
    yield ("owner", day, team_id, user_id), ""
    yield ("end_user", day, team_id, end_user), ""
    yield ("model", day, team_id, model), ""
    yield ("upstream", day, team_id, str(upstream_id or "")), names[1]


def _hour(unix_seconds: float) -> datetime:
    return datetime.fromtimestamp(unix_seconds // 3600 * 3600, tz=UTC)


def _dimensions(entry: Mapping[str, Any], hour: datetime, cap: Cap) -> tuple[Any, ...]:
    """In the order of `UsageHour.DIMENSIONS`."""
    return (
        hour,
        entry.get("key_id") or 0,
        entry.get("team_id") or "",
        entry.get("user_id") or "",
        cap.of(UsageHour, "end_user", hour, entry.get("end_user") or ""),
        cap.of(UsageHour, "model", hour, entry.get("model") or ""),
        entry.get("upstream_id") or 0,
    )


_Rollup = (
    type[UsageHour]
    | type[UsageHourTag]
    | type[UsageHourTotal]
    | type[UsageHourModel]
    | type[UsageDay]
    | type[UsageOfAll]
)


def _adding(table: _Rollup, summed: Iterable[str], replaced: Iterable[str]) -> BulkInsert:
    """Inserts rows, or adds them to those that stand. Columns: dimensions, summed, cost, replaced."""
    name, dimensions = table._meta.db_table, table.DIMENSIONS
    updates = [
        *(f"{column} = {name}.{column} + excluded.{column}" for column in summed),
        f"cost = COALESCE({name}.cost + excluded.cost, excluded.cost, {name}.cost)",
        *(f"{column} = excluded.{column}" for column in replaced),
    ]
    return BulkInsert(
        table,
        (*dimensions, *summed, "cost", *replaced),
        f"ON CONFLICT ({', '.join(dimensions)}) DO UPDATE SET {', '.join(updates)}",
    )


_ADD_HOURS = _adding(UsageHour, (*_MEASURES, *_BUCKETS), _NAMES)
_ADD_DAYS = _adding(UsageDay, _MEASURES, ("label",))
_ADD_MODELS = _adding(UsageHourModel, _MEASURES, ())
_ADD_TAGS = _adding(UsageHourTag, _MEASURES, ())
_ADD_OF_ALL = _adding(UsageOfAll, _MEASURES, ("label",))
_ADD_TOTALS = _adding(UsageHourTotal, _MEASURES, ())
