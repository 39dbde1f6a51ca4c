"""What was used in the last 24 hours, from the roll-ups, for the admin's pages. Knows no page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.db.models import Sum
from django.utils import timezone

from gateway.models import UsageHour, UsageHourQuerySet

DAY = timedelta(hours=24)
NOTHING = {"calls": 0, "errors": 0, "prompt_tokens": 0, "completion_tokens": 0}


def last_day() -> UsageHourQuerySet:
    """The roll-ups of the last 24 hours, the whole hour in which they began included."""
    now = timezone.now()
    return UsageHour.objects.between(now - DAY, now)


def calls_per_upstream(ids: Sequence[int]) -> dict[int, int]:
    """Calls of the last 24 hours by upstream id."""
    rows = last_day().filter(upstream_id__in=ids).order_by().values("upstream_id").annotate(sum_calls=Sum("calls"))
    return dict(rows.values_list("upstream_id", "sum_calls"))
