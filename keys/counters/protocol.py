"""What all counters can do, wherever they count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from keys.counters.charge import Charge, Spent, Standing


class Counters(Protocol):
    """Takes the charges of calls, and books what they have used. A lease is one call's, named by its id."""

    @property
    def store(self) -> str:
        """Where it counts: `memory`, `postgresql` or `redis`."""
        ...

    def take(self, lease_id: str, charges: Sequence[Charge]) -> list[Standing]:
        """Takes all charges, which come from `merged`, or none; returns how their counters then stand.

        Raises LimitExceeded, BudgetExceeded, LimitsAway. What a lease took before, it keeps.
        """
        ...

    def settle(self, lease_id: str, spent: Iterable[Spent]) -> None:
        """Gives back what the lease holds, and books what was used instead. Never raises, and waits for nothing."""
        ...

    def release(self, lease_id: str) -> None:
        """Gives back what the lease holds; nothing happens when there is nothing. Never raises."""
        ...

    def renew(self, lease_ids: Iterable[str]) -> None:
        """Says that these calls are still open; needed three times in `settings.LEASE_SECONDS`. Never raises."""
        ...

    def flush(self) -> None:
        """Sends what was settled and has not been sent yet, and asks a store that is away whether it is back.

        Needed about ten times a second. Never raises.
        """
        ...

    @property
    def is_degraded(self) -> bool:
        """Whether limits hold only within this process at the moment."""
        ...
