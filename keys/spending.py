"""What keys, teams, owners and end users have spent in their main period: told, and set anew. For the control plane.

What is told is what the log knows: the SpendWindow rows. What calls in flight have reserved is not in it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.utils import timezone

from common import money
from keys.identity import Party
from keys.limit_values import COLUMNS, Budget, limits_of
from keys.limits import budget_counter, spend_counter
from keys.models import Group, SpendWindow, VirtualKey


@dataclass(frozen=True, slots=True)
class Spending:
    """What was spent in the main period, in units of `common.money`, and when that ends (None: never).

    `total` is that of all time, where it is known.
    """

    units: int = 0
    resets_at: datetime | None = None
    total: int | None = None

    @property
    def dollars(self) -> float:
        """US dollars."""
        return float(money.dollars(self.units))


def party_named(row: VirtualKey | Group) -> Party:
    """The row as counters name it."""
    kind, ident = ("key", str(row.pk)) if isinstance(row, VirtualKey) else (row.kind, row.public_id)
    return Party(kind=kind, ident=ident, period=row.budget_duration or "", epoch=row.spend_epoch)


def spendings(rows: Iterable[VirtualKey | Group], now: float | None = None) -> dict[int, Spending]:
    """What each row has spent, by its primary key; one query for a page of rows. `now` in unix seconds."""
    at = time.time() if now is None else now
    parties = {row.pk: party_named(row) for row in rows}
    main = {pk: spend_counter(party, at) for pk, party in parties.items()}
    used = _used(counter for counter, _ in main.values())
    return {pk: _spending(parties[pk], used.get(counter, 0), seconds, at) for pk, (counter, seconds) in main.items()}


def spending(row: VirtualKey | Group, now: float | None = None) -> Spending:
    """What the row has spent; one query."""
    return spendings([row], now)[row.pk]


def _used(counters: Iterable[str]) -> dict[str, int]:
    return dict(SpendWindow.objects.filter(counter__in=list(counters)).values_list("counter", "used"))


def _spending(party: Party, used: int, seconds: float | None, now: float) -> Spending:
    is_of_all_time = not party.period and party.epoch == 0
    return Spending(used, _at(now, seconds), used if is_of_all_time else None)


def _at(now: float, seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(round(now + seconds), UTC)


def start_with(row: VirtualKey | Group, units: int, now: float | None = None) -> None:
    """Has a new row begin with so much spent in its main period."""
    if units:
        at = time.time() if now is None else now
        counter, seconds = spend_counter(party_named(row), at)
        _write({counter: (units, seconds)}, at)


def set_spent(row: VirtualKey | Group, units: int, now: float | None = None) -> None:
    """Sets anew what was spent in the main period, and saves the row's `spend_epoch`. Call it in a transaction.

    No other budget in money then has more spent than that; token budgets keep what they have.
    """
    at = time.time() if now is None else now
    before = [counter for counter, _, _ in _windows(row, at)]
    used = _used(before)
    row.spend_epoch += 1
    row.save(update_fields=["spend_epoch"])
    amounts = {}
    for old, (counter, seconds, budget) in zip(before, _windows(row, at), strict=True):
        kept = used.get(old, 0)
        amounts[counter] = (kept if budget.unit == "tokens" else min(kept, units), seconds)
    counter, seconds = spend_counter(party_named(row), at)
    _write({**amounts, counter: (units, seconds)}, at)


def _windows(row: VirtualKey | Group, now: float) -> list[tuple[str, float | None, Budget]]:
    party = party_named(row)
    columns = {name: getattr(row, name) for name in COLUMNS}
    return [(*budget_counter(party, budget, now), budget) for budget in limits_of(columns).budgets]


def _write(amounts: dict[str, tuple[int, float | None]], now: float) -> None:
    SpendWindow.objects.bulk_create(
        [
            SpendWindow(counter=counter, used=used, ends_at=_at(now, seconds), updated_at=timezone.now())
            for counter, (used, seconds) in sorted(amounts.items())
        ],
        update_conflicts=True,
        unique_fields=["counter"],
        update_fields=["used", "ends_at", "updated_at"],
    )
