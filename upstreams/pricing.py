"""What a call costs, out of a deployment's prices. Pure; money in the units of `common.money`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from common.money import MOST, units

_COLUMNS = (
    "input_cost_per_token",
    "output_cost_per_token",
    "cache_read_input_token_cost",
    "cost_per_second",
    "cost_per_request",
)
Price = Decimal | None


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars for one prompt token, completion token, cached prompt token, second of the call, and call.

    None is not priced. Cached tokens without a price of their own cost what other prompt tokens cost.
    """

    input: Price = None
    output: Price = None
    cached: Price = None
    second: Price = None
    request: Price = None
    told: Mapping[str, str] = field(init=False, repr=False, compare=False)
    """Those that are set, as texts: made once, since each call's row has them."""

    def __post_init__(self) -> None:
        named = {name: getattr(self, name) for name in ("input", "output", "cached", "second", "request")}
        object.__setattr__(
            self, "told", {name: f"{price.normalize():f}" for name, price in named.items() if price is not None}
        )

    @classmethod
    def of(cls, row: object) -> Prices | None:
        """The prices of a deployment's row; None where it has none."""
        found = [getattr(row, name) for name in _COLUMNS]
        return cls(*found) if any(price is not None for price in found) else None

    @property
    def by_tokens(self) -> bool:
        """Whether what a call costs depends on its tokens."""
        return any(price is not None for price in (self.input, self.output, self.cached))

    def cost(self, prompt: int | None, completion: int | None, cached: int | None, seconds: float) -> int | None:
        """What a call has cost, to the nearest unit; None where it depends on tokens that nobody knows.

        A price that is far too high makes no amount that a row or a budget cannot hold.
        """
        if self.by_tokens and prompt is None and completion is None:
            return None
        from_cache = min(cached or 0, prompt or 0) if self.cached is not None else 0
        total = (
            (self.input or 0) * ((prompt or 0) - from_cache)
            + (self.cached or 0) * from_cache
            + (self.output or 0) * (completion or 0)
            + (self.second or 0) * Decimal(str(round(seconds, 3)))
            + (self.request or 0)
        )
        return min(units(total), MOST)

    def bound(self, prompt: int, completion: int) -> int:
        """What a call of at most so many tokens costs at most, its time left aside."""
        return max(self.cost(prompt, completion, cached, 0.0) or 0 for cached in (0, prompt))
