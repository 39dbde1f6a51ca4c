"""Sums out of the hourly roll-ups: the log's rows are not read. Days are those of UTC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import F, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

DAYS = 30
MEASURES = ("calls", "errors", "prompt_tokens", "completion_tokens", "cached_tokens", "cost")
_SUMS = {f"sum_{name}": Sum(name) for name in MEASURES}


class Sums(NamedTuple):
    """What some calls used together; `cost` in US dollars, to which calls without a price add nothing."""

    calls: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost: Decimal | None = None

    @property
    def spend(self) -> float:
        """US dollars."""
        return float(self.cost or 0)

    @property
    def tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    def plus(self, other: Sums) -> Sums:
        """Both together."""
        cost = other.cost if self.cost is None else self.cost + (other.cost or 0)
        return Sums(
            self.calls + other.calls,
            self.errors + other.errors,
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
    if "day" in columns:
        hours = hours.annotate(day=TruncDate("hour", tzinfo=UTC))
    rows = hours.order_by().values(*columns).annotate(**_SUMS)
    costly = F("sum_cost").desc(nulls_last=True)
    ordered = rows.order_by(costly, "-sum_calls", *columns).values_list(*columns, *_SUMS)
    width = len(columns)
    return [Group(row[:width], _sums(row[width:])) for row in (ordered if most is None else ordered[:most])]


def by_day(hours: QuerySet[Any], *columns: str) -> list[Group]:
    """Sums for each day, and each combination of the columns' values on it, by date."""
    found = grouped(hours, "day", *columns)
    return sorted(found, key=lambda group: group.values[0])


def _sums(values: Iterable[Any]) -> Sums:
    *counts, cost = values
    calls, errors, prompt, completion, cached = (count or 0 for count in counts)
    return Sums(calls, errors, prompt, completion, cached, None if cost is None else Decimal(cost))
