"""Counters that all processes share, in PostgreSQL. None of its tables has to outlive a crash of the database."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from keys.counters.charge import Charge, Spent, Standing
from keys.counters.memory import MemoryCounters
from keys.errors import LimitsAway

logger = logging.getLogger(__name__)

LEASE_SECONDS = 90.0
RETRY_SECONDS = 1.0  # how long a database that failed is left alone
MOST_UNSENT = 20_000
_AT_ONCE = 500

_TAKE = (
    "SELECT place, stands_at, seconds_left, taken, refused, exceeded FROM keys_take(%s, %s::text[], %s::bigint[],"
    " %s::bigint[], %s::bool[], %s::float8[], %s::bool[], %s::bool[], %s::bigint[], %s)"
)
_SETTLE = """
WITH gone AS (DELETE FROM keys_lease WHERE lease_id = ANY(%s) RETURNING id)
INSERT INTO keys_counter AS old (counter, used, ends_at)
SELECT spent.counter, sum(spent.amount), clock_timestamp() + make_interval(secs => max(spent.seconds))
FROM unnest(%s::text[], %s::bigint[], %s::float8[]) AS spent (counter, amount, seconds)
GROUP BY spent.counter ORDER BY spent.counter
ON CONFLICT (counter) DO UPDATE SET
  used = CASE WHEN old.ends_at <= clock_timestamp() THEN excluded.used ELSE old.used + excluded.used END,
  ends_at = CASE WHEN old.ends_at <= clock_timestamp() THEN excluded.ends_at ELSE old.ends_at END
RETURNING counter
"""
_RELEASE = "DELETE FROM keys_lease WHERE lease_id = ANY(%s) RETURNING id"
_RENEW = (
    "UPDATE keys_lease SET expires_at = clock_timestamp() + make_interval(secs => %s)"
    " WHERE lease_id = ANY(%s) RETURNING id"
)
_CLEAR_LEASES = "DELETE FROM keys_lease WHERE expires_at < clock_timestamp() - interval '1 hour' RETURNING id"
_CLEAR_COUNTERS = "DELETE FROM keys_counter WHERE ends_at < clock_timestamp() - interval '1 hour' RETURNING counter"


class PostgresCounters:
    """As `Counters`.

    While the database is away limits hold within each process, and `is_degraded` says so (or calls are refused:
    `settings.REFUSE_WITHOUT_LIMITS`). Each operation is one statement, after which the connection goes back to the
    pool: none is held while a body streams.
    """

    def __init__(self, *, lifetime: float = LEASE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._away_until: float | None = None
        self._local = MemoryCounters()
        self._held: set[str] = set()
        self._unsent: deque[tuple[str, list[Spent]]] = deque()
        self._sending = threading.Lock()

    @property
    def is_degraded(self) -> bool:
        """Whether the database failed and has not answered since."""
        return self._away_until is not None

    def take(self, lease_id: str, charges: Sequence[Charge]) -> list[Standing]:
        """As Counters.take; exact among all processes."""
        if not charges:
            return []
        is_new = lease_id not in self._held
        self._held.add(lease_id)  # first: a call that is cut while it waits may have its places already
        rows = self._ask(_TAKE, _arguments(lease_id, charges, self._lifetime))
        if rows is None:
            if settings.REFUSE_WITHOUT_LIMITS:
                raise LimitsAway
            return self._local.take(lease_id, charges)
        for place, stands_at, seconds_left, _, refused, _ in rows:
            if refused:
                if is_new:
                    self._held.discard(lease_id)
                raise charges[place - 1].exceeded(stands_at, seconds_left)
        return [Standing(stands_at, left, taken, exceeded) for _, stands_at, left, taken, _, exceeded in rows]

    def settle(self, lease_id: str, spent: Iterable[Spent]) -> None:
        """As Counters.settle: `flush` sends it."""
        booked = list(spent)
        self._local.settle(lease_id, booked)
        if lease_id in self._held or booked:
            self._held.discard(lease_id)
            if len(self._unsent) >= MOST_UNSENT:
                self._unsent.popleft()  # its lease runs out by itself; its spend is in the log
            self._unsent.append((lease_id, booked))

    def release(self, lease_id: str) -> None:
        """As Counters.release. Places that cannot be given back now run out by themselves."""
        self._local.release(lease_id)
        if lease_id in self._held:
            self._held.discard(lease_id)
            self._ask(_RELEASE, [[lease_id]])

    def flush(self) -> None:
        """As Counters.flush: up to 500 calls with each statement."""
        with self._sending:
            while self._unsent:
                batch = [self._unsent.popleft() for _ in range(min(_AT_ONCE, len(self._unsent)))]
                if not self._send(batch):
                    self._unsent.extendleft(reversed(batch))
                    return

    def _send(self, batch: list[tuple[str, list[Spent]]]) -> bool:
        leases = [lease for lease, _ in batch]
        spent = [one for _, booked in batch for one in booked]
        if not spent:
            return self._ask(_RELEASE, [leases]) is not None
        columns = [list(column) for column in zip(*spent, strict=True)]
        return self._ask(_SETTLE, [leases, *columns]) is not None

    def renew(self, lease_ids: Iterable[str]) -> None:
        """As Counters.renew. Also clears away what killed processes left, and windows that are over."""
        self._local.renew(())
        self._ask(_CLEAR_LEASES, [])
        self._ask(_CLEAR_COUNTERS, [])
        held = sorted(self._held.intersection(lease_ids))
        if held:
            self._ask(_RENEW, [self._lifetime, held])

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


def _arguments(lease_id: str, charges: Sequence[Charge], lifetime: float) -> list[Any]:
    columns = zip(
        *((c.counter, c.amount, c.ceiling, c.held, c.seconds, c.elastic, c.enforced, c.floor) for c in charges),
        strict=True,
    )
    return [lease_id, *map(list, columns), lifetime]
