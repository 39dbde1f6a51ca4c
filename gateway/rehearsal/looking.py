"""Counters for a call that is never made: they judge as the relay's would, and take nothing.

A store that processes share is asked itself. With SQLite limits are counted in the relay's memory, so that is asked,
at an address of its own for what the control plane has signed; while it does not answer, only what the database knows
of budgets counts, and `is_partial` says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.conf import settings

from gateway.limits_in_use import ask_relay, shared_counters
from keys.counters import Charge, Counters, Spent, Standing


class LookingCounters:
    """As `Counters`. `used` tells after a look what was in use of each charge."""

    is_degraded = False

    def __init__(self, counters: Counters | None = None) -> None:
        self._counters = counters
        self.is_partial = False
        self.used: list[tuple[Charge, Standing]] = []

    @property
    def store(self) -> str:
        return "looking"

    def take(self, lease_id: str, charges: Sequence[Charge]) -> list[Standing]:
        """How the counters stand. Raises what taking the charges would raise now."""
        looks = [charge.looking() for charge in charges]
        counters = self._counters or (None if settings.EMBEDDED else shared_counters())
        if counters is None:
            standings = self._asked_of_the_relay(looks)
        else:
            try:
                standings = counters.take(lease_id, looks)
            finally:
                counters.release(lease_id)
        self.used = list(zip(charges, standings, strict=True))
        return standings

    def _asked_of_the_relay(self, looks: Sequence[Charge]) -> list[Standing]:
        in_use = ask_relay([(charge.counter, charge.seconds, charge.floor) for charge in looks])
        if in_use is None:
            self.is_partial = True
            in_use = [(charge.floor, charge.seconds or None) for charge in looks]
        return [charge.judged(*one) for charge, one in zip(looks, in_use, strict=True)]

    def settle(self, lease_id: str, spent: Iterable[Spent]) -> None:
        """Nothing was taken."""

    def release(self, lease_id: str) -> None:
        """Likewise."""

    def renew(self, lease_ids: Iterable[str]) -> None:
        """Likewise."""

    def flush(self) -> None:
        """Likewise."""
