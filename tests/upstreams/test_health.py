"""Cooldowns: who cools down, for how long, and who may try after it."""

from __future__ import annotations

import pytest

from tests.support.clock import Clock
from upstreams.health import LONGEST_COOLDOWN, TRIAL_SECONDS, Cooldowns, Mark


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def cooldowns(clock: Clock) -> Cooldowns:
    return Cooldowns(clock)


def mark(cooldowns: Cooldowns, *marks: Mark) -> None:
    for one in marks:
        cooldowns.mark(1, one, seconds=5, failures=3)


def test_a_server_nobody_marked_may_be_called(cooldowns: Cooldowns) -> None:
    assert cooldowns.wait(1) == 0
    assert not cooldowns


@pytest.mark.parametrize("certain", [Mark.REFUSED, Mark.ENGINE_DEAD])
def test_what_is_certain_cools_down_at_once(cooldowns: Cooldowns, certain: Mark) -> None:
    mark(cooldowns, certain)
    assert cooldowns.wait(1) == 5
    assert cooldowns.wait(2) == 0


@pytest.mark.parametrize("doubtful", [Mark.RESET, Mark.TIMEOUT, Mark.SERVER_ERROR, Mark.ABORTED])
def test_what_is_doubtful_cools_down_after_some_in_a_row(cooldowns: Cooldowns, doubtful: Mark) -> None:
    mark(cooldowns, doubtful, doubtful)
    assert cooldowns.wait(1) == 0
    mark(cooldowns, Mark.OK, doubtful, doubtful)
    assert cooldowns.wait(1) == 0
    mark(cooldowns, doubtful)
    assert cooldowns.wait(1) == 5


def test_after_the_cooldown_one_call_tries(cooldowns: Cooldowns, clock: Clock) -> None:
    mark(cooldowns, Mark.REFUSED)
    clock.now += 5
    assert cooldowns.wait(1) == 0
    cooldowns.try_now(1)
    assert cooldowns.wait(1) == TRIAL_SECONDS
    mark(cooldowns, Mark.OK)
    assert cooldowns.wait(1) == 0


def test_a_trial_that_never_ends_lets_another_try(cooldowns: Cooldowns, clock: Clock) -> None:
    mark(cooldowns, Mark.REFUSED)
    clock.now += 5
    cooldowns.try_now(1)
    clock.now += TRIAL_SECONDS
    assert cooldowns.wait(1) == 0


def test_a_call_during_the_cooldown_is_no_trial(cooldowns: Cooldowns, clock: Clock) -> None:
    mark(cooldowns, Mark.REFUSED)
    cooldowns.try_now(1)
    clock.now += 5
    assert cooldowns.wait(1) == 0


def test_cooldowns_grow_up_to_a_minute(cooldowns: Cooldowns, clock: Clock) -> None:
    waits = []
    for _ in range(7):
        mark(cooldowns, Mark.RESET if waits else Mark.REFUSED)  # one failure is enough when it has just cooled down
        waits.append(cooldowns.wait(1))
        clock.now += waits[-1]
    assert waits == [5, 10, 20, 40, LONGEST_COOLDOWN, LONGEST_COOLDOWN, LONGEST_COOLDOWN]


def test_what_was_forgotten_may_be_called(cooldowns: Cooldowns) -> None:
    mark(cooldowns, Mark.REFUSED)
    cooldowns.forget(1)
    cooldowns.forget(2)
    assert cooldowns.wait(1) == 0


def test_what_cools_down_is_told_to_other_processes(cooldowns: Cooldowns, clock: Clock) -> None:
    cooldowns.mark(1, Mark.REFUSED, seconds=5, failures=3)
    cooldowns.mark(2, Mark.RESET, seconds=5, failures=3)
    assert cooldowns.waits() == {1: 5}
    other = Cooldowns(clock)
    other.adopt(1, 5)
    assert (other.wait(1), other.wait(2)) == (5, 0)
