"""How tests wait, and how they look at a promise in seconds, on a machine that may have much else to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 30.0
"""Seconds for what must come. It costs nothing when it comes, and what is later still will not come at all."""

TRIES = 5
T = TypeVar("T")


def wait_for(look: Callable[[], T], timeout: float = PATIENCE, *, every: float = 0.02) -> T:
    """Waits until `look()` is true and returns its value; AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := look()):
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(every)
    return value


def in_one_minute(act: Callable[[], T]) -> T:
    """What `act()` comes to, of the first that takes less than a minute: a rate has a new one after that."""
    for _ in range(TRIES):
        began = time.monotonic()
        found = act()
        if time.monotonic() - began < 55:
            return found
    raise AssertionError("not once within a minute")


def kept_within(seconds: float, once: Callable[[], float]) -> None:
    """That a promise is kept: `once()` lets it be kept, and returns how many seconds that took.

    A busy machine makes single answers late; a gateway that is too slow makes every one late. So one of some tries
    has to be in time.
    """
    took: list[float] = []
    while len(took) < TRIES:
        took.append(once())
        if took[-1] < seconds:
            return
    raise AssertionError(f"not once within {seconds} s: {took}")
