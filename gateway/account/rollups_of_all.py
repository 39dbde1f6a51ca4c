"""Which sums of all teams together the calls of an hour or of a day are part of. Pure.

By the hour and by the day there is one for each model and upstream, which each team's sums have once more, as they may
have a tag's or an end user's; by the month one for each team, key, owner and end user, who are many: whose sums are the
largest is found among these.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

HOUR, DAY, MONTH = "hour", "day", "month"
EVERY = "all"
"""The dimension of all calls together, of which the value is empty."""

OF_HOURS = ("model", "upstream")
OF_DAYS = ("model", "upstream", "tag", "end_user")
OF_MONTHS = ("team", "key", "owner", "end_user")

Key = tuple[str, str, datetime, str]
"""Span, dimension, start, value."""


def of_day(dimension: str, day: date, value: str) -> Iterator[Key]:
    """The sums that those of a team on a day are part of."""
    if dimension in OF_DAYS:
        yield DAY, dimension, start_of(day), value
    if dimension in OF_MONTHS:
        yield MONTH, dimension, start_of(day.replace(day=1)), value
    if dimension == "team":
        yield DAY, EVERY, start_of(day), ""


def of_hour(hour: datetime, model: str, upstream_id: int) -> Iterator[Key]:
    """The sums that those of an hour are part of."""
    yield HOUR, "model", hour, model
    yield HOUR, "upstream", hour, str(upstream_id or "")


def start_of(day: date) -> datetime:
    """The midnight (UTC) with which a day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
