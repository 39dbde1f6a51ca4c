"""How the cost of a call was computed: its tokens, its time and itself, each by its price. Pure.

The amounts are those of `upstreams.pricing`, from the prices that the row kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

MOST_PRICED_SINGLY = Decimal("0.01")


class CostLine(NamedTuple):
    """One part of the cost: what, how much of it, at which price, and what that comes to."""

    what: str
    number: str
    price: str
    amount: Decimal


def cost_lines(
    prices: Mapping[str, str], *, prompt: int | None, completion: int | None, cached: int | None, seconds: float | None
) -> list[CostLine]:
    """The parts in the order of a bill; none where nothing is priced."""
    known = {name: Decimal(price) for name, price in prices.items()}
    return list(_lines(known, prompt or 0, completion or 0, cached or 0, seconds or 0.0))


def _lines(
    prices: Mapping[str, Decimal], prompt: int, completion: int, cached: int, seconds: float
) -> Iterator[CostLine]:
    from_cache = min(cached, prompt) if "cached" in prices else 0
    for name, what, number in (
        ("input", "prompt tokens, not from the cache" if from_cache else "prompt tokens", prompt - from_cache),
        ("cached", "prompt tokens from the cache", from_cache),
        ("output", "completion tokens", completion),
    ):
        if name in prices:
            yield CostLine(what, f"{number:,}", _a_token(prices[name]), prices[name] * number)
    if "second" in prices:
        amount = prices["second"] * Decimal(str(round(seconds, 3)))
        yield CostLine("seconds", f"{seconds:,.3f}", f"${_short(prices['second'])} a second", amount)
    if "request" in prices:
        yield CostLine("call", "1", f"${_short(prices['request'])} a call", prices["request"])


def _a_token(price: Decimal) -> str:
    """Small prices are told for a million, as price lists do."""
    if price < MOST_PRICED_SINGLY:
        return f"${_short(price * 1_000_000)} a million"
    return f"${_short(price)} each"


def _short(number: Decimal) -> str:
    return f"{number.normalize():f}"
