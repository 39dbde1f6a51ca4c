"""What people call limits, periods and amounts, in the admin. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any

from common import money
from keys.limit_values import SOFT_BUDGET, Unit

LIMIT_WORDS = {
    "rpm_limit": "Calls a minute",
    "tpm_limit": "Tokens a minute",
    "max_parallel_requests": "Calls at once",
    "model_rpm_limit": "Calls a minute, per model",
    "model_tpm_limit": "Tokens a minute, per model",
    "max_budget": "Budget",
    "budget_limits": "More budgets",
    "model_max_budget": "Budget, per model",
    "token_budget": "Token budget",
    SOFT_BUDGET: "Soft budget",
}
KIND_WORDS = {"key": "virtual key", "team": "team", "user": "owner", "end_user": "end user"}
PERIOD_CHOICES = (
    ("", "Never"),
    ("1h", "Every hour"),
    ("1d", "Every day"),
    ("1w", "Every week, on Monday"),
    ("1mo", "Every month, on the first"),
    ("3mo", "Every three months"),
    ("12mo", "Every year"),
)
UNPRICED = "Nothing spent: no model it used has a price."
_EACH = {
    "": "in all",
    "1h": "each hour",
    "1d": "each day",
    "1w": "each week",
    "1mo": "each month",
    "3mo": "each quarter",
    "12mo": "each year",
}
# Other spellings of the same windows.
_SAME = {"hourly": "1h", "daily": "1d", "weekly": "1w", "7d": "1w", "monthly": "1mo", "30d": "1mo"}
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_CENT = Decimal("0.01")


def limit_word(name: str) -> str:
    """What people call this limit; an unknown name is its own word."""
    return LIMIT_WORDS.get(name, name)


def each(period: str) -> str:
    """How often a budget of this period starts anew: `each day`, or `in all`."""
    return _EACH.get(_SAME.get(period, period), f"each {period}")


def period_choices(kept: str = "") -> list[tuple[str, str]]:
    """The periods to choose from, with one that was set elsewhere: in the place of another spelling of it, or last."""
    usual = _SAME.get(kept, kept)
    if usual in dict(PERIOD_CHOICES):
        return [(kept if value == usual else value, words) for value, words in PERIOD_CHOICES]
    return [*PERIOD_CHOICES, (kept, f"Every {kept}")]


def dollars(units: int) -> str:
    """An amount in units of `common.money` as `$1.20`: cut, never rounded up; small ones with more digits."""
    amount = money.dollars(units)
    if amount and abs(amount) < _CENT:
        step = Decimal(1).scaleb(amount.adjusted() - 1)
        return f"${amount.quantize(step, ROUND_DOWN).normalize():f}"
    whole = amount.quantize(_CENT, ROUND_DOWN)
    cut = amount.quantize(Decimal("0.0001"), ROUND_DOWN)
    return f"${cut.normalize():f}" if amount < 1 and cut != whole else f"${whole:,.2f}"


def so_many(number: int, nouns: str) -> str:
    """A number with its noun, which is given in the plural: `1 call`, `1,200 tokens`."""
    return f"{number:,} {nouns.removesuffix('s') if number == 1 else nouns}"


def amount(number: int, unit: Unit) -> str:
    """Money or tokens."""
    return dollars(number) if unit == "usd" else so_many(number, "tokens")


def used_of(used: int, ceiling: int, unit: Unit) -> str:
    """`$1.20 of $5.00`, `1,200 of 5,000 tokens`."""
    return f"{dollars(used)} of {dollars(ceiling)}" if unit == "usd" else f"{used:,} of {so_many(ceiling, 'tokens')}"


def until(ends_at: datetime, now: datetime) -> str:
    """When a window ends, in UTC and in as few words as will do: `14:00`, `midnight`, `Monday`, `1 December`."""
    end, today = ends_at.astimezone(UTC), now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    is_midnight = (end.hour, end.minute, end.second) == (0, 0, 0)
    if end - today < timedelta(days=1):
        return f"{end:%H:%M} UTC"
    if is_midnight and end - today == timedelta(days=1):
        return "midnight UTC"
    if end - today < timedelta(days=7):
        return _DAYS[end.weekday()] if is_midnight else f"{_DAYS[end.weekday()]}, {end:%H:%M} UTC"
    return f"{end.day} {end:%B}" if end.year == today.year or end - today < timedelta(days=60) else f"{end:%B %Y}"


def in_short(row: Any) -> str:
    """A row's limits other than budgets, on one line; empty where it has none."""
    parts = [_rates(row)]
    if row.max_parallel_requests is not None:
        parts.append(f"{row.max_parallel_requests:,} at once")
    if row.model_rpm_limit or row.model_tpm_limit:
        parts.append("some per model")
    return "; ".join(part for part in parts if part)


def _rates(row: Any) -> str:
    rates: Sequence[tuple[int | None, str]] = ((row.rpm_limit, "calls"), (row.tpm_limit, "tokens"))
    told = [so_many(most, what) for most, what in rates if most is not None]
    return f"{', '.join(told)} a minute" if told else ""
