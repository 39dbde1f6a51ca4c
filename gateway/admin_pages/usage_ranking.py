"""Which values of a dimension have most of a measure, among a hundred thousand, without the sums of all of them.

The largest of each month are looked at first. What is not among these has, in the days that are asked about, at most as
much as the least of them together: where that is less than what the last one to be shown has, none was missed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import date
from typing import Any

from django.db.models import DecimalField, F, Sum, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from gateway.account.rollups_of_all import DAY, EVERY, MONTH, start_of
from gateway.admin_pages.home.kept import Kept
from gateway.models import UsageOfAll

LOOKED_AT = (300, 3_000)
"""How many of each month: more where the first were too few. Then all values are summed."""
MOST_NAMED = 20_000
"""Values in one question: SQLite may take no more than 32,766, and by then the sums of all of them are found sooner."""

WEIGHTS: dict[str, Any] = {
    "tokens": F("prompt_tokens") + F("completion_tokens"),
    "cost": Coalesce("cost", Value(0), output_field=DecimalField(max_digits=24, decimal_places=10)),
    "calls": F("calls"),
    "failed": F("errors") - F("refused") - F("cut"),
    "refused": F("refused"),
}
"""The measures of a row; none of them is ever negative."""

Rows = list[Any]


def largest(
    dimension: str,
    first: date,
    last: date,
    measure: str,
    count: int,
    sums_of: Callable[[Collection[str]], Rows],
    weight_of: Callable[[Any], Any],
) -> Rows | None:
    """The `count` largest of all teams' values in these days; None where only the sums of all of them would tell.

    `sums_of` gives the rows of some values with their sums of these days, the largest first; `weight_of` the measure of
    such a row.
    """
    for most in LOOKED_AT:
        values, least, are_all = set[str](), 0, True
        for month in months(first, last):
            top = _top(dimension, month, measure, most)
            values |= {value for value, _ in top}
            if len(top) == most:
                least, are_all = least + top[-1][1], False
        if len(values) > MOST_NAMED:
            return None
        found = sums_of(values)
        if are_all or (len(found) >= count and weight_of(found[count - 1]) >= least):
            return found[:count]
    return None


def _top(dimension: str, month: date, measure: str, most: int) -> list[tuple[str, Any]]:
    def look() -> list[tuple[str, Any]]:
        rows = UsageOfAll.objects.filter(span=MONTH, dimension=dimension, start=start_of(month))
        ordered = rows.annotate(weight=WEIGHTS[measure]).order_by("-weight", "value")
        return list(ordered.values_list("value", "weight")[:most])

    if month_after(month) > timezone.now().date():
        return look()
    days = UsageOfAll.objects.filter(
        span=DAY, dimension=EVERY, start__gte=start_of(month), start__lt=start_of(month_after(month))
    )
    calls = days.aggregate(sum_calls=Sum("calls"))["sum_calls"]
    return _of_past_months.of((dimension, month, measure, most, calls), look)


_of_past_months: Kept[list[tuple[str, Any]]] = Kept(600)
"""Until a call of the month is added: then it has another number of them."""
forget = _of_past_months.forget


def months(first: date, last: date) -> Iterator[date]:
    """The first days of the months in which these days lie."""
    month = first.replace(day=1)
    while month <= last:
        yield month
        month = month_after(month)


def month_after(month: date) -> date:
    """The first day of the month after the one that begins with this day."""
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)
