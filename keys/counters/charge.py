"""What a call would use of one counter, what that counter then stands at, and what the call has used in the end."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from common.errors import GatewayError
from common.money import shown
from keys.errors import BudgetExceeded, LimitExceeded
from keys.limit_values import Unit

PLACE_RETRY_AFTER = 1
"""Seconds: a place is free as soon as any call ends, which nobody can foretell."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call would use of one counter.

    `held`: until the call has ended (a place, a reservation) rather than for good (a request). `seconds`: how long
    what has been used counts, from the counter's first use on; 0 for places, None for ever. `elastic`: takes what is
    left where that is less, but never of nothing. `floor`: what is known to have been used already. A charge that is
    not `enforced` is only counted. `limit` is LiteLLM's name of the limit; `unit` is None where calls are counted;
    `subject` is for the sentence of a refusal.
    """

    counter: str
    amount: int
    ceiling: int
    held: bool = True
    seconds: float | None = 0
    elastic: bool = False
    enforced: bool = True
    floor: int = 0
    limit: str = ""
    unit: Unit | None = None
    subject: str = ""
    kind: str = "key"
    model: str | None = None
    """The pattern of models that the limit is for."""
    counts: str = "max_parallel_requests"
    """What is limited, in a refusal's words: `requests`, `tokens`, `max_parallel_requests` or `budget`."""

    @property
    def is_place(self) -> bool:
        """Whether it is one of so many calls at once."""
        return self.held and self.unit is None

    @property
    def needed(self) -> int:
        """How much room there has to be."""
        return 1 if self.elastic else self.amount

    def judged(self, used: int, seconds_left: float | None) -> Standing:
        """How the counter will stand, of which this much is in use. Raises LimitExceeded, BudgetExceeded."""
        room = self.ceiling - used
        if room < self.needed:
            if self.enforced:
                raise self.exceeded(used, seconds_left)
            return Standing(used + self.amount, seconds_left, self.amount, exceeded=True)
        taken = min(self.amount, room) if self.elastic else self.amount
        return Standing(used + taken, seconds_left, taken)

    def looking(self) -> Charge:
        """The same limit for a call that is never made: it refuses where this one would, and takes nothing."""
        return replace(self, amount=0, elastic=True)

    def exceeded(self, used: int, seconds_left: float | None) -> GatewayError:
        """The refusal when this much was in use already; the window ends in so many seconds, None: never."""
        error = self._refusal(used, seconds_left)
        left = None if self.seconds == 0 or seconds_left is None else math.ceil(seconds_left)
        named = (self.kind, self.limit, self.model, self.unit, self.ceiling)
        error.told = {"limit": (*named, used, self.amount, left, True, True)}
        return error

    def _refusal(self, used: int, seconds_left: float | None) -> GatewayError:
        retry_after = PLACE_RETRY_AFTER if self.seconds == 0 else math.ceil(max(1.0, seconds_left or 0))
        if self.counts == "budget":
            return BudgetExceeded(
                kind=self.kind,
                subject=self.subject,
                spent=f"{used} tokens" if self.unit == "tokens" else shown(used),
                ceiling=f"{self.ceiling} tokens" if self.unit == "tokens" else shown(self.ceiling),
                limit=self.limit if self.model is None else f"{self.limit} of {self.model}",
                retry_after=retry_after if seconds_left is not None else None,
            )
        left = max(0, self.ceiling - used)
        error = LimitExceeded(
            kind=self.kind,
            subject=self.subject,
            limit=self.counts,
            ceiling=self.ceiling,
            remaining=left,
            retry_after=retry_after,
            model=self.model,
        )
        if self.seconds:
            error.headers = dict(rate_headers(self.counts, self.ceiling, left, seconds_left))
        return error


class Standing(NamedTuple):
    """How a counter stands after a call was let through: what is in use, and when the window ends (seconds).

    `taken` is the call's part in it.
    """

    used: int
    seconds_left: float | None
    taken: int = 0
    exceeded: bool = False
    """Whether a limit that is not enforced would have refused the call."""


class Spent(NamedTuple):
    """What a call has used of a counter in the end; `seconds` as in Charge."""

    counter: str
    amount: int
    seconds: float | None


def rate_headers(what: str, ceiling: int, left: int, seconds_left: float | None) -> list[tuple[str, str]]:
    """OpenAI's `x-ratelimit-*` of one limit; `what` is `requests` or `tokens`."""
    return [
        (f"x-ratelimit-limit-{what}", str(ceiling)),
        (f"x-ratelimit-remaining-{what}", str(left)),
        (f"x-ratelimit-reset-{what}", f"{math.ceil(max(0.0, seconds_left or 0))}s"),
    ]


def merged(charges: Iterable[Charge]) -> list[Charge]:
    """The charges in the order of their counters, one for each: of two on one counter, the stricter."""
    given = list(charges)
    if len(given) < 2:
        return given
    found: dict[tuple[str, bool], Charge] = {}
    for charge in given:
        key = (charge.counter, charge.enforced)
        other = found.get(key)
        if other is None or charge.ceiling < other.ceiling:
            found[key] = charge
    ordered = sorted(found.values(), key=lambda charge: (charge.counter, not charge.enforced))
    # What is used of a counter is used once, however many ceilings look at it.
    return [
        replace(charge, amount=0, elastic=True) if at and ordered[at - 1].counter == charge.counter else charge
        for at, charge in enumerate(ordered)
    ]
