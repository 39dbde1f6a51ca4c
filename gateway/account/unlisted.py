"""Calls that have no row in the request log, because they were refused before it was known whose they are, and those
to the key API, which has no rows, with a key that may not use it, is blocked or has expired.

Counted by reason, and the last callers kept in a few words, where they are refused: a few microseconds, and only for
them. Never a key: of one that nobody knows a short digest is kept, by which two calls with the same one can be told,
and a key that somebody shows can be recognised. In memory; asks no database.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings

from common.errors import GatewayError
from gateway.account.entry import clean_text
from gateway.account.unlisted_calls import (
    BLOCKED,
    DATABASE_AWAY,
    EXPIRED,
    MALFORMED,
    MISTYPED,
    NO_KEY,
    NO_MANAGER,
    NOT_SERVING,
    OTHER,
    SLOT_SECONDS,
    UNKNOWN,
    UNSAFE_PATH,
    Counts,
)
from gateway.client_address import origin
from gateway.errors import NotServing, UnsafeTarget
from keys import crypto
from keys.authentication import presented_key
from keys.errors import (
    AuthorizationMalformed,
    DatabaseAway,
    KeyBlocked,
    KeyExpired,
    KeyMalformed,
    KeyMissing,
    KeyUnknown,
    ManagementRefused,
)

MOST_CALLERS = 20
MOST_SLOTS = 5_000
"""Of counts that nobody could store: of more than two days of which every reason has some in every slot."""
DIGEST_CHARACTERS = 8
_MOST_AGENT, _MOST_ADDRESS = 80, 64

_REASONS: dict[type[GatewayError], str] = {
    KeyMissing: NO_KEY,
    AuthorizationMalformed: MALFORMED,
    KeyMalformed: MALFORMED,
    KeyUnknown: UNKNOWN,
    DatabaseAway: DATABASE_AWAY,
    NotServing: NOT_SERVING,
    UnsafeTarget: UNSAFE_PATH,
    ManagementRefused: NO_MANAGER,
    KeyBlocked: BLOCKED,
    KeyExpired: EXPIRED,
}


class Unlisted:
    """Those of one relay worker. `clock` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._counts: Counts = {}
        self._callers: OrderedDict[tuple[str, str, str], dict[str, Any]] = OrderedDict()
        self.unknown_keys = 0

    def add(self, error: GatewayError, environ: Mapping[str, Any]) -> None:
        """Counts a call that was refused with this error."""
        reason, digest = _REASONS.get(type(error), OTHER), ""
        if reason == UNKNOWN:
            self.unknown_keys += 1
            key = presented_key(environ) or ""
            reason = UNKNOWN if crypto.is_well_formed(key) else MISTYPED
            digest = crypto.digest(key)[:DIGEST_CHARACTERS]
        now = self._clock()
        slot = int(now // SLOT_SECONDS) * SLOT_SECONDS, reason
        self._counts[slot] = self._counts.get(slot, 0) + 1
        address = clean_text(origin(environ, settings.TRUSTED_PROXIES).address, _MOST_ADDRESS)
        self._note((address, reason, digest), now, str(environ.get("HTTP_USER_AGENT", "")))

    def _note(self, caller: tuple[str, str, str], now: float, agent: str) -> None:
        known = self._callers.pop(caller, None)
        calls = 1 if known is None else known["calls"] + 1
        self._callers[caller] = {"calls": calls, "at": int(now), "agent": clean_text(agent, _MOST_AGENT)}
        if len(self._callers) > MOST_CALLERS:
            self._callers.popitem(last=False)

    def callers(self) -> list[dict[str, Any]]:
        """The last callers, the latest first: `{"address", "reason", "digest", "calls", "at", "agent"}`.

        `digest`: the first eight hexadecimal digits of the SHA-256 of a key that is not known, or "". `at`: of the last
        call, in Unix seconds.
        """
        return [
            {"address": address, "reason": reason, "digest": digest, **told}
            for (address, reason, digest), told in reversed(self._callers.items())
        ]

    def take(self) -> Counts:
        """What was counted since this was last asked, for whoever stores it."""
        taken, self._counts = self._counts, {}
        return taken

    def give_back(self, counts: Counts) -> None:
        """What could not be stored is told again."""
        for slot, calls in counts.items():
            if slot in self._counts or len(self._counts) < MOST_SLOTS:
                self._counts[slot] = self._counts.get(slot, 0) + calls
