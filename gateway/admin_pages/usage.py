"""What was used in the last 24 hours, from the roll-ups, for the admin's pages. Knows no page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from django.db.models import Sum
from django.utils import timezone

from gateway.models import UsageHour, UsageHourQuerySet

DAY = timedelta(hours=24)
NOTHING = {"calls": 0, "errors": 0, "refused": 0, "cut": 0, "prompt_tokens": 0, "completion_tokens": 0}


def last_day() -> UsageHourQuerySet:
    """The roll-ups of the last 24 hours, the whole hour in which they began included."""
    now = timezone.now()
    return UsageHour.objects.between(now - DAY, now)


def calls_per_upstream(ids: Sequence[int]) -> dict[int, int]:
    """Calls of the last 24 hours by upstream id."""
    rows = last_day().filter(upstream_id__in=ids).order_by().values("upstream_id").annotate(sum_calls=Sum("calls"))
    return dict(rows.values_list("upstream_id", "sum_calls"))


def of_each(column: str, values: Collection[str]) -> dict[str, dict[str, int]]:
    """Calls, those of them that were not answered, and tokens of the last 24 hours by team (`team_id`), owner
    (`user_id`) or end user (`end_user`)."""
    sums = {f"sum_{name}": Sum(name) for name in NOTHING}
    rows = last_day().filter(**{f"{column}__in": values}).order_by().values(column).annotate(**sums)
    return {value: dict(zip(NOTHING, found, strict=True)) for value, *found in rows.values_list(column, *sums)}
