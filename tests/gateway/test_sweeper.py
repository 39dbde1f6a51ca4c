"""Who has waited too long, by the clock alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.account.entry import Outcome
from gateway.cuts import CallCut
from gateway.open_call import Phase
from gateway.sweeper import Sweeper
from gateway.time_limits import TimeLimits, wish_of
from upstreams.errors import UpstreamTimeout
from upstreams.selection import Timeouts

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


@pytest.mark.parametrize("phase", [Phase.ANSWER, Phase.STREAM])
@pytest.mark.parametrize(("wish", "is_the_upstream_s"), [("2", False), ("300", True)])
def test_a_caller_s_impatience_is_not_blamed_on_the_upstream(
    sweep: Any, phase: Phase, wish: str, *, is_the_upstream_s: bool
) -> None:
    """Or else whoever asks for a short time would have the upstream passed over for everybody."""
    call = Call(phase)
    call.limits = LIMITS.of(Timeouts(), wish_of(None, wish))
    (cut,) = sweep(call, 31)
    assert isinstance(cut.error, UpstreamTimeout) == is_the_upstream_s
    assert is_the_upstream_s or (cut.error.type, "x-litellm-stream-timeout" in cut.error.message) == (
        "call_timeout",
        True,
    )
