"""LiteLLM's lifetimes: a number with s, m, h, d, w or mo, or a word such as `weekly`. Pure."""

import calendar
import re
from datetime import datetime, timedelta

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
