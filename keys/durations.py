"""LiteLLM's durations: a number with s, m, h, d, w or mo, or a word such as `weekly`. Pure."""

import calendar
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_number_and_unit = re.compile(r"([0-9]{1,9})(mo|[smhdw])")
_words = {"hourly": "1h", "daily": "1d", "weekly": "1w", "monthly": "1mo"}
_seconds = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def expiry(duration: str, now: datetime) -> datetime:
    """When something that lives this long from now ends. A month keeps the day, or takes the month's last.

    Unlike LiteLLM, the whole text has to fit. Raises ValueError.
    """
    match = _number_and_unit.fullmatch(_words.get(duration, duration))
    if match is None or int(match[1]) == 0:
        raise ValueError("not a duration")
    number, unit = int(match[1]), match[2]
    try:
        return _months_later(now, number) if unit == "mo" else now + timedelta(seconds=number * _seconds[unit])
    except OverflowError as error:
        raise ValueError("too long") from error


def _months_later(now: datetime, months: int) -> datetime:
    years, month = divmod(now.month - 1 + months, 12)
    year = now.year + years
    if year > 9999:
        raise ValueError("too long")
    last_day = calendar.monthrange(year, month + 1)[1]
    return now.replace(year=year, month=month + 1, day=min(now.day, last_day))


@lru_cache(maxsize=4_096)
def _parsed(period: str) -> tuple[int, str]:
    match = _number_and_unit.fullmatch(_words.get(period, period))
    if match is None or int(match[1]) == 0:
        raise ValueError("not a duration")
    number, unit = int(match[1]), match[2]
    if unit == "d" and number % 30 == 0:
        return number // 30, "mo"  # as LiteLLM: 30d means a month
    if unit == "d" and number % 7 == 0:
        return number // 7, "w"
    return number, unit


def is_period(period: str) -> bool:
    """Whether budgets can start anew every such period."""
    try:
        _, end = window(period, _SOME_TIME)
    except ValueError:
        return False
    return end is not None or not period


def window(period: str, now: float) -> tuple[int, int | None]:
    """The window of a budget that holds this moment: its first second and the one after its last (unix seconds).

    "" is one window without an end. Windows are snapped as LiteLLM's are: 1h to the full hour, 1d to midnight UTC,
    7d or 1w to Monday, 30d or 1mo to the first of the month. One that would end after the last year of the calendar has
    no end. Raises ValueError.
    """
    if not period:
        return 0, None
    number, unit = _parsed(period)
    if unit == "mo":
        return _months(number, now)
    length = number * _seconds[unit]
    shift = _MONDAY if unit == "w" else 0
    start = int((now - shift) // length * length) + shift
    end = start + length
    return start, end if end <= _LAST else None


_LAST = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
_SOME_TIME = 946_684_800.0  # 2000
_MONDAY = 4 * 86_400
"""The first Monday of unix time."""


def _months(number: int, now: float) -> tuple[int, int]:
    at = datetime.fromtimestamp(now, UTC)
    first = (at.year * 12 + at.month - 1) // number * number
    return _month_start(first), _month_start(first + number)


def _month_start(months: int) -> int:
    year, month = divmod(months, 12)
    if not 1 <= year <= 9999:
        raise ValueError("too long")
    return int(datetime(year, month + 1, 1, tzinfo=UTC).timestamp())
