"""What is in use of limits at this moment, for pages that tell what is left of them.

Asks where calls are counted: the store that processes share or, with SQLite, the relay. Takes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

from django.conf import settings

from gateway.rehearsal.looking import MOST_COUNTERS, ask_relay, shared_counters
from keys.counters import Charge
from keys.errors import LimitsAway
from keys.limits import InUse


def in_use(charges: Sequence[Charge]) -> list[InUse] | None:
    """How much of each charge's counter is in use, and the seconds until it starts anew; None where nobody can tell."""
    found: list[InUse] = []
    for start in range(0, len(charges), MOST_COUNTERS):
        some = charges[start : start + MOST_COUNTERS]
        told = _of_relay(some) if settings.EMBEDDED else _of_store(some)
        if told is None:
            return None
        found += told
    return found


def _of_relay(charges: Sequence[Charge]) -> list[InUse] | None:
    return ask_relay([(charge.counter, charge.seconds, charge.floor) for charge in charges])


def _of_store(charges: Sequence[Charge]) -> list[InUse] | None:
    """While it is away its place is taken by this process's memory, which has counted no call.

    Asks in the order of the counters, as calls take them: else the two could wait for each other.
    """
    store, nobody = shared_counters(), f"look-{uuid4().hex}"
    looks = sorted((replace(charge.looking(), enforced=False) for charge in charges), key=lambda look: look.counter)
    try:
        standings = store.take(nobody, looks)
    except LimitsAway:
        return None
    finally:
        store.release(nobody)
    if store.is_degraded:
        return None
    told = {look.counter: (one.used, one.seconds_left) for look, one in zip(looks, standings, strict=True)}
    return [told[charge.counter] for charge in charges]
