"""The limits: small classes that only say what a call would use of which counter. Counters do the counting.

To add one: a class here, a place in LIMITS, and a column on VirtualKey that Identity carries.
"""

from collections.abc import Iterable
from typing import Protocol

from keys.counters import Charge
from keys.identity import Identity


class Limit(Protocol):
    """A limit of a key."""

    def charges(self, identity: Identity) -> Iterable[Charge]:
        """What one call of this caller would use; nothing where there is no ceiling."""
        ...


class MaxParallelRequests:
    """How many calls of a key may be open at once."""

    def charges(self, identity: Identity) -> Iterable[Charge]:
        """One place, for a key that has a ceiling."""
        if identity.max_parallel_requests is not None:
            yield Charge(
                counter=f"key:{identity.key_id}:max_parallel_requests",
                amount=1,
                ceiling=identity.max_parallel_requests,
                subject=identity.label,
                limit="max_parallel_requests",
            )


LIMITS: list[Limit] = [MaxParallelRequests()]


def charges_for(identity: Identity) -> list[Charge]:
    """All charges of one call, sorted by counter, so that no two callers can wait for each other."""
    charges = [charge for limit in LIMITS for charge in limit.charges(identity)]
    return sorted(charges, key=lambda charge: charge.counter)
