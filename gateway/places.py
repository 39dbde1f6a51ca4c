"""Places at upstreams that take only so many calls at once: counted like a key's limits, in the same counters.

So a ceiling holds across all workers and nodes. An upstream without one costs nothing here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import cast

import gevent
from django.conf import settings

from gateway.open_call import OpenCall
from gateway.waiting import WaitingRoom, elapsed_ms
from keys.counters import Charge, Counters
from keys.errors import LimitExceeded, LimitsAway
from upstreams.selection import Candidate, Target


class Places:
    """Takes and gives back places for calls."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._room: WaitingRoom[Candidate] = WaitingRoom(settings.QUEUE_LENGTH, settings.QUEUE_SECONDS)

    @property
    def waiting(self) -> int:
        """How many calls wait in this process."""
        return len(self._room)

    @property
    def is_full(self) -> bool:
        """Whether no further call may wait in this process."""
        return self._room.is_full

    def choose(self, call: OpenCall, candidates: Sequence[Candidate]) -> Candidate:
        """The first candidate with a free place, which is then the call's; waits when all are full.

        A last resort counts only when nothing else is left. Raises UpstreamSaturated.
        """
        candidates = [one for one in candidates if not one.is_last_resort] or candidates
        found = self._at_once(call, candidates)
        if found is not None:
            return found
        began = time.monotonic()
        wants = frozenset(candidate.upstream.id for candidate in candidates)
        try:
            return self._room.wait(
                call.priority,
                wants,
                lambda: self._free_later(call, candidates),
                lambda candidate: self.give_back(call, candidate.upstream),
            )
        finally:
            call.queue_ms = elapsed_ms(began)

    def at_once(self, call: OpenCall, candidates: Sequence[Candidate]) -> Candidate | None:
        """As `choose`, but None where the call would wait. Raises LimitsAway."""
        return self._at_once(call, [one for one in candidates if not one.is_last_resort] or candidates)

    def _at_once(self, call: OpenCall, candidates: Sequence[Candidate]) -> Candidate | None:
        first = candidates[0]
        if first.upstream.max_parallel is None:
            return first
        # Whoever waits for a place comes first; the places that nobody waits for are free for all.
        awaited = {upstream_id for wants in self._room.wanted for upstream_id in cast("frozenset[int | None]", wants)}
        return self._take_now(call, [one for one in candidates if one.upstream.id not in awaited])

    def give_back(self, call: OpenCall, upstream: Target) -> None:
        """The call is over there, or never came to be."""
        if upstream.max_parallel is None:
            return
        if settings.EMBEDDED:
            self._release(_lease(call, upstream))
        else:
            gevent.spawn(self._release, _lease(call, upstream))  # a round trip that no client waits for

    def renewable(self, call: OpenCall) -> list[str]:
        """The leases of an open call at upstreams."""
        return [f"{call.call_id}@{call.upstream_id}"] if call.upstream_id is not None else []

    def _release(self, lease: str) -> None:
        self._counters.release(lease)
        self._room.ask_soon()

    def _take_now(self, call: OpenCall, candidates: Sequence[Candidate]) -> Candidate | None:
        found = None
        try:
            with call:  # a cut in the middle of a query would leave the connection half used
                found = self._first_free(call, candidates)
        except BaseException:
            if found is not None:
                self.give_back(call, found.upstream)
            raise
        return found

    def _first_free(self, call: OpenCall, candidates: Sequence[Candidate]) -> Candidate | None:
        return next((one for one in candidates if self._take(call, one.upstream)), None)

    def _free_later(self, call: OpenCall, candidates: Sequence[Candidate]) -> Candidate | None:
        """As `_first_free`, for who waits: a store that cannot count now may be back while there is time."""
        try:
            return self._first_free(call, candidates)
        except LimitsAway:
            return None

    def _take(self, call: OpenCall, upstream: Target) -> bool:
        if upstream.max_parallel is None:
            return True
        charge = Charge(f"upstream:{upstream.id}:max_parallel", 1, upstream.max_parallel, limit="max_parallel")
        try:
            self._counters.take(_lease(call, upstream), [charge])
        except LimitExceeded:
            return False
        return True


def _lease(call: OpenCall, upstream: Target) -> str:
    """The key's places of the call are held under its id alone."""
    return f"{call.call_id}@{upstream.id}"
