"""Counters for a call that is never made: they judge as the relay's would, and take nothing.

A store that processes share is asked itself. With SQLite limits are counted in the relay's memory, so that is asked,
at an address of its own for what the control plane has signed; while it does not answer, only what the database knows
of budgets counts, and `is_partial` says so.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, JsonResponse

from gateway.error_handler import answer
from gateway.errors import NotOnThisFace
from keys.counters import Charge, Counters, MemoryCounters, Spent, Standing, make_counters
from keys.limits import InUse

PATH = "/internal/limits"
HEADER = "X-Gateway-Signed"
SALT = "gateway.rehearsal.looking"
VALID_SECONDS = 30
TIMEOUT = 2.0
MOST_COUNTERS = 100
ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - these are looked for, not listened on


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


@lru_cache(maxsize=1)
def shared_counters() -> Counters:
    """The store that the relays count in, as this process sees it."""
    return make_counters()


# --- With SQLite: the relay is asked -------------------------------------------------------------------------------


def ask_relay(counters: list[tuple[str, float | None, int]]) -> list[InUse] | None:
    """What is in use of these counters in the memory of the one relay worker; None when it does not answer."""
    signed = signing.dumps(counters[:MOST_COUNTERS], salt=SALT, compress=True)
    host = ANY_HOST.get(settings.HOST, settings.HOST)
    connection = http.client.HTTPConnection(host, settings.PORT, timeout=TIMEOUT)
    try:
        connection.request("GET", PATH, headers={HEADER: signed})
        response = connection.getresponse()
        told = json.loads(response.read(1_000_000)) if response.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    if not isinstance(told, list) or len(told) != len(counters):
        return None
    return [(int(used), left) for used, left in told]


def limits_in_use(request: HttpRequest) -> JsonResponse:
    """The relay's side of it: only what this gateway's control plane has signed within half a minute is answered."""
    from gateway.this_relay import plane

    try:
        asked = signing.loads(request.headers.get(HEADER, ""), salt=SALT, max_age=VALID_SECONDS)
    except signing.BadSignature:
        return answer(NotOnThisFace())
    if not isinstance(plane.counters, MemoryCounters):
        return answer(NotOnThisFace())
    return JsonResponse(plane.counters.look(asked), safe=False)
