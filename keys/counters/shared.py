"""What counters that processes share have in common: leases, a queue of settled calls, and a store that may be away.

A store only says how it takes, books and renews. While it is away limits hold within each process, or calls are
refused (`settings.REFUSE_WITHOUT_LIMITS`); only `flush` asks it again, so that no call waits for a store that is away.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from uuid import uuid4

from django.conf import settings

from common.errors import GatewayError
from common.money import MOST
from keys.counters.charge import Charge, Spent, Standing
from keys.counters.memory import MemoryCounters
from keys.errors import LimitsAway

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""How long a store that failed is left alone."""

MOST_UNSENT = 20_000
AT_ONCE = 500
LARGEST_AMOUNT = 2**53
"""What one call can be charged: a store may count in floating point numbers."""

Held = Mapping[str, Mapping[str, int]]
"""Of each lease: how much of which counter."""


class StoreAway(Exception):
    """The store does not answer, or cannot count now. `str()` says what it was, without an address."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A call that is over: its lease may hold something of `counters`, and it has `spent`."""

    lease_id: str
    counters: tuple[str, ...]
    spent: tuple[Spent, ...]
    at: float

    def still_counting(self, now: float) -> Iterator[Spent]:
        """What of it is worth being sent now: its window may be over since."""
        for one in self.spent:
            if one.seconds is None:
                yield one
            elif (left := one.seconds - (now - self.at)) > 0:
                yield one._replace(seconds=left)


@dataclass(frozen=True, slots=True)
class Batch:
    """Settled calls that are sent together. One that is sent twice, after an answer was lost, has the same name."""

    name: str
    calls: tuple[Settled, ...]


class SharedCounters(ABC):
    """As `Counters`, in a store.

    `lifetime` of leases in seconds (default: `settings.LEASE_SECONDS`); `clock` gives seconds from anywhere.
    """

    store = ""
    _title = "The store of the limits"

    def __init__(self, *, lifetime: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime = settings.LEASE_SECONDS if lifetime is None else lifetime
        self._clock = clock
        self._away_until: float | None = None
        self._local = MemoryCounters()
        self._held: dict[str, dict[str, int]] = {}
        self._unsent: deque[Settled] = deque()
        self._batch: Batch | None = None
        self._sending = threading.Lock()

    # --- What a store does. Each raises StoreAway

    @abstractmethod
    def _take_all(self, lease_id: str, charges: Sequence[Charge]) -> list[Standing]:
        """All charges or none; raises what `Charge.exceeded` makes."""

    @abstractmethod
    def _book(self, batch: Batch, now: float) -> None:
        """Ends the calls' leases and books what they spent, in one step."""

    @abstractmethod
    def _prolong(self, held: Held) -> None:
        """These leases live on from now; what the store has lost of them is there again."""

    @abstractmethod
    def _ping(self) -> None:
        """Whether it answers."""

    @abstractmethod
    def _tidy(self) -> None:
        """Clears away what nobody will ask for again."""

    # --- Counters

    @property
    def is_degraded(self) -> bool:
        """Whether the store failed and has not answered since."""
        return self._away_until is not None

    def take(self, lease_id: str, charges: Sequence[Charge]) -> list[Standing]:
        """As Counters.take; exact among all processes."""
        if not charges:
            return []
        is_new = lease_id not in self._held
        held = self._held.setdefault(lease_id, {})
        for charge in charges:  # first: the store may have counted what it could not tell us any more
            if charge.held:
                held.setdefault(charge.counter, 0)
        try:
            standings = self._take_somewhere(lease_id, [_bounded(charge) for charge in charges])
        except GatewayError:
            if is_new:
                self._forget(lease_id)
            raise
        for charge, standing in zip(charges, standings, strict=True):
            if charge.held:
                held[charge.counter] += standing.taken
        return standings

    def _take_somewhere(self, lease_id: str, charges: Sequence[Charge]) -> list[Standing]:
        if not self.is_degraded:
            try:
                return self._take_all(lease_id, charges)
            except StoreAway as error:
                self._note_failure(error)
        if settings.REFUSE_WITHOUT_LIMITS:
            raise LimitsAway
        return self._local.take(lease_id, charges)

    def _forget(self, lease_id: str) -> None:
        """The call was refused. By this process alone: then the store may still hold what it could not tell."""
        counters = self._held.pop(lease_id)
        if self.is_degraded:
            self._queue(lease_id, counters, ())

    def settle(self, lease_id: str, spent: Iterable[Spent]) -> None:
        """As Counters.settle: `flush` sends it."""
        booked = tuple(one._replace(amount=min(one.amount, LARGEST_AMOUNT)) for one in spent)
        self._local.settle(lease_id, booked)
        self._queue(lease_id, self._held.pop(lease_id, ()), booked)

    def release(self, lease_id: str) -> None:
        """As Counters.release. What cannot be given back now is sent when the store answers, or runs out by itself."""
        self._local.release(lease_id)
        self._queue(lease_id, self._held.pop(lease_id, ()), ())
        self.flush()

    def _queue(self, lease_id: str, counters: Iterable[str], spent: tuple[Spent, ...]) -> None:
        settled = Settled(lease_id, tuple(counters), spent, self._clock())
        if settled.counters or settled.spent:
            if len(self._unsent) >= MOST_UNSENT:
                self._unsent.popleft()  # its lease runs out by itself; its spend is in the log
            self._unsent.append(settled)

    def flush(self) -> None:
        """As Counters.flush: up to 500 calls in each step. Asks a store that was away whether it is back."""
        with self._sending:
            if self._away_until is not None and self._clock() < self._away_until:
                return
            try:
                self._send_all()
                if self.is_degraded:
                    self._ping()
                    self._note_success()
            except StoreAway as error:
                self._note_failure(error)

    def _send_all(self) -> None:
        """What was spent meanwhile goes first, so that nobody takes what is gone."""
        while self._batch is not None or self._unsent:
            if self._batch is None:
                calls = tuple(self._unsent.popleft() for _ in range(min(AT_ONCE, len(self._unsent))))
                self._batch = Batch(uuid4().hex, calls)
            self._book(self._batch, self._clock())
            self._batch = None

    def renew(self, lease_ids: Iterable[str]) -> None:
        """As Counters.renew. Also clears away what killed processes left, and windows that are over."""
        self._local.renew(())
        left = iter([lease_id for lease_id in lease_ids if lease_id in self._held])
        try:
            while not self.is_degraded and (some := list(islice(left, AT_ONCE))):
                with self._sending:  # what is settled meanwhile is sent after this: no lease comes back from the dead
                    held = {lease_id: dict(self._held[lease_id]) for lease_id in some if self._held.get(lease_id)}
                    if held:
                        self._prolong(held)
            if not self.is_degraded:
                self._tidy()
        except StoreAway as error:
            self._note_failure(error)

    def _note_failure(self, error: StoreAway) -> None:
        if not self.is_degraded:
            then = "calls with limits are refused" if settings.REFUSE_WITHOUT_LIMITS else "limits hold in each process"
            logger.warning("%s does not answer (%s): %s.", self._title, error, then)
        self._away_until = self._clock() + RETRY_SECONDS

    def _note_success(self) -> None:
        logger.warning("%s answers again: limits hold among all processes.", self._title)
        self._away_until = None


def _bounded(charge: Charge) -> Charge:
    """The charge in numbers that every store takes: a client may ask for any number of tokens."""
    if charge.amount <= LARGEST_AMOUNT and charge.ceiling <= MOST:
        return charge
    return replace(charge, amount=min(charge.amount, LARGEST_AMOUNT), ceiling=min(charge.ceiling, MOST))
