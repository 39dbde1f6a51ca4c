"""A body is received piece by piece, held or spooled, and read again in ranges."""

from __future__ import annotations

import io
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest

from common.errors import InvalidRequest
from gateway.account.entry import Outcome
from gateway.body.request_body import IN_MEMORY_BYTES, PIECE_BYTES, RequestBody, announced_length, receive
from gateway.cuts import CallCut
from gateway.errors import BodyTooLarge, BodyTooSlow, NoRoomForBody

LARGE = bytes(range(250)) * 5000
LIMIT = 10_000_000


class Breaking:
    """A stream that fails after its first bytes."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self._first = b"x" * (IN_MEMORY_BYTES + 1)

    def read(self, size: int) -> bytes:
        piece, self._first = self._first[:size], self._first[size:]
        if not piece:
            raise self._error
        return piece


@pytest.fixture
def received(tmp_path: Path) -> Callable[..., RequestBody]:
    """Receives a body from bytes or a stream."""

    def act(data: Any, *, length: int | None = -1, limit: int = LIMIT, **more: Any) -> RequestBody:
        stream = io.BytesIO(data) if isinstance(data, bytes) else data
        given = len(data) if length == -1 else length
        more.setdefault("on_bytes", lambda total: None)
        return receive(stream, length=given, limit=limit, spool=tmp_path, **more)

    return act


@pytest.mark.parametrize("in_memory", [len(LARGE), 0])
def test_others_go_between_the_pieces_of_a_body_that_is_looked_at(
    received: Callable[..., RequestBody], in_memory: int
) -> None:
    body, turns = received(LARGE, in_memory=in_memory), []

    def take_turns() -> None:
        while True:
            turns.append(None)
            gevent.sleep(0)

    other = gevent.spawn(take_turns)
    pieces = list(body.in_turns())
    other.kill()
    body.close()
    assert b"".join(pieces) == LARGE
    assert max(map(len, pieces)) <= PIECE_BYTES
    assert len(turns) >= len(pieces) - 1


@pytest.mark.parametrize(
    ("environ", "length"),
    [
        ({}, 0),
        ({"CONTENT_LENGTH": ""}, 0),
        ({"CONTENT_LENGTH": "7"}, 7),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, None),
    ],
)
def test_the_length_that_was_announced(environ: dict[str, str], length: int | None) -> None:
    assert announced_length(environ) == length


@pytest.mark.parametrize("length", [-1, None])
def test_a_small_body_is_held(received: Any, tmp_path: Path, length: int | None) -> None:
    body = received(b"abc", length=length)
    assert (body.held, body.whole(), body.length) == (b"abc", b"abc", 3)
    assert list(body.read_range(1, 3)) == [b"bc"]


def test_no_body_is_none(received: Any) -> None:
    body = received(b"")
    assert (body.whole(), body.length) == (None, 0)
    body.close()


@pytest.mark.parametrize("length", [-1, None])
def test_a_large_body_is_spooled(received: Any, length: int | None) -> None:
    body = received(LARGE, length=length)
    assert (body.held, body.length) == (None, len(LARGE))
    whole = body.whole()
    for _ in range(2):  # it can be sent again
        assert b"".join(whole) == LARGE
    assert (len(whole), bool(whole)) == (len(LARGE), True)
    body.close()


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Lets no file grow beyond so many bytes, for no longer than it takes: the run itself may write into one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, IN_MEMORY_BYTES + 1, len(LARGE) - 1])
def test_a_body_for_which_the_disk_has_no_room_is_refused_as_that(received: Any, room: int) -> None:
    with full_disk(room), pytest.raises(NoRoomForBody) as caught:
        received(LARGE)
    assert caught.value.status_code == 507


def test_a_spool_that_fails_otherwise_is_no_lack_of_room(received: Any, tmp_path: Path) -> None:
    tmp_path.rmdir()
    with pytest.raises(FileNotFoundError):
        received(LARGE)


def test_a_small_body_needs_no_disk(received: Any) -> None:
    with full_disk(0):
        assert received(b"abc").held == b"abc"


def test_stretches_can_be_replaced(received: Any) -> None:
    body = received(LARGE)
    segments = body.segments([(0, 10), b"NEW", (20, len(LARGE))])
    assert b"".join(segments) == LARGE[:10] + b"NEW" + LARGE[20:]
    assert len(segments) == len(LARGE) - 7
    body.close()


def test_scanners_see_every_byte_and_progress_is_told(received: Any) -> None:
    class Scanner:
        seen = b""

        def feed(self, chunk: bytes) -> None:
            self.seen += chunk

    scanner, totals = Scanner(), []
    received(LARGE, scanners=[scanner], on_bytes=totals.append).close()
    assert (scanner.seen, totals[-1]) == (LARGE, len(LARGE))
    assert totals == sorted(totals)


def test_too_much_is_refused_before_it_is_read(received: Any) -> None:
    with pytest.raises(BodyTooLarge):
        received(Breaking(AssertionError()), length=LIMIT + 1)


def test_too_much_is_refused_when_it_has_come(received: Any) -> None:
    with pytest.raises(BodyTooLarge):
        received(LARGE, length=None, limit=1_100_000)


@pytest.mark.parametrize("broken", [io.BytesIO(b"ab"), Breaking(ConnectionResetError())])
def test_a_client_that_leaves_ends_the_call(received: Any, broken: Any) -> None:
    with pytest.raises(CallCut) as caught:
        received(broken, length=IN_MEMORY_BYTES * 2)
    assert caught.value.outcome == Outcome.CLIENT_DISCONNECTED


def test_broken_framing_is_a_bad_request(received: Any) -> None:
    with pytest.raises(InvalidRequest, match="framing"):
        received(Breaking(ValueError("bytes of the body")), length=None)


def test_a_time_out_of_ours_stays_one(received: Any) -> None:
    with pytest.raises(BodyTooSlow):
        received(Breaking(BodyTooSlow()), length=None)


def test_less_may_be_held_in_memory(received: Callable[..., RequestBody]) -> None:
    assert received(b"x" * 100, in_memory=100).held is not None
    spooled = received(b"x" * 101, in_memory=100)
    assert (spooled.held, b"".join(spooled.read_range(0, 101))) == (None, b"x" * 101)
    spooled.close()
