"""Ends the calls that have waited too long: one look over all open calls, four times a second.

So no call has a timer of its own, and no chunk needs the clock: progress is seen by the bytes counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.account.entry import Outcome
from gateway.cuts import CallCut, client_gone
from gateway.errors import BodyTooSlow, CallTooLong
from gateway.open_call import OpenCall, Phase
from upstreams.errors import UpstreamTimeout

INTERVAL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long a call may wait, in seconds: for the next 16 kB of the request's body (`gateway.body` counts by them, so
    this is also the least speed of a client), for the first byte of the answer's body, between its bytes, and in
    all."""

    body: float
    first_byte: float
    idle: float
    total: float


class Sweeper:
    """Looks over open calls."""

    def __init__(self, limits: TimeLimits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock

    def sweep(self, calls: Iterable[OpenCall]) -> None:
        """Cuts each call that is over one of the limits."""
        now = self._clock()
        for call in calls:
            cut = self._judge(call, now)
            if cut is not None:
                call.cut(cut)

    def _judge(self, call: OpenCall, now: float) -> CallCut | None:
        if now - call.opened_at > self.limits.total:
            return CallCut(Outcome.UPSTREAM_FAILED, CallTooLong())
        progress = call.bytes_in + call.bytes_out
        if progress != call.seen_progress:
            call.seen_progress = progress
            call.progress_at = now
            return None
        waited = now - call.progress_at
        if call.phase is Phase.STREAM and waited > self.limits.idle:
            return client_gone() if call.writing else CallCut(Outcome.UPSTREAM_FAILED, UpstreamTimeout())
        if call.phase is Phase.ANSWER and waited > self.limits.first_byte:
            return CallCut(Outcome.UPSTREAM_FAILED, UpstreamTimeout())
        if call.phase is Phase.BODY and waited > self.limits.body:
            return CallCut(Outcome.CLIENT_DISCONNECTED, BodyTooSlow())
        return None
