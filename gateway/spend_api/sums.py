"""Sums out of the hourly roll-ups: the log's rows are not read. Days are those of UTC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import F, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from gateway.account.endings import failed_of
from gateway.models import UsageDay

DAYS = 30
MEASURES = ("calls", "errors", "refused", "cut", "prompt_tokens", "completion_tokens", "cached_tokens", "cost")
_SUMS = {f"sum_{name}": Sum(name) for name in MEASURES}


class Sums(NamedTuple):
    """What some calls used together; `cost` in US dollars, to which calls without a price add nothing. `errors` are
    those that were not answered (`gateway.account.endings`)."""

    calls: int = 0
    errors: int = 0
    refused: int = 0
    cut: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost: Decimal | None = None

    @property
    def spend(self) -> float:
        """US dollars."""
        return float(self.cost or 0)

    @property
    def answered(self) -> int:
        """Calls."""
        return self.calls - self.errors

    @property
    def failed(self) -> int:
        """Calls."""
        return failed_of(self.errors, self.refused, self.cut)

    @property
    def tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def is_unpriced(self) -> bool:
        """Whether tokens were used, and none of them had a price."""
        return self.cost is None and self.tokens > 0

    def plus(self, other: Sums) -> Sums:
        """Both together."""
        cost = other.cost if self.cost is None else self.cost + (other.cost or 0)
        return Sums(
            self.calls + other.calls,
            self.errors + other.errors,
            self.refused + other.refused,
            self.cut + other.cut,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            cost,
        )


class Group(NamedTuple):
    """The values that some calls share, in the order asked for, and their sums."""

    values: tuple[Any, ...]
    sums: Sums


def in_range(hours: QuerySet[Any], query: Mapping[str, Any]) -> QuerySet[Any]:
    """The roll-ups of the query's range; without one, of the last 30 days."""
    start = query.get("start_date")
    if start is None and "end_date" not in query:
        start = thirty_days_ago()
    if start is not None:
        hours = hours.filter(hour__gte=start.replace(minute=0, second=0, microsecond=0))
    return hours.filter(hour__lt=query["end_date"]) if "end_date" in query else hours


def thirty_days_ago() -> datetime:
    """The midnight (UTC) that began the day 30 days before this one."""
    return timezone.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS)


def total(hours: QuerySet[Any]) -> Sums:
    """All of them together."""
    sums = hours.order_by().aggregate(**_SUMS)
    return _sums([sums[name] for name in _SUMS])


def grouped(hours: QuerySet[Any], *columns: str, most: int | None = None) -> list[Group]:
    """Sums for each combination of the columns' values, the costliest first, at most `most`; `day` is the date."""
    rows = _rows(hours, columns).order_by(F("sum_cost").desc(nulls_last=True), "-sum_calls", *columns)
    return _groups(rows if most is None else rows[:most], columns)


def by_day(hours: QuerySet[Any], *columns: str) -> list[Group]:
    """Sums for each day, and each combination of the columns' values on it, by date."""
    return _groups(_rows(hours, ("day", *columns)).order_by("day"), ("day", *columns))


def added(groups: Iterable[Group], *places: int) -> dict[tuple[Any, ...], Sums]:
    """The groups summed again by some of their values, those at these places."""
    found: dict[tuple[Any, ...], Sums] = {}
    for values, sums in groups:
        key = tuple(values[place] for place in places)
        found[key] = found[key].plus(sums) if key in found else sums
    return found


def costliest(found: Mapping[Any, Sums], most: int) -> list[Any]:
    """The keys of the largest sums, by cost and then by calls."""
    return sorted(found, key=lambda key: (-found[key].spend, -found[key].calls))[:most]


def _rows(hours: QuerySet[Any], columns: Sequence[str]) -> QuerySet[Any]:
    if "day" in columns and hours.model is not UsageDay:
        hours = hours.annotate(day=TruncDate("hour", tzinfo=UTC))
    rows: QuerySet[Any] = hours.order_by().values(*columns).annotate(**_SUMS)
    return rows


def _groups(rows: QuerySet[Any], columns: Sequence[str]) -> list[Group]:
    width = len(columns)
    return [Group(row[:width], _sums(row[width:])) for row in rows.values_list(*columns, *_SUMS)]


def _sums(values: Iterable[Any]) -> Sums:
    *counts, cost = values
    named = dict(zip(MEASURES, (count or 0 for count in counts), strict=False))
    return Sums(**named, cost=None if cost is None else Decimal(cost))
