"""Who waits for a place gets it by priority and then by arrival, and nobody is lost."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest
from gevent.event import Event

from gateway.errors import UpstreamSaturated
from gateway.waiting import WaitingRoom
from tests.support.patience import PATIENCE


class Seats:
    """A number of places."""

    def __init__(self, free: int = 0) -> None:
        self.free = free

    def take(self) -> str | None:
        if not self.free:
            return None
        self.free -= 1
        return "a seat"

    def give_back(self, seat: str) -> None:
        self.free += 1


@pytest.fixture
def seats() -> Seats:
    return Seats()


def waiter(room: WaitingRoom[str], seats: Seats, served: list[str], name: str, priority: int = 0) -> gevent.Greenlet:
    def wait() -> None:
        room.wait(priority, "seats", seats.take, seats.give_back)
        served.append(name)

    greenlet = gevent.spawn(wait)
    gevent.sleep(0)
    return greenlet


def until(condition: Callable[[], bool]) -> None:
    with gevent.Timeout(PATIENCE):
        while not condition():
            gevent.sleep(0.01)


def test_the_higher_priority_is_served_first_then_the_earlier(seats: Seats) -> None:
    room: WaitingRoom[str] = WaitingRoom(10, PATIENCE)
    served: list[str] = []
    waiters = [
        waiter(room, seats, served, "early"),
        waiter(room, seats, served, "late"),
        waiter(room, seats, served, "important", 5),
        waiter(room, seats, served, "idle", -5),
    ]
    for _ in waiters:
        seats.free += 1
        room.ask()
        gevent.sleep(0)
    gevent.joinall(waiters, timeout=PATIENCE, raise_error=True)
    assert served == ["important", "early", "late", "idle"]
    assert len(room) == 0


def test_places_that_others_gave_back_are_found_by_asking_again(seats: Seats) -> None:
    room: WaitingRoom[str] = WaitingRoom(10, PATIENCE)
    served: list[str] = []
    waiter(room, seats, served, "a")
    seats.free = 1
    until(lambda: served == ["a"])


def test_who_has_waited_too_long_is_refused(seats: Seats) -> None:
    room: WaitingRoom[str] = WaitingRoom(10, 0.05)
    with pytest.raises(UpstreamSaturated) as refused:
        room.wait(0, "seats", seats.take, seats.give_back)
    assert (refused.value.retry_after, len(room)) == (1, 0)


def test_a_full_room_refuses_at_once(seats: Seats) -> None:
    room: WaitingRoom[str] = WaitingRoom(1, PATIENCE)
    served: list[str] = []
    first = waiter(room, seats, served, "a")
    with pytest.raises(UpstreamSaturated):
        room.wait(0, "seats", seats.take, seats.give_back)
    first.kill()


def test_one_that_leaves_keeps_no_place(seats: Seats) -> None:
    room: WaitingRoom[str] = WaitingRoom(10, PATIENCE)
    served: list[str] = []
    leaving = waiter(room, seats, served, "leaving")
    staying = waiter(room, seats, served, "staying")
    leaving.kill()
    seats.free = 1
    room.ask()
    staying.join(PATIENCE)
    assert served == ["staying"]


def test_a_place_found_for_one_that_left_is_given_back(seats: Seats) -> None:
    room: WaitingRoom[str] = WaitingRoom(10, PATIENCE)
    served: list[str] = []

    def take_and_leave() -> str | None:
        seat = seats.take()
        if seat:
            leaving.kill(block=False)  # it ends before it can see that the place is its own
        return seat

    def wait() -> None:
        served.append(room.wait(0, "seats", take_and_leave, seats.give_back))

    leaving = gevent.spawn(wait)
    gevent.sleep(0)
    seats.free = 1
    room.ask()
    leaving.join(PATIENCE)
    assert (seats.free, served) == (1, [])


@pytest.mark.parametrize("leaves", [True, False])
def test_a_place_that_is_taken_while_the_wait_ends_is_given_back(seats: Seats, leaves: bool) -> None:
    """Shared counters answer over a network: the call may be gone, or its time over, by then."""
    room: WaitingRoom[str] = WaitingRoom(10, PATIENCE if leaves else 0.02)
    seats.free = 1
    is_over = Event()

    def take_slowly() -> str | None:
        seat = seats.take()
        is_over.wait()
        return seat

    waiting = gevent.spawn(room.wait, 0, "seats", take_slowly, seats.give_back)
    until(lambda: seats.free == 0)
    if leaves:
        waiting.kill()
    waiting.join(PATIENCE)
    is_over.set()
    until(lambda: seats.free == 1)
    assert len(room) == 0


def test_those_who_wait_for_something_else_are_not_held_up(seats: Seats) -> None:
    room: WaitingRoom[str] = WaitingRoom(10, PATIENCE)
    served: list[str] = []
    blocked = waiter(room, seats, served, "blocked", 9)
    other = Seats(1)
    assert room.wait(0, "other", other.take, other.give_back) == "a seat"
    blocked.kill()


def test_what_goes_wrong_for_one_keeps_nobody_else_waiting(seats: Seats, caplog: pytest.LogCaptureFixture) -> None:
    room: WaitingRoom[str] = WaitingRoom(10, PATIENCE)
    served: list[str] = []
    broken = gevent.spawn(room.wait, 1, "others", lambda: [][0], seats.give_back)
    gevent.sleep(0)
    behind = waiter(room, seats, served, "behind")
    seats.free += 1
    room.ask()
    gevent.joinall([behind], timeout=PATIENCE, raise_error=True)
    assert served == ["behind"]
    assert "could not ask for a place" in caplog.text
    broken.kill()
    assert len(room) == 0
