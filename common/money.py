"""Money as whole numbers of 1e-10 US dollars, so that sums are exact and every database counts alike."""

from decimal import ROUND_HALF_UP, Decimal

USD = 10_000_000_000
"""Units of money in a US dollar."""

MOST = 9_000_000_000_000_000_000
"""The largest amount that a column of 64 bits takes, with some room."""


def units(amount: Decimal | float) -> int:
    """Dollars in units, rounded to the nearest."""
    return int((Decimal(str(amount)) * USD).to_integral_value(ROUND_HALF_UP))


def dollars(amount: int) -> Decimal:
    """Units in dollars, exactly."""
    return Decimal(amount) / USD


def shown(amount: int) -> str:
    """Units as a number of dollars, without an exponent."""
    return f"{dollars(amount).normalize():f}"
