"""Bodies on their way are bounded as a whole, small and large ones apart."""

import pytest

from gateway.body.room import Room


class Full(Exception):
    """There is no room."""


def test_what_is_beyond_the_bound_is_refused_and_what_ended_makes_room() -> None:
    room = Room(memory=10, disk=100, small=8)
    with room.place(Full) as first:
        first(8)
        with pytest.raises(Full), room.place(Full) as second:
            second(3)
        assert room.held == (8, 0)
    assert room.held == (0, 0)


def test_a_body_that_grows_large_leaves_the_memory() -> None:
    room = Room(memory=10, disk=100, small=8)
    with room.place(Full) as large:
        large(8)
        large(90)
        assert room.held == (0, 90)
        with room.place(Full) as small:
            small(8)
        with pytest.raises(Full):
            large(101)
    assert room.held == (0, 0)
