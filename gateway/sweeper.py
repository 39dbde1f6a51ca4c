"""Ends the calls that have waited too long: one look over all open calls, four times a second.

So no call has a timer of its own, and no chunk needs the clock: progress is seen by the bytes counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from gateway.account.entry import Outcome
from gateway.cuts import CallCut, client_gone
from gateway.errors import BodyTooSlow, CallTooLong
from gateway.open_call import OpenCall, Phase
from gateway.time_limits import TimeLimits
from upstreams.errors import UpstreamTimeout

INTERVAL_SECONDS = 0.25


class Sweeper:
    """Looks over open calls."""

    def __init__(self, limits: TimeLimits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock

    def sweep(self, calls: Iterable[OpenCall]) -> None:
        """Cuts each call that is over one of its limits."""
        now = self._clock()
        for call in calls:
            cut = self._judge(call, now)
            if cut is not None:
                call.cut(cut)

    def _judge(self, call: OpenCall, now: float) -> CallCut | None:
        limits = call.limits or self.limits
        if now - call.opened_at > limits.total:
            return CallCut(Outcome.UPSTREAM_FAILED, CallTooLong())
        progress = call.bytes_in + call.bytes_out
        if progress != call.seen_progress:
            call.seen_progress = progress
            call.progress_at = now
            return None
        waited = now - call.progress_at
        if call.phase is Phase.STREAM and waited > limits.idle:
            return client_gone() if call.writing else CallCut(Outcome.UPSTREAM_FAILED, UpstreamTimeout())
        if call.phase is Phase.ANSWER and waited > limits.first_byte:
            return CallCut(Outcome.UPSTREAM_FAILED, UpstreamTimeout())
        if call.phase is Phase.BODY and waited > limits.body:
            return CallCut(Outcome.CLIENT_DISCONNECTED, BodyTooSlow())
        return None
