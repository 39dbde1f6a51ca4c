"""Counters that all processes share, in PostgreSQL. None of its tables has to outlive a crash of the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import InterfaceError, OperationalError, connection

from keys.counters.charge import Charge, Standing
from keys.counters.shared import Batch, Held, SharedCounters, StoreAway

_TAKE = (
    "SELECT place, stands_at, seconds_left, taken, refused, exceeded FROM keys_take(%s, %s::text[], %s::bigint[],"
    " %s::bigint[], %s::bool[], %s::float8[], %s::bool[], %s::bool[], %s::bigint[], %s)"
)
# Sums stop below what the column holds: a batch that cannot be booked would be tried for ever.
# Rows in the order in which keys_take has them, whatever the order of texts in this database.
_SETTLE = """
WITH gone AS (DELETE FROM keys_lease WHERE lease_id = ANY(%s::text[]) RETURNING id)
INSERT INTO keys_counter AS old (counter, used, ends_at)
SELECT
  spent.counter,
  least(sum(spent.amount), 9e18)::bigint,
  clock_timestamp() + make_interval(secs => max(spent.seconds))
FROM unnest(%s::text[], %s::bigint[], %s::float8[]) AS spent (counter, amount, seconds)
GROUP BY spent.counter ORDER BY spent.counter COLLATE "C"
ON CONFLICT (counter) DO UPDATE SET
  used = CASE WHEN old.ends_at <= clock_timestamp() THEN excluded.used
    ELSE least(old.used::numeric + excluded.used, 9e18)::bigint END,
  ends_at = CASE WHEN old.ends_at <= clock_timestamp() THEN excluded.ends_at ELSE old.ends_at END
RETURNING counter
"""
_RELEASE = "DELETE FROM keys_lease WHERE lease_id = ANY(%s::text[]) RETURNING id"
_PROLONG = """
WITH given AS (SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS held (lease_id, counter, amount)),
kept AS (
  UPDATE keys_lease AS lease SET expires_at = clock_timestamp() + make_interval(secs => %s)
  FROM given WHERE lease.lease_id = given.lease_id AND lease.counter = given.counter
  RETURNING lease.lease_id, lease.counter
)
INSERT INTO keys_lease (lease_id, counter, amount, expires_at)
SELECT lease_id, counter, amount, clock_timestamp() + make_interval(secs => %s) FROM given
WHERE amount > 0 AND (lease_id, counter) NOT IN (SELECT lease_id, counter FROM kept)
RETURNING id
"""
# Rows that another process is at are left to the next time: nobody waits for a broom.
_CLEAR_LEASES = """
DELETE FROM keys_lease WHERE id = ANY(ARRAY(
  SELECT id FROM keys_lease WHERE expires_at < clock_timestamp() - interval '1 hour' FOR UPDATE SKIP LOCKED
)) RETURNING id
"""
_CLEAR_COUNTERS = """
DELETE FROM keys_counter WHERE counter = ANY(ARRAY(
  SELECT counter FROM keys_counter WHERE ends_at < clock_timestamp() - interval '1 hour' FOR UPDATE SKIP LOCKED
)) RETURNING counter
"""


class PostgresCounters(SharedCounters):
    """As `Counters`.

    Each operation is one statement, after which the connection goes back to the pool: none is held while a body
    streams.
    """

    store = "postgresql"
    _title = "The database"

    def _take_all(self, lease_id: str, charges: Sequence[Charge]) -> list[Standing]:
        rows = _rows(_TAKE, _arguments(lease_id, charges, self._lifetime))
        for place, stands_at, seconds_left, _, refused, _ in rows:
            if refused:
                raise charges[place - 1].exceeded(stands_at, seconds_left)
        return [Standing(stands_at, left, taken, exceeded) for _, stands_at, left, taken, _, exceeded in rows]

    def _book(self, batch: Batch, now: float) -> None:
        leases = [call.lease_id for call in batch.calls]
        spent = [one for call in batch.calls for one in call.still_counting(now)]
        if spent:
            counters, amounts, lengths = zip(*spent, strict=True)
            _rows(_SETTLE, [_texts(leases), _texts(counters), _array(amounts), _array(lengths)])
        else:
            _rows(_RELEASE, [_texts(leases)])

    def _prolong(self, held: Held) -> None:
        rows = [(lease, counter, amount) for lease, some in held.items() for counter, amount in some.items()]
        leases, counters, amounts = zip(*rows, strict=True)
        _rows(_PROLONG, [_texts(leases), _texts(counters), _array(amounts), self._lifetime, self._lifetime])

    def _ping(self) -> None:
        _rows("SELECT 1", [])

    def _tidy(self) -> None:
        _rows(_CLEAR_LEASES, [])
        _rows(_CLEAR_COUNTERS, [])


def _rows(statement: str, values: list[Any]) -> list[tuple[Any, ...]]:
    """What the statement answers. Raises StoreAway."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows
    except (OperationalError, InterfaceError) as error:
        raise StoreAway(type(error.__cause__ or error).__name__) from error
    finally:
        if not connection.in_atomic_block:
            connection.close()


def _arguments(lease_id: str, charges: Sequence[Charge], lifetime: float) -> list[Any]:
    return [
        lease_id,
        _texts(one.counter for one in charges),
        _array(one.amount for one in charges),
        _array(one.ceiling for one in charges),
        _array(one.held for one in charges),
        _array(one.seconds for one in charges),
        _array(one.elastic for one in charges),
        _array(one.enforced for one in charges),
        _array(one.floor for one in charges),
        lifetime,
    ]


def _array(values: Iterable[float | bool | None]) -> str:
    """As PostgreSQL reads it: this is done for every call, and psycopg would take a tenth of the call for it."""
    return _braced("NULL" if value is None else str(value) for value in values)


def _texts(values: Iterable[str]) -> str:
    """The same of texts, each between quotation marks."""
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return _braced(f'"{value}"' for value in escaped)


def _braced(parts: Iterable[str]) -> str:
    return "{" + ",".join(parts) + "}"
