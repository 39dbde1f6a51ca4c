"""How much of limits is in use at this moment, for pages that tell what is left of them, and for rehearsals.

Asked where calls are counted: the store that processes share or, with SQLite, the relay, at an address of its own for
what the control plane has signed. Takes nothing.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from time import monotonic
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, JsonResponse

from gateway.error_handler import answer
from gateway.errors import NotOnThisFace
from keys.counters import Charge, Counters, MemoryCounters, make_counters
from keys.errors import LimitsAway
from keys.limits import InUse

PATH = "/internal/limits"
HEADER = "X-Gateway-Signed"
SALT = "gateway.limits_in_use"
VALID_SECONDS = 30
TIMEOUT = 2.0
MOST_COUNTERS = 100
ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - these are looked for, not listened on


def in_use(charges: Sequence[Charge]) -> list[InUse] | None:
    """How much of each charge's counter is in use, and the seconds until it starts anew; None where nobody can tell."""
    if not settings.EMBEDDED:
        return _of_store(charges)
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


@lru_cache(maxsize=1)
def shared_counters() -> Counters:
    """The store that the relays count in, as this process sees it."""
    return make_counters()


# --- With SQLite: the relay is asked -------------------------------------------------------------------------------


Counter = tuple[str, float | None, int]
"""A counter's name, `seconds` and `floor`, as in `keys.counters.Charge`."""


def ask_relay(counters: Sequence[Counter]) -> list[InUse] | None:
    """What is in use of these counters in the memory of the one relay worker; None when it has not answered within
    TIMEOUT, however many they are."""
    until = monotonic() + TIMEOUT
    found: list[InUse] = []
    for start in range(0, len(counters), MOST_COUNTERS):
        some = counters[start : start + MOST_COUNTERS]
        told = _told_until(until, some)
        if not isinstance(told, list) or len(told) != len(some):
            return None
        found += [(int(used), left) for used, left in told]
    return found


def _told_until(until: float, counters: Sequence[Counter]) -> Any:
    """What the relay says of them; None when it says nothing by then, in seconds of the monotonic clock."""
    signed = signing.dumps(counters, salt=SALT, compress=True)
    host = ANY_HOST.get(settings.HOST, settings.HOST)
    connection = http.client.HTTPConnection(host, settings.PORT, timeout=_seconds(until))
    try:
        connection.connect()
        connection.sock.settimeout(_seconds(until))
        connection.request("GET", PATH, headers={HEADER: signed})
        response = connection.getresponse()
        return json.loads(response.read(1_000_000)) if response.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def _seconds(until: float) -> float:
    """How many are left. A socket with a time-out of zero would not wait at all."""
    return max(0.001, until - monotonic())


def tell(request: HttpRequest) -> JsonResponse:
    """The relay's side of it: only what this gateway's control plane has signed within half a minute is answered."""
    from gateway.this_relay import plane

    try:
        asked = signing.loads(request.headers.get(HEADER, ""), salt=SALT, max_age=VALID_SECONDS)
    except signing.BadSignature:
        return answer(NotOnThisFace())
    if not isinstance(plane.counters, MemoryCounters):
        return answer(NotOnThisFace())
    return JsonResponse(plane.counters.look(asked), safe=False)
