"""Cuts the open calls of keys that are refused since the registries were last read, and remembers whose they were."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable

from gateway.account.entry import Outcome
from gateway.cuts import CallCut
from gateway.errors import KeyRevoked
from gateway.open_call import OpenCall, OpenCalls
from keys.registry import KeyRegistry

REMEMBERED_SECONDS = 120.0


class Revocation:
    """Follows the registry of keys. `clock` gives seconds."""

    def __init__(self, keys: KeyRegistry, calls: OpenCalls, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._calls = calls
        self._clock = clock
        self._revoked: frozenset[int] = frozenset()
        self._blocked: frozenset[str] = frozenset()
        self._cut: deque[tuple[float, int]] = deque()
        self.version = -1
        """The version of the keys that is applied, and that open calls were cut by."""

    def refresh(self) -> None:
        """Reads what has changed of the keys. It may run in another thread, so it cuts no call itself."""
        self._revoked |= self._keys.refresh()
        self._blocked |= self._keys.newly_blocked()

    def cut(self) -> None:
        """Cuts the open calls of the keys, teams, owners and end users that are refused since the last refresh."""
        version = self._keys.version
        revoked, self._revoked = self._revoked, frozenset()
        blocked, self._blocked = self._blocked, frozenset()
        for call in self._calls.of_keys(revoked) if revoked else ():
            self._end(call)
        for call in self._calls.of_parties(blocked) if blocked else ():
            self._end(call)
        self.version = version

    def cut_by_key(self) -> dict[int, int]:
        """How many calls of each key were cut in the last two minutes."""
        oldest = self._clock() - REMEMBERED_SECONDS
        while self._cut and self._cut[0][0] < oldest:
            self._cut.popleft()
        return dict(Counter(key_id for _, key_id in self._cut))

    def _end(self, call: OpenCall) -> None:
        if call.key_id is not None and call.outcome is None and call.pending_cut is None:
            self._cut.append((self._clock(), call.key_id))
        call.cut(CallCut(Outcome.REVOKED, KeyRevoked()))
