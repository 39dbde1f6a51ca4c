"""Who has waited too long, by the clock alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.account.entry import Outcome
from gateway.cuts import CallCut
from gateway.open_call import Phase
from gateway.sweeper import Sweeper
from gateway.time_limits import TimeLimits

LIMITS = TimeLimits(body=10, first_byte=20, idle=30, total=100)


class Call:
    """What the sweeper sees of a call."""

    limits: TimeLimits | None = None

    def __init__(self, phase: Phase, *, writing: bool = False) -> None:
        self.phase, self.writing = phase, writing
        self.bytes_in = self.bytes_out = self.seen_progress = 0
        self.opened_at = self.progress_at = 0.0
        self.cuts: list[CallCut] = []
        self.cut = self.cuts.append


@pytest.fixture
def sweep() -> Callable[[Any, float], list[CallCut]]:
    """Looks at one call at a moment."""
    now = 0.0
    sweeper = Sweeper(LIMITS, clock=lambda: now)

    def at(call: Any, moment: float) -> list[CallCut]:
        nonlocal now
        now = moment
        sweeper.sweep([call])
        return list(call.cuts)

    return at


@pytest.mark.parametrize(
    ("phase", "limit", "outcome", "kind"),
    [
        (Phase.BODY, 10, Outcome.CLIENT_DISCONNECTED, "request_timeout"),
        (Phase.ANSWER, 20, Outcome.UPSTREAM_FAILED, "upstream_timeout"),
        (Phase.STREAM, 30, Outcome.UPSTREAM_FAILED, "upstream_timeout"),
        (Phase.ADMISSION, 100, Outcome.UPSTREAM_FAILED, "call_timeout"),
    ],
)
def test_each_phase_has_its_limit(sweep: Any, phase: Phase, limit: float, outcome: Outcome, kind: str) -> None:
    call = Call(phase)
    assert sweep(call, limit) == []
    (cut,) = sweep(call, limit + 0.1)
    assert (cut.outcome, cut.error and cut.error.type) == (outcome, kind)


@pytest.mark.parametrize("counter", ["bytes_in", "bytes_out"])
def test_bytes_are_progress(sweep: Any, counter: str) -> None:
    call = Call(Phase.STREAM)
    for moment in (29, 58, 87):
        setattr(call, counter, moment)
        assert sweep(call, moment) == []


def test_no_progress_helps_beyond_the_total(sweep: Any) -> None:
    call = Call(Phase.STREAM)
    call.bytes_out = 1
    assert sweep(call, 101)[0].outcome == Outcome.UPSTREAM_FAILED


def test_a_client_that_does_not_read_has_left(sweep: Any) -> None:
    (cut,) = sweep(Call(Phase.STREAM, writing=True), 31)
    assert (cut.outcome, cut.error) == (Outcome.CLIENT_DISCONNECTED, None)
