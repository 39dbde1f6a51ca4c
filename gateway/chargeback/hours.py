"""Splits each hour of a server over the calls that it worked on. Pure: whole numbers in, whole numbers out.

Times are microseconds since 1970, money is in the units of `common.money`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from gateway.chargeback.apportioning import IDLE, Group, divided

SECOND = 1_000_000
HOUR = 3_600 * SECOND
SCALE = 1_000  # of weights, which have three decimal places


@dataclass(frozen=True, slots=True)
class Weights:
    """How much a token of each kind counts. A completion token keeps a GPU busy for longer than one of a prompt."""

    prompt: Decimal = Decimal(1)
    cached: Decimal = Decimal("0.1")
    completion: Decimal = Decimal(4)

    def of(self, prompt: int | None, cached: int | None, completion: int | None) -> int:
        """The weight of a call. One whose tokens nobody knows counts as one token of a prompt."""
        if prompt is None and completion is None:
            return int(self.prompt * SCALE)
        hit = min(cached or 0, prompt or 0)
        fresh = (prompt or 0) - hit
        return int((self.prompt * fresh + self.cached * hit + self.completion * (completion or 0)) * SCALE)


class Period(NamedTuple):
    """What an hour of an upstream cost, from one moment to another."""

    upstream_id: int
    price: int
    start: int
    end: int


class Call(NamedTuple):
    """A call that an upstream worked on."""

    start: int
    end: int
    upstream_id: int
    weight: int
    group: Group


class Share(NamedTuple):
    """A part of a server's time, and what it cost."""

    money: int
    time: int


@dataclass(slots=True)
class Slice:
    """A time of one price within one hour of an upstream, and who used it.

    Calls are added in the order of their starts. `busy`: how long at least one call was open.
    """

    upstream_id: int
    price: int
    start: int
    end: int
    weights: dict[Group, int] = field(default_factory=dict)
    busy: int = 0
    _covered: int = 0

    @property
    def bill(self) -> int:
        """What it cost, used or not."""
        return (self.price * (self.end - self.start) * 2 + HOUR) // (HOUR * 2)

    def add(self, call: Call) -> None:
        """Adds the part of a call that lies within; its tokens count by that part."""
        start, end = max(call.start, self.start), min(call.end, self.end)
        if end <= start:
            return
        if call.weight:
            part = max(1, call.weight * (end - start) // (call.end - call.start))
            self.weights[call.group] = self.weights.get(call.group, 0) + part
        if end > self._covered:
            self.busy += end - max(start, self._covered)
            self._covered = end

    def fill(self, weights: Mapping[Group, int], busy: int) -> None:
        """Takes sums in the place of calls; `busy` is how long calls were open in the whole hour, all added up."""
        self.weights = dict(weights)
        self.busy = min(self.end - self.start, busy * (self.end - self.start) // HOUR)

    def split(self) -> dict[Group, Share]:
        """The bill over those who used it, by their weights, for the time that it was busy; the rest is idle."""
        length = self.end - self.start
        weights = {group: weight for group, weight in self.weights.items() if weight}
        busy = self.busy if weights else 0
        money = self.bill * busy // length
        times = divided(busy, weights)
        shares = {group: Share(part, times[group]) for group, part in divided(money, weights).items()}
        return {**shares, IDLE: Share(self.bill - money, length - busy)}


def slices(periods: Iterable[Period], start: int, end: int) -> Iterator[Slice]:
    """What of the periods lies within one hour."""
    for period in periods:
        first, last = max(period.start, start), min(period.end, end)
        if first < last:
            yield Slice(period.upstream_id, period.price, first, last)


class Ledger:
    """Shares of each upstream, added up over hours."""

    def __init__(self) -> None:
        self.shares: dict[int, dict[Group, Share]] = {}

    def enter(self, one: Slice) -> None:
        """Adds what a slice of an hour comes to."""
        mine = self.shares.setdefault(one.upstream_id, {})
        for group, share in one.split().items():
            before = mine.get(group, Share(0, 0))
            mine[group] = Share(before.money + share.money, before.time + share.time)
