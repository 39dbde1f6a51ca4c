"""Where calls wait for a place at an upstream that takes only so many at once: by priority, then by arrival.

A call that finds no place hands over how to take one; whenever a place may be free, the waiting are asked in their
order. Nobody who comes later overtakes who waits. Knows no upstream and no counter.
"""

from __future__ import annotations

import bisect
import itertools
import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import gevent
from gevent.event import Event

from gateway.errors import UpstreamSaturated

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25
"""Places that other processes give back are found by asking again."""

Place = TypeVar("Place")


@dataclass(order=True)
class _Waiter(Generic[Place]):
    rank: tuple[int, int]
    take: Callable[[], Place | None] = field(compare=False)
    give_back: Callable[[Place], None] = field(compare=False)
    wants: Hashable = field(compare=False)
    called: Event = field(compare=False, default_factory=Event)
    place: Place | None = field(compare=False, default=None)
    gone: bool = field(compare=False, default=False)

    def hand_over(self, place: Place) -> None:
        """It has the place, unless it left, or its time was up, while the place was being taken."""
        if self.gone:
            self.give_back(place)
        else:
            self.place, self.gone = place, True
            self.called.set()


class WaitingRoom(Generic[Place]):
    """The calls of one process that wait for a place."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._waiters: list[_Waiter[Place]] = []
        self._arrivals = itertools.count()
        self._serving = False
        self._wanted = False
        self._polling = False

    def __len__(self) -> int:
        return sum(not waiter.gone for waiter in self._waiters)

    @property
    def is_full(self) -> bool:
        """Whether no further call may wait."""
        return len(self) >= self._most

    @property
    def wanted(self) -> set[Hashable]:
        """What those who wait said that they want."""
        return {waiter.wants for waiter in self._waiters if not waiter.gone}

    def wait(
        self,
        priority: int,
        wants: Hashable,
        take: Callable[[], Place | None],
        give_back: Callable[[Place], None],
    ) -> Place:
        """The place that `take` found at last. `wants` is equal for calls that would take the same places.

        `give_back` is for a place that was found for a call that had gone. Raises UpstreamSaturated.
        """
        if self.is_full:
            raise UpstreamSaturated("Too many calls wait for a place at an upstream already.")
        waiter = _Waiter(rank=(-priority, next(self._arrivals)), take=take, give_back=give_back, wants=wants)
        bisect.insort(self._waiters, waiter)
        try:
            self._poll()
            self.ask_soon()
            waiter.called.wait(self._seconds)
        except BaseException:
            waiter.gone = True
            if waiter.place is not None:
                give_back(waiter.place)
            raise
        waiter.gone = True
        if waiter.place is None:
            raise UpstreamSaturated
        return waiter.place

    def ask_soon(self) -> None:
        """A place may be free. In a greenlet of its own: a call that is cut must not be in the middle of another's."""
        if self._waiters:
            gevent.spawn(self.ask)

    def ask(self) -> None:
        """A place may be free: the waiting are asked in their order."""
        self._wanted = bool(self._waiters)
        if self._serving:
            return
        self._serving = True
        try:
            while self._wanted:
                self._wanted = False
                self._ask_each()
        finally:
            self._serving = False

    def _ask_each(self) -> None:
        full: set[Hashable] = set()
        for waiter in tuple(self._waiters):
            if waiter.gone or waiter.wants in full:
                continue
            place = self._asked(waiter)
            if place is None:
                full.add(waiter.wants)
            else:
                waiter.hand_over(place)
        self._waiters = [waiter for waiter in self._waiters if not waiter.gone]

    @staticmethod
    def _asked(waiter: _Waiter[Place]) -> Place | None:
        """The place, if there is one. What goes wrong for one is no reason to ask for nobody any more."""
        try:
            return waiter.take()
        except Exception:
            logger.exception("A call that waits could not ask for a place; it is asked again.")
            return None

    def _poll(self) -> None:
        if not self._polling:
            self._polling = True
            gevent.spawn(self._poll_until_empty)

    def _poll_until_empty(self) -> None:
        try:
            while self._waiters:
                gevent.sleep(POLL_SECONDS)
                self.ask()
        finally:
            self._polling = False


def elapsed_ms(since: float) -> float:
    """Milliseconds since a monotonic moment."""
    return round((time.monotonic() - since) * 1000, 3)
