"""What calls show of the upstreams they go to, and which upstreams are passed over for a while. Memory and a clock.

One call's 4xx is the caller's, so nobody marks it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Mark(Enum):
    """How an upstream has served one call. TIMEOUT: no connection or no byte in time; ABORTED: vLLM broke off."""

    OK = "ok"
    REFUSED = "refused"
    RESET = "reset"
    TIMEOUT = "timeout"
    SERVER_ERROR = "server_error"
    ENGINE_DEAD = "engine_dead"
    ABORTED = "aborted"


AT_ONCE = frozenset({Mark.REFUSED, Mark.ENGINE_DEAD})
LONGEST_COOLDOWN = 60.0
TRIAL_SECONDS = 10.0
"""A trial whose call tells nothing for so long gives way to another."""


@dataclass(slots=True)
class _Trouble:
    """One upstream that has failed since it last served a call. Times are the clock's."""

    failures: int = 0
    cooldowns: int = 0
    until: float = 0.0
    trial_until: float = 0.0


class Cooldowns:
    """Who is passed over, and for how long. Falsy while no upstream is in trouble, which is the usual case.

    An upstream cools down after a refusal, a dead engine, or some other failures in a row. After that one call tries
    it (half-open), and everyone else waits for what that shows; each further failure doubles the time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._troubles: dict[int | None, _Trouble] = {}

    def __bool__(self) -> bool:
        return bool(self._troubles)

    def mark(self, upstream_id: int | None, mark: Mark, *, seconds: float, failures: int) -> None:
        """Notes how a call went. `seconds`: the first cooldown; `failures`: how many in a row lead to it."""
        if mark is Mark.OK:
            self.forget(upstream_id)
            return
        trouble = self._troubles.setdefault(upstream_id, _Trouble())
        now = self._clock()
        if now < trouble.until:
            return  # calls that were open when it began to cool
        trouble.failures += 1
        if trouble.cooldowns or mark in AT_ONCE or trouble.failures >= failures:
            trouble.until = now + min(LONGEST_COOLDOWN, seconds * 2 ** min(trouble.cooldowns, 20))
            trouble.trial_until = 0.0
            trouble.cooldowns += 1

    def wait(self, upstream_id: int | None) -> float:
        """In how many seconds a call may go there; 0 for now."""
        trouble = self._troubles.get(upstream_id)
        return max(0.0, max(trouble.until, trouble.trial_until) - self._clock()) if trouble is not None else 0.0

    def waits(self) -> dict[int | None, float]:
        """Those that no call may go to now, and for how many seconds."""
        return {upstream_id: wait for upstream_id in tuple(self._troubles) if (wait := self.wait(upstream_id))}

    def adopt(self, upstream_id: int | None, seconds: float) -> None:
        """Another process passes it over for so long."""
        self._troubles[upstream_id] = _Trouble(cooldowns=1, until=self._clock() + seconds)

    def try_now(self, upstream_id: int | None) -> None:
        """A call goes there: the trial, where the upstream has cooled down."""
        trouble = self._troubles.get(upstream_id)
        if trouble is not None and trouble.cooldowns and self._clock() >= trouble.until:
            trouble.trial_until = self._clock() + TRIAL_SECONDS

    def forget(self, upstream_id: int | None) -> None:
        """The upstream is well, or another."""
        self._troubles.pop(upstream_id, None)
