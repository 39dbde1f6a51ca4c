"""How much of each ceiling is in use. A call takes all of its charges in one atomic step, or none.

Knows no limit and no key: a charge names its counter. `MemoryCounters` serve the one relay worker that there is
with SQLite; `PostgresCounters` are shared by all workers of all nodes, and hold places as leases that run out by
themselves when their holder is killed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from keys.errors import LimitExceeded

logger = logging.getLogger(__name__)

LEASE_SECONDS = 90.0
RETRY_SECONDS = 1.0  # how long a database that failed is left alone
RETRY_AFTER = 1  # seconds; a place is free as soon as any call ends, which nobody can foretell


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call would use of one counter. `subject` and `limit` are only for the sentence of a refusal."""

    counter: str
    amount: int
    ceiling: int
    subject: str = ""
    limit: str = ""

    def exceeded(self, used: int) -> LimitExceeded:
        """The refusal when this much was in use already."""
        return LimitExceeded(
            subject=self.subject,
            limit=self.limit,
            ceiling=self.ceiling,
            remaining=max(0, self.ceiling - used),
            retry_after=RETRY_AFTER,
        )


class Counters(Protocol):
    """Takes charges and gives them back. A lease is one call's, named by its id."""

    def take(self, lease_id: str, charges: Sequence[Charge]) -> None:
        """Takes all charges or none. Raises LimitExceeded. What a lease took before, it keeps."""
        ...

    def release(self, lease_id: str) -> None:
        """Gives back what the lease took; nothing happens when there is nothing. Never raises."""
        ...

    def renew(self, lease_ids: Iterable[str]) -> None:
        """Says that these calls are still open; needed at least every 90 s. Never raises."""
        ...

    @property
    def is_degraded(self) -> bool:
        """Whether limits hold only within this process at the moment."""
        ...


class MemoryCounters:
    """Counters of this process alone."""

    is_degraded = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: dict[str, int] = {}
        self._leases: dict[str, list[Charge]] = {}

    def take(self, lease_id: str, charges: Sequence[Charge]) -> None:
        """As Counters.take."""
        with self._lock:
            wanted: dict[str, int] = {}
            for charge in charges:
                used = self._used.get(charge.counter, 0) + wanted.get(charge.counter, 0)
                if used + charge.amount > charge.ceiling:
                    raise charge.exceeded(used)
                wanted[charge.counter] = wanted.get(charge.counter, 0) + charge.amount
            for counter, amount in wanted.items():
                self._used[counter] = self._used.get(counter, 0) + amount
            if charges:
                self._leases.setdefault(lease_id, []).extend(charges)

    def release(self, lease_id: str) -> None:
        """As Counters.release."""
        with self._lock:
            for charge in self._leases.pop(lease_id, ()):
                left = self._used[charge.counter] - charge.amount
                if left:
                    self._used[charge.counter] = left
                else:
                    del self._used[charge.counter]

    def renew(self, lease_ids: Iterable[str]) -> None:
        """Nothing to do: these leases end with the process that holds them."""


class PostgresCounters:
    """Counters that all processes share.

    While the database is away limits hold within each process, and `is_degraded` says so. Each operation is one
    statement, after which the connection goes back to the pool: none is held while a body streams.
    """

    def __init__(self, *, lifetime: float = LEASE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._away_until: float | None = None
        self._local = MemoryCounters()
        self._held: set[str] = set()

    @property
    def is_degraded(self) -> bool:
        """Whether the database failed and has not answered since."""
        return self._away_until is not None

    def take(self, lease_id: str, charges: Sequence[Charge]) -> None:
        """As Counters.take; exact among all processes."""
        if not charges:
            return
        is_new = lease_id not in self._held
        self._held.add(lease_id)  # first: a call that is cut while it waits may have its places already
        try:
            self._take(lease_id, sorted(charges, key=lambda charge: charge.counter))
        except LimitExceeded:
            if is_new:
                self._held.discard(lease_id)
            raise

    def _take(self, lease_id: str, charges: list[Charge]) -> None:
        rows = self._ask(
            "SELECT refused, used FROM keys_take(%s, %s::text[], %s::int[], %s::int[], %s)",
            [
                lease_id,
                [charge.counter for charge in charges],
                [charge.amount for charge in charges],
                [charge.ceiling for charge in charges],
                self._lifetime,
            ],
        )
        if rows is None:
            self._local.take(lease_id, charges)
        for refused, used in rows or ():
            raise charges[refused - 1].exceeded(used)

    def release(self, lease_id: str) -> None:
        """As Counters.release. Places that cannot be given back now run out by themselves."""
        self._local.release(lease_id)
        if lease_id in self._held:
            self._held.discard(lease_id)
            self._ask("DELETE FROM keys_lease WHERE lease_id = %s RETURNING id", [lease_id])

    def renew(self, lease_ids: Iterable[str]) -> None:
        """As Counters.renew. Also clears away what killed processes left on counters that nobody asks for."""
        self._ask("DELETE FROM keys_lease WHERE expires_at < clock_timestamp() - interval '1 hour' RETURNING id", [])
        held = sorted(self._held.intersection(lease_ids))
        if held:
            self._ask(
                "UPDATE keys_lease SET expires_at = clock_timestamp() + make_interval(secs => %s)"
                " WHERE lease_id = ANY(%s) RETURNING id",
                [self._lifetime, held],
            )

    def _ask(self, statement: str, values: list[Any]) -> list[tuple[Any, ...]] | None:
        """The statement's rows; None while the database is away."""
        if self._away_until is not None:
            if self._clock() < self._away_until:
                return None
            self._away_until = self._clock() + RETRY_SECONDS  # one call tries, and waits; the others need not
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                rows: list[tuple[Any, ...]] = cursor.fetchall()
        except (OperationalError, InterfaceError):
            self._note_failure()
            return None
        finally:
            if not connection.in_atomic_block:
                connection.close()
        self._note_success()
        return rows

    def _note_failure(self) -> None:
        if not self.is_degraded:
            logger.warning("The database does not answer: limits hold within each process only.")
        self._away_until = self._clock() + RETRY_SECONDS

    def _note_success(self) -> None:
        if self.is_degraded:
            logger.warning("The database answers again: limits hold among all processes.")
        self._away_until = None


def make_counters() -> Counters:
    """The counters that fit the database."""
    return MemoryCounters() if settings.EMBEDDED else PostgresCounters()
