"""A month as it is named and as it is counted, in UTC. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_NAME = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")


class WrongMonth(ValueError):
    """One sentence about what is wrong."""


class NoFullHour(WrongMonth):
    """The month began less than an hour ago: there is nothing to tell of it yet."""


@dataclass(frozen=True, slots=True)
class Month:
    """From `start` up to `end`. One that is not over ends with the last full hour, and `is_over` is false."""

    name: str
    start: datetime
    end: datetime
    is_over: bool


def month(name: str, now: datetime) -> Month:
    """The month of a name such as 2026-11. Raises WrongMonth, and NoFullHour in its first hour."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise WrongMonth(f"--month must be a month such as {now:%Y-%m}.")
    year, number = int(found[1]), int(found[2])
    start = datetime(year, number, 1, tzinfo=UTC)
    end = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
    if start > now:
        raise WrongMonth(f"The month {name} has not begun.")
    last = now.replace(minute=0, second=0, microsecond=0)
    if last == start:
        raise NoFullHour(f"The month {name} has no full hour yet.")
    return Month(name, start, min(end, last), is_over=end <= last)


def latest(now: datetime) -> datetime:
    """When the newest month began that has a full hour: in the first hour of a month the one before."""
    return (now - timedelta(hours=1)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
