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
            return _too_long(is_wish=limits.total == limits.wish.total)
        progress = call.bytes_in + call.bytes_out
        if progress != call.seen_progress:
            call.seen_progress = progress
            call.progress_at = now
            return None
        waited = now - call.progress_at
        if call.phase is Phase.STREAM and waited > limits.idle:
            return client_gone() if call.writing else _silent(is_wish=limits.idle == limits.wish.idle)
        if call.phase is Phase.ANSWER and waited > limits.first_byte:
            return _silent(is_wish=limits.first_byte == limits.wish.first_byte)
        if call.phase is Phase.BODY and waited > limits.body:
            return CallCut(Outcome.CLIENT_DISCONNECTED, BodyTooSlow())
        return None


def _too_long(*, is_wish: bool) -> CallCut:
    error = CallTooLong("The call took longer than its x-litellm-timeout allows.") if is_wish else CallTooLong()
    return CallCut(Outcome.UPSTREAM_FAILED, error)


def _silent(*, is_wish: bool) -> CallCut:
    """One caller's impatience says nothing of the upstream, which others wait for."""
    if is_wish:
        error = CallTooLong("The upstream was silent for longer than the call's x-litellm-stream-timeout allows.")
        return CallCut(Outcome.UPSTREAM_FAILED, error)
    return CallCut(Outcome.UPSTREAM_FAILED, UpstreamTimeout())
