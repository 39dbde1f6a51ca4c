"""The limits: small classes that only say what a call would use of which counter. Counters do the counting.

To add one: a class here, a place in LIMITS, and a column in `keys.models.limited` that `keys.limit_values` carries.
A counter is named `whose:id/what[@model]/window`; of budgets the window stands in the name, so that a new one begins
with a new counter, and so does the epoch, which grows when what was spent is set anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from keys.counters.charge import Charge, merged
from keys.durations import window
from keys.identity import Party
from keys.limit_values import SOFT_BUDGET, Budget
from keys.patterns import matches

MINUTE = 60.0
CALLS = "calls"
"""The unit of charges that have none."""

InUse = tuple[int, float | None]
"""How much of a counter is in use, and the seconds until it starts anew (None: never)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of a call before it is made.

    `tokens` it may use (prompt and completion), an upper bound where there is one; `most_tokens` is that of a call that
    says nothing, for budgets. `cost` is in the units of `common.money`. `counts_tokens`: whether its route uses any.
    `is_inference`: whether budgets count it.
    """

    model: str | None = None
    tokens: int = 0
    most_tokens: int = 0
    cost: int = 0
    counts_tokens: bool = False
    is_inference: bool = True
    names: tuple[str, ...] = ()
    """Where the call names no model: what the one that answers is called."""
    may_be_any: bool = False
    """Whether nobody can tell which model answers: then the limits of all models count the call."""

    def fits(self, pattern: str) -> bool:
        """Whether a model's limit counts the call."""
        names = self.names if self.model is None else (self.model, *self.names)
        return self.may_be_any or any(matches(pattern, name) for name in names)


Floor = Callable[[str], int]
"""What is known to have been spent of a budget's counter."""


class Limit(Protocol):
    """A limit of a party."""

    def charges(self, party: Party, asked: Asked, floor: Floor, now: float) -> Iterable[Charge]:
        """What one call would use; nothing where there is no ceiling. `now` in unix seconds."""
        ...


class MaxParallelRequests:
    """How many calls may be open at once."""

    def charges(self, party: Party, asked: Asked, floor: Floor, now: float) -> Iterator[Charge]:
        """One place."""
        ceiling = party.limits.parallel
        if ceiling is not None:
            yield _charge(party, "max_parallel_requests", f"{party.scope}/parallel", 1, ceiling)


class RequestsPerMinute:
    """How many calls may begin within a minute of the first one."""

    def charges(self, party: Party, asked: Asked, floor: Floor, now: float) -> Iterator[Charge]:
        """One call, for the party and for each of its patterns that the model fits."""
        limits = party.limits
        if limits.rpm is not None:
            yield _rate(party, "rpm_limit", f"{party.scope}/rpm", limits.rpm)
        for pattern, ceiling in _fitting(limits.model_rpm, asked):
            yield _rate(party, "model_rpm_limit", f"{party.scope}/rpm@{pattern}", ceiling, pattern)


class TokensPerMinute:
    """How many tokens may be used within a minute of the first call: reserved before, and booked after."""

    def charges(self, party: Party, asked: Asked, floor: Floor, now: float) -> Iterator[Charge]:
        """The call's tokens, or what is left where that is less."""
        if not asked.counts_tokens:
            return
        limits = party.limits
        if limits.tpm is not None:
            yield _tokens(party, "tpm_limit", f"{party.scope}/tpm", asked.tokens, limits.tpm)
        for pattern, ceiling in _fitting(limits.model_tpm, asked):
            yield _tokens(party, "model_tpm_limit", f"{party.scope}/tpm@{pattern}", asked.tokens, ceiling, pattern)


class Budgets:
    """What may be spent, in money or tokens, in each window of a period."""

    def charges(self, party: Party, asked: Asked, floor: Floor, now: float) -> Iterator[Charge]:
        """What the call may cost at most, or what is left where that is less."""
        if not asked.is_inference:
            return
        for budget in party.limits.budgets:
            if budget.model is None or asked.fits(budget.model):
                counter, seconds = budget_counter(party, budget, now)
                yield Charge(
                    counter,
                    asked.cost if budget.unit == "usd" else asked.most_tokens,
                    budget.ceiling,
                    seconds=seconds,
                    elastic=True,
                    enforced=budget.name != SOFT_BUDGET and budget.name not in party.limits.shadow,
                    floor=floor(counter),
                    limit=budget.name,
                    unit=budget.unit,
                    subject=party.label,
                    kind=party.kind,
                    model=budget.model,
                    counts="budget",
                )


LIMITS: Sequence[Limit] = (MaxParallelRequests(), RequestsPerMinute(), TokensPerMinute(), Budgets())


def charges_for(parties: Iterable[Party], asked: Asked, floor: Floor, now: float | None = None) -> list[Charge]:
    """All charges of one call, in the order of their counters, so that no two callers can wait for each other."""
    at = time.time() if now is None else now
    return merged(
        charge
        for party in parties
        if party.limits.any_set
        for limit in LIMITS
        for charge in limit.charges(party, asked, floor, at)
    )


def rates_of(party: Party) -> list[Charge]:
    """The party's limits of open calls and of a minute, those of single models last: as a call would be charged that
    any model may answer."""
    asked = Asked(counts_tokens=True, may_be_any=True)
    limits: Sequence[Limit] = (MaxParallelRequests(), RequestsPerMinute(), TokensPerMinute())
    charges = [charge for limit in limits for charge in limit.charges(party, asked, lambda _: 0, 0.0)]
    return sorted(charges, key=lambda charge: charge.model is not None)


def budget_counter(party: Party, budget: Budget, now: float) -> tuple[str, float | None]:
    """The counter of a budget in the window of this moment, and the seconds until that ends (None: never)."""
    model = f"@{budget.model}" if budget.model is not None else ""
    start, end = _window(budget.period, now)
    name = f"{party.scope}/{budget.unit}{model}/{budget.period}/{start}/{party.epoch}"
    return name, None if end is None else max(0.001, end - now)


def is_of_tokens(counter: str) -> bool:
    """Whether a budget's counter counts tokens rather than money."""
    what = counter.rsplit("/", 3)[0]  # of money a pattern's model may follow, of tokens nothing
    return what.endswith("/tokens") and "/usd@" not in what


def spend_counter(party: Party, now: float) -> tuple[str, float | None]:
    """The counter in which the party's spend is told, whether it has a budget or not."""
    return budget_counter(party, Budget("max_budget", "usd", party.period, 0), now)


def _window(period: str, now: float) -> tuple[int, int | None]:
    """As `window`, remembered while it lasts."""
    known = _windows.get(period)
    if known is None or not known[0] <= now < (known[1] or now + 1):
        if len(_windows) > 1_000:
            _windows.clear()
        known = _windows[period] = window(period, now)
    return known


_windows: dict[str, tuple[int, int | None]] = {}


def _fitting(limits: Mapping[str, int], asked: Asked) -> Iterator[tuple[str, int]]:
    return ((pattern, ceiling) for pattern, ceiling in limits.items() if asked.fits(pattern))


def _charge(party: Party, limit: str, counter: str, amount: int, ceiling: int) -> Charge:
    return Charge(
        counter,
        amount,
        ceiling,
        enforced=limit not in party.limits.shadow,
        limit=limit,
        subject=party.label,
        kind=party.kind,
    )


def _rate(party: Party, limit: str, counter: str, ceiling: int, model: str | None = None) -> Charge:
    return Charge(
        counter,
        1,
        ceiling,
        held=False,
        seconds=MINUTE,
        enforced=limit not in party.limits.shadow,
        limit=limit,
        subject=party.label,
        kind=party.kind,
        model=model,
        counts="requests",
    )


def _tokens(party: Party, limit: str, counter: str, amount: int, ceiling: int, model: str | None = None) -> Charge:
    return Charge(
        counter,
        amount,
        ceiling,
        seconds=MINUTE,
        elastic=True,
        enforced=limit not in party.limits.shadow,
        limit=limit,
        unit="tokens",
        subject=party.label,
        kind=party.kind,
        model=model,
        counts="tokens",
    )
