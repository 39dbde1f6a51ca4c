"""What was used in the last 24 hours, from the roll-ups, for the admin's pages. Knows no page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from gateway.account.rollups_of_all import HOUR
from gateway.account.usage_sums import UsageHourQuerySet
from gateway.models import UsageHour, UsageHourModel, UsageOfAll
from keys.scope import scoped, visible_teams

DAY = timedelta(hours=23)
"""Before the hour that runs: with it they are the 24 that the first page shows, so that both tell the same figures."""
NOTHING = {"calls": 0, "errors": 0, "refused": 0, "cut": 0, "prompt_tokens": 0, "completion_tokens": 0}


def last_day() -> UsageHourQuerySet:
    """The roll-ups of the last 24 hours, the one that runs as the last of them."""
    now = timezone.now()
    return UsageHour.objects.between(now - DAY, now)


def _hours() -> list[datetime]:
    """The same hours, one by one."""
    now = timezone.now()
    first = (now - DAY).replace(minute=0, second=0, microsecond=0)
    return [first + timedelta(hours=hour) for hour in range(26) if first + timedelta(hours=hour) < now]


def calls_per_upstream(user: Any, ids: Sequence[int]) -> dict[int, int]:
    """Calls of the last 24 hours by upstream id, of the teams that the person may see."""
    if visible_teams(user) is not None:
        of_teams = scoped(last_day().filter(upstream_id__in=ids), user).order_by().values("upstream_id")
        return dict(of_teams.annotate(sum_calls=Sum("calls")).values_list("upstream_id", "sum_calls"))
    hours = UsageOfAll.objects.filter(span=HOUR, dimension="upstream", start__in=_hours(), value__in=map(str, ids))
    rows = hours.order_by().values("value").annotate(sum_calls=Sum("calls"))
    return {int(value): calls for value, calls in rows.values_list("value", "sum_calls")}


def of_each(column: str, values: Collection[str]) -> dict[str, dict[str, int]]:
    """Calls, those of them that were not answered, and tokens of the last 24 hours by team (`team_id`), owner
    (`user_id`) or end user (`end_user`)."""
    sums = {f"sum_{name}": Sum(name) for name in NOTHING}
    # Teams have fewer rows by model; as each hour is a place of that table's index, those of other teams are not read.
    hours: Any = UsageHourModel.objects.filter(hour__in=_hours()) if column == "team_id" else last_day()
    rows = hours.filter(**{f"{column}__in": values}).order_by().values(column).annotate(**sums)
    return {value: dict(zip(NOTHING, found, strict=True)) for value, *found in rows.values_list(column, *sums)}
