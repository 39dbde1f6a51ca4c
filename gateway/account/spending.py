"""Adds what calls have spent to the budgets' windows, in the transaction that inserts the calls' rows.

So what a budget has spent is as safe as the log itself, and no call counts twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from common.money import MOST
from gateway.account.bulk_insert import BulkInsert
from keys.models import SpendWindow

_ROWS_AT_ONCE = 1_000

_USED = f"{SpendWindow._meta.db_table}.used"
# At the largest amount it stays: a price that is wrong by far must not cost the calls their rows.
_ADD = BulkInsert(
    SpendWindow,
    ("counter", "used", "ends_at", "updated_at"),
    f"ON CONFLICT (counter) DO UPDATE SET used = CASE WHEN {_USED} > {MOST} - excluded.used THEN {MOST}"
    f" ELSE {_USED} + excluded.used END, updated_at = excluded.updated_at",
)


def add_spend(entries: Iterable[Mapping[str, Any]]) -> None:
    """Adds the spend of calls that were not counted before. Raises what the database raises.

    Rows are written in the order of their counters, so that two recorders wait for each other rather than deadlock.
    """
    sums: dict[str, int] = {}
    ends: dict[str, datetime | None] = {}
    for entry in entries:
        at = entry.get("ended_at") or entry["received_at"]
        for counter, amount, seconds in entry.get("spend") or ():
            sums[counter] = min(sums.get(counter, 0) + amount, MOST)
            ends[counter] = None if seconds is None else datetime.fromtimestamp(round(at + seconds), UTC)
    now = datetime.fromtimestamp(time.time(), UTC)
    rows = [[counter, sums[counter], ends[counter], now] for counter in sorted(sums)]
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        _ADD.execute(rows[start : start + _ROWS_AT_ONCE])
