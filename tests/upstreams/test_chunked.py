"""Bodies in chunks, split anywhere, over plain files and over gevent's sockets."""

from __future__ import annotations

import http.client
import io
from collections.abc import Iterator, Sequence
from itertools import pairwise

import gevent
import gevent.socket
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import answers
from tests.support.patience import PATIENCE
from tests.support.upstream import Upstream
from upstreams.chunked import LONGEST_LINE, MOST_TRAILERS, ChunkedBody
from upstreams.client import UpstreamClient
from upstreams.transport import Outgoing


class Pieces(io.RawIOBase):
    """A connection on which these pieces come, one for each read; then the end."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = list(pieces)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        if not self._pieces:
            return 0
        piece = self._pieces.pop(0)
        buffer[: len(piece)] = piece
        return len(piece)


def body_of(*pieces: bytes) -> ChunkedBody:
    return ChunkedBody(io.BufferedReader(Pieces(pieces)))


def in_chunks(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def all_of(body: ChunkedBody) -> list[bytes]:
    return list(iter(body.read1, b""))


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.lists(st.integers(0, 200), max_size=8), st.binary())
def test_it_is_the_same_however_it_is_split(chunks: list[bytes], cuts: list[int], surplus: bytes) -> None:
    framed = in_chunks(*chunks, end=b"0;x=y\r\nA: 1\r\nB: 2\r\n\r\n")
    edges = [0, *sorted(min(cut, len(framed)) for cut in cuts), len(framed)]
    pieces = [framed[a:b] for a, b in pairwise(edges) if a < b]
    pieces[-1] += surplus
    body = body_of(*pieces)
    assert b"".join(all_of(body)) == b"".join(chunks)
    assert body.ended
    assert body.has_surplus is bool(surplus)


def test_what_has_come_is_given_at_once() -> None:
    body = body_of(b"5\r\nab", b"cde\r", b"\n2\r\nfg\r\n1\r\nh\r\n", b"1\r\ni\r\n", b"0\r\n\r\n")
    assert all_of(body) == [b"ab", b"cde", b"fgh", b"i"]
    assert body.read1() == b""


@pytest.mark.parametrize(
    "size", [b"", b"zz", b" 1", b"+1", b"-1", b"0x1", b"1_0", b"1 1", b"1\n", b"1" * 17, b"\r"], ids=repr
)
def test_what_is_no_size_breaks_the_body(size: bytes) -> None:
    for before in (b"", b"1\r\nx\r\n"):
        with pytest.raises(http.client.HTTPException):
            all_of(body_of(before + size + b"\r\nx\r\n0\r\n\r\n"))


@pytest.mark.parametrize("end", [b"x\r\n", b"\n", b"\rx"])
def test_a_chunk_ends_where_its_size_says(end: bytes) -> None:
    with pytest.raises(http.client.HTTPException):
        all_of(body_of(b"1\r\nx" + end + b"0\r\n\r\n"))


@pytest.mark.parametrize("at", range(1, len(in_chunks(b"ab", b"c"))))
def test_an_end_before_the_end_is_none(at: int) -> None:
    body = body_of(in_chunks(b"ab", b"c")[:at])
    with pytest.raises(http.client.IncompleteRead):
        all_of(body)
    assert not body.ended


def test_lines_are_bounded() -> None:
    for endless in (b"1;" + b"x" * LONGEST_LINE, b"0\r\n" + b"x" * (LONGEST_LINE + 1)):
        with pytest.raises(http.client.HTTPException):
            all_of(body_of(endless, b"x"))


def test_trailers_are_bounded() -> None:
    with pytest.raises(http.client.HTTPException):
        all_of(body_of(b"0\r\n", *[b"A: 1\r\n"] * (MOST_TRAILERS + 1), b"\r\n"))


@pytest.fixture
def connection() -> Iterator[tuple[gevent.socket.socket, gevent.socket.socket]]:
    ours, theirs = gevent.socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.sockets
def test_it_waits_for_gevent_s_sockets(connection: tuple[gevent.socket.socket, gevent.socket.socket]) -> None:
    ours, theirs = connection

    def send() -> None:
        for piece in (b"2\r\n", b"ab\r\n", b"1\r\nc\r\n", b"0\r\n\r\n"):
            theirs.sendall(piece)
            gevent.sleep(0.01)

    sender = gevent.spawn(send)
    assert all_of(ChunkedBody(ours.makefile("rb"))) == [b"ab", b"c"]
    sender.join()


def test_a_read_time_out_holds_between_chunks(
    connection: tuple[gevent.socket.socket, gevent.socket.socket],
) -> None:
    ours, theirs = connection
    ours.settimeout(0.05)
    theirs.sendall(b"2\r\nab\r\n")
    body = ChunkedBody(ours.makefile("rb"))
    assert body.read1() == b"ab"
    with pytest.raises(TimeoutError):
        body.read1()


@pytest.mark.sockets
def test_a_connection_with_a_surplus_serves_no_other_call() -> None:
    """Otherwise the surplus could be read as the answer to somebody else's call."""
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    with Upstream() as upstream:
        upstream.on("*", answers.raw(head + in_chunks(b"ok") + b"HTTP/1.1 200 OK\r\n", then_close=False))
        client = UpstreamClient(connect_timeout=PATIENCE, read_timeout=PATIENCE)
        for _ in range(2):
            response = client.open(upstream.url, "GET", Outgoing({}, "/x"))
            assert b"".join(response.chunks()) == b"ok"
            response.close()
        assert len({request.connection for request in upstream.requests}) == 2
        client.forget(upstream.url)
