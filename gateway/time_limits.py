"""How long a call may wait for what. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from common.errors import InvalidRequest
from upstreams.selection import Timeouts

NO_WISH = Timeouts()


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long a call may wait, in seconds: for the next 16 kB of the request's body (`gateway.body` counts by them, so
    this is also the least speed of a client), for the first byte of the answer's body, between its bytes, and in
    all."""

    body: float
    first_byte: float
    idle: float
    total: float
    wish: Timeouts = field(default=NO_WISH, compare=False)
    """What the caller asked for: where it is the shorter one, an upstream that took longer is not to blame."""

    def of(self, upstream: Timeouts, wish: Timeouts) -> TimeLimits:
        """What holds at this upstream for a call with this wish, which can only make the times shorter."""
        return replace(
            self,
            first_byte=_shorter(upstream.first_byte or self.first_byte, wish.first_byte),
            idle=_shorter(upstream.idle or self.idle, wish.idle),
            total=_shorter(upstream.total or self.total, wish.total),
            wish=wish,
        )


def wish_of(total: str | None, stream: str | None) -> Timeouts:
    """What a caller's headers ask for (LiteLLM's `x-litellm-timeout` and `x-litellm-stream-timeout`), in seconds.

    The first bounds the whole call, the second each wait for a byte of the answer. Raises InvalidRequest.
    """
    if total is None and stream is None:
        return NO_WISH
    wait = _seconds("x-litellm-stream-timeout", stream)
    return Timeouts(first_byte=wait, idle=wait, total=_seconds("x-litellm-timeout", total))


def _seconds(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InvalidRequest(f"The header {name} must be a number of seconds above 0.", param=name)
    return seconds


def _shorter(limit: float, wish: float | None) -> float:
    return limit if wish is None else min(limit, wish)
