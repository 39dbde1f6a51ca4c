from __future__ import annotations

import pytest

from gateway.admin_pages.home.kept import Kept
from tests.support.clock import Clock

SECONDS = 20.0


class Look:
    """Finds another number each time."""

    def __init__(self) -> None:
        self.found = 0

    def __call__(self) -> int:
        self.found += 1
        return self.found


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000.0)


def test_what_was_found_is_kept_for_a_while(clock: Clock) -> None:
    kept, look = Kept[int](SECONDS, clock=clock), Look()
    assert kept.of("who", look) == 1
    clock.now += SECONDS - 0.1
    assert kept.of("who", look) == 1
    clock.now += 0.1
    assert kept.of("who", look) == 2


def test_each_who_asks_has_their_own(clock: Clock) -> None:
    kept, look = Kept[int](SECONDS, clock=clock), Look()
    assert [kept.of(who, look) for who in ("one", "two", "one", None)] == [1, 2, 1, 3]


def test_what_is_not_worth_it_is_looked_for_each_time(clock: Clock) -> None:
    kept, look = Kept[int](SECONDS, lambda found: found > 2, clock), Look()
    assert [kept.of("who", look) for _ in range(4)] == [1, 2, 3, 3]


def test_what_is_too_old_takes_no_memory(clock: Clock) -> None:
    kept, look = Kept[int](SECONDS, clock=clock), Look()
    for who in range(100):
        kept.of(who, look)
    clock.now += SECONDS
    kept.of("last", look)
    assert len(kept) == 1


def test_it_can_be_told_to_forget(clock: Clock) -> None:
    kept, look = Kept[int](SECONDS, clock=clock), Look()
    kept.of("who", look)
    kept.forget()
    assert kept.of("who", look) == 2
