"""Counters of one process: for the one relay worker that there is with SQLite, and while a shared store is away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from common.short_lock import short_lock
from keys.counters.charge import Charge, Spent, Standing

NEVER = float("inf")


class MemoryCounters:
    """As `Counters`. `clock` gives seconds from anywhere."""

    store = "memory"
    is_degraded = False

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = short_lock()
        self._used: dict[str, tuple[int, float]] = {}  # and when that no longer counts
        self._held: dict[str, int] = {}
        self._leases: dict[str, list[tuple[str, int]]] = {}

    def __len__(self) -> int:
        return len(self._used) + len(self._held)

    def take(self, lease_id: str, charges: Sequence[Charge]) -> list[Standing]:
        """As Counters.take."""
        with self._lock:
            now = self._clock()
            standings = [self._judged(charge, now) for charge in charges]
            for charge, standing in zip(charges, standings, strict=True):
                self._book(lease_id, charge, standing.taken, now)
        return standings

    def _judged(self, charge: Charge, now: float) -> Standing:
        """How the counter will stand. Raises LimitExceeded, BudgetExceeded."""
        return charge.judged(*self._in_use(charge.counter, charge.seconds, charge.floor, now))

    def _in_use(self, counter: str, seconds: float | None, floor: int, now: float) -> tuple[int, float | None]:
        """What is in use, open calls included, and when that ends (seconds)."""
        used, ends = self._window(counter, seconds, floor, now)
        return used + self._held.get(counter, 0), None if ends == NEVER else ends - now

    def look(self, counters: Iterable[tuple[str, float | None, int]]) -> list[tuple[int, float | None]]:
        """What is in use of each counter (its name, `seconds` and `floor` as in Charge), and when that ends (seconds).

        For who asks from another process, since nobody else knows; nothing changes.
        """
        with self._lock:
            now = self._clock()
            return [self._in_use(counter, seconds, floor, now) for counter, seconds, floor in counters]

    def _book(self, lease_id: str, charge: Charge, amount: int, now: float) -> None:
        used, ends = self._window(charge.counter, charge.seconds, charge.floor, now)
        if charge.held:
            if amount:
                self._held[charge.counter] = self._held.get(charge.counter, 0) + amount
                self._leases.setdefault(lease_id, []).append((charge.counter, amount))
            amount = 0
        if charge.seconds != 0 and used + amount:
            self._used[charge.counter] = (used + amount, ends)

    def _window(self, counter: str, seconds: float | None, floor: int, now: float) -> tuple[int, float]:
        """What has been used in the window of this moment, and when that ends."""
        used, ends = self._used.get(counter, (0, now))
        if ends <= now:
            used, ends = 0, NEVER if seconds is None else now + seconds
        return max(used, floor), ends

    def settle(self, lease_id: str, spent: Iterable[Spent]) -> None:
        """As Counters.settle."""
        with self._lock:
            now = self._clock()
            for counter, amount, seconds in spent:
                used, ends = self._window(counter, seconds, 0, now)
                self._used[counter] = (used + amount, ends)
            self._release(lease_id)

    def release(self, lease_id: str) -> None:
        """As Counters.release."""
        with self._lock:
            self._release(lease_id)

    def _release(self, lease_id: str) -> None:
        for counter, amount in self._leases.pop(lease_id, ()):
            left = self._held[counter] - amount
            if left:
                self._held[counter] = left
            else:
                del self._held[counter]

    def renew(self, lease_ids: Iterable[str]) -> None:
        """These leases end with the process that holds them; only what no longer counts is cleared away."""
        with self._lock:
            now = self._clock()
            for counter in [counter for counter, (_, ends) in self._used.items() if ends <= now]:
                del self._used[counter]

    def flush(self) -> None:
        """Nothing waits here."""
