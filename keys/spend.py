"""What has been spent of the budgets whose windows are open, in memory: refilled from the database, where it is kept.

So that no restart, and no counter that was lost, gives a budget back.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from keys.durations import window
from keys.models import SpendWindow

OVERLAP = timedelta(seconds=5)
"""Transactions are not seen in the order of their times."""

SETTLED = timedelta(seconds=60)
"""After so long nothing comes any more between the last two writes, whose clocks differ a little: what was written at
one moment, as by an import, is not read again and again while nobody spends anything."""

CHUNK_ROWS = 2_000


class SpendLedger:
    """What is known of each budget's counter. Readers take no lock."""

    def __init__(self) -> None:
        self._spent: dict[str, int] = {}
        self._seen: datetime | None = None
        self._read_at: datetime | None = None

    def __len__(self) -> int:
        return len(self._spent)

    def of(self, counter: str) -> int:
        """What was spent of this budget in this window, as far as the database has heard of it."""
        return self._spent.get(counter, 0)

    def refresh(self) -> None:
        """Reads what has been written since the last time. Raises django.db.Error."""
        now = timezone.now()
        rows = SpendWindow.objects.filter(Q(ends_at=None) | Q(ends_at__gt=now))
        if self._seen is not None and self._read_at is not None:
            is_settled = self._read_at - self._seen > SETTLED
            rows = rows.filter(updated_at__gt=self._seen if is_settled else self._seen - OVERLAP)
        latest = self._seen
        found = rows.values_list("counter", "used", "updated_at").iterator(chunk_size=CHUNK_ROWS)
        for counter, used, updated_at in found:
            self._spent[counter] = used
            if latest is None or updated_at > latest:
                latest = updated_at
        self._seen, self._read_at = latest, now

    def forget_ended(self, now: float) -> None:
        """Drops the windows that are over; to be called now and then. `now` in unix seconds."""
        for counter in [counter for counter in self._spent if _has_ended(counter, now)]:
            del self._spent[counter]


def _has_ended(counter: str, now: float) -> bool:
    _, period, start, _ = counter.rsplit("/", 3)
    end = window(period, float(start))[1]
    return end is not None and end <= now
