"""Puts calls into the database: their rows and their share of the roll-ups, each call once however often it comes.

Knows the tables, not where the entries come from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import DataError, Error, IntegrityError, router, transaction

from gateway.account.bulk_insert import BulkInsert
from gateway.account.entry import MAX_TAG_LENGTH, Entry
from gateway.account.rollups import Cap, add_usage
from gateway.account.spending import add_spend
from gateway.models import ANY, SHADOWED, TAG, RequestFacet, RequestLog

MOST_ROWS_AT_ONCE = 500  # of 38 parameters each; SQLite takes 32,766 in one statement
_MOST_FACETS_AT_ONCE = 5_000

# What the entry itself is to blame for. All else that a database raises is its own state: tried again later.
_UNFIT = (DataError, IntegrityError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError)
_LIMIT_EXCEEDED = "54"  # PostgreSQL's class of errors "program limit exceeded", which psycopg calls operational

Reject = Callable[[Entry, Exception], None]


class LogStore:
    """Stores batches of entries. One per thread."""

    def __init__(self, cap: Cap | None = None) -> None:
        self._cap = cap or Cap()

    def store(self, entries: Sequence[Entry], reject: Reject) -> list[Entry]:
        """Stores at most 500 entries in one transaction and returns those that were new.

        An entry that the database will never take goes to `reject`, and the others in. Raises
        `django.db.Error` when the database is away or cannot take anything now; then nothing is stored
        (of a batch that had to be split: some may be, which does no harm when it comes again).
        """
        try:
            return self._store(entries)
        except Exception as error:
            if not is_unfit(error):
                raise
            if len(entries) == 1:
                reject(entries[0], error)
                return []
        middle = len(entries) // 2
        return [*self.store(entries[:middle], reject), *self.store(entries[middle:], reject)]

    def _store(self, entries: Sequence[Entry]) -> list[Entry]:
        if not entries:
            return []
        with transaction.atomic(using=router.db_for_write(RequestLog)):
            inserted = {_uuid(call_id) for call_id in _INSERT.execute([_row(entry) for entry in entries])}
            new = [entry for entry in entries if _taken(inserted, UUID(entry["call_id"]))]
            _add_facets(new)
            add_usage(new, self._cap)
            add_spend(new)
        return new


def is_unfit(error: Exception) -> bool:
    """Whether the entry is to blame, rather than the state of the database."""
    if isinstance(error, _UNFIT):
        return True
    return isinstance(error, Error) and str(getattr(error.__cause__, "sqlstate", "")).startswith(_LIMIT_EXCEEDED)


def _taken(ids: set[UUID], call_id: UUID) -> bool:
    if call_id not in ids:
        return False
    ids.remove(call_id)
    return True


def _row(entry: Entry) -> list[Any]:
    values: list[Any] = list(map(entry.get, _COLUMNS))
    for place, convert in _CONVERSIONS:
        values[place] = convert(values[place])
    return values


def _add_facets(entries: Sequence[Entry]) -> None:
    rows = [(*facet, _uuid(entry["call_id"])) for entry in entries for facet in _facets(entry)]
    for start in range(0, len(rows), _MOST_FACETS_AT_ONCE):
        _INSERT_FACETS.execute(rows[start : start + _MOST_FACETS_AT_ONCE])


def _facets(entry: Entry) -> set[tuple[str, str]]:
    """The items of the entry's lists, cut as the columns are; a call with limits in shadow is found by any too."""
    shadowed = entry.get("shadowed") or ()
    found = {(TAG, tag) for tag in entry.get("tags") or ()} | {(SHADOWED, limit) for limit in shadowed}
    if shadowed:
        found.add((SHADOWED, ANY))
    return {(kind, value[:MAX_TAG_LENGTH]) for kind, value in found}


def _uuid(value: str | UUID) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


def _moment(value: float | None) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(value, tz=UTC)


def _text(value: str | None) -> str:
    return value or ""


_BY_NAME: dict[str, Callable[[Any], Any]] = {
    "call_id": _uuid,
    "received_at": _moment,
    "head_at": _moment,
    "first_token_at": _moment,
    "ended_at": _moment,
    "request_id": _text,
    "key_name": _text,
    "method": _text,
    "route": _text,
    "streaming": bool,
    "cost": lambda value: None if value is None else Decimal(value),
    "tags": lambda value: value or [],
    "shadowed": lambda value: value or [],
}
_COLUMNS = [field.name for field in RequestLog._meta.concrete_fields]
_CONVERSIONS = [(_COLUMNS.index(name), convert) for name, convert in _BY_NAME.items()]
_INSERT = BulkInsert(RequestLog, _COLUMNS, "ON CONFLICT DO NOTHING RETURNING call_id")
_INSERT_FACETS = BulkInsert(RequestFacet, ["kind", "value", "call_id"], "ON CONFLICT DO NOTHING")
