"""One end of a WebSocket: what is read from it is whole and bounded, what is written to it never takes for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent import socket
from wsproto.connection import Connection, ConnectionType
from wsproto.events import Event

from gateway.realtime import peer as peers
from gateway.realtime.peer import BytesMessage, CloseConnection, Peer, PeerFault, Ping, TextMessage
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.sockets

Pair = tuple[Peer, Any]


class Account:
    bytes_in = bytes_out = 0


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The gateway's end towards a client, and the client's own socket."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(PATIENCE)
        yield Peer(ours, ConnectionType.SERVER, account=Account()), theirs


def written(*events: Event) -> bytes:
    client = Connection(ConnectionType.CLIENT)
    return b"".join(client.send(event) for event in events)


def heard(pair: Pair, data: bytes) -> list[Event]:
    """What the peer tells of these bytes, and the end behind them."""
    peer, theirs = pair
    sender = gevent.spawn(lambda: (theirs.sendall(data), theirs.shutdown(socket.SHUT_WR)))
    try:
        return list(peer.events())
    finally:
        sender.kill()


def test_fragments_become_one_message(pair: Pair) -> None:
    parts = [TextMessage(data="aé", message_finished=False), Ping(payload=b"p"), TextMessage(data="\r\nb")]
    assert heard(pair, written(*parts)) == [Ping(payload=b"p"), TextMessage(data="aé\r\nb")]
    assert pair[0].is_broken


def test_bytes_stay_bytes(pair: Pair) -> None:
    parts = [BytesMessage(data=b"\xff", message_finished=False), BytesMessage(data=b"\x00")]
    assert heard(pair, written(*parts)) == [BytesMessage(data=b"\xff\x00")]


def test_a_close_is_the_last_event(pair: Pair) -> None:
    close = CloseConnection(code=1000, reason="done")
    assert heard(pair, written(TextMessage(data="a"), close)) == [TextMessage(data="a"), close]
    assert not pair[0].is_broken


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x05hello", 1002),  # not masked
        (b"\xff" * 20, 1002),
        (b"\x80\x80\0\0\0\0", 1002),  # continues nothing
        (b"\x88\x81\0\0\0\0\x03", 1002),  # half a code
        (b"\x81\x81\0\0\0\0\xff", 1007),  # no UTF-8
    ],
)
def test_what_is_no_websocket_is_a_fault(pair: Pair, data: bytes, code: int) -> None:
    with pytest.raises(PeerFault) as fault:
        heard(pair, data)
    assert fault.value.code == code


@pytest.mark.parametrize("text", ["x" * 60, "é" * 30])
def test_a_message_over_the_limit_is_a_fault(pair: Pair, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(peers, "MOST_BYTES", 100)
    part = TextMessage(data=text, message_finished=False)
    with pytest.raises(PeerFault) as fault:
        heard(pair, written(part, part))
    assert fault.value.code == 1009


def test_messages_below_the_limit_do_not_add_up(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "MOST_BYTES", 100)
    assert len(heard(pair, written(*[TextMessage(data="x" * 60)] * 5))) == 5


def test_empty_fragments_without_end_let_others_go(pair: Pair) -> None:
    turns: list[float] = []

    def others() -> None:
        while True:
            turns.append(time.monotonic())
            gevent.sleep(0.001)

    beside = gevent.spawn(others)
    empty = TextMessage(data="", message_finished=False)
    assert heard(pair, written(*[empty] * 20_000, TextMessage(data="a"))) == [TextMessage(data="a")]
    beside.kill()
    assert len(turns) > 10


def test_a_long_message_leaves_in_frames_and_is_the_same(pair: Pair) -> None:
    peer, theirs = pair
    text = "é" * 200_000
    sender = gevent.spawn(peer.send, TextMessage(data=text))
    client, got, frames = Connection(ConnectionType.CLIENT), "", 0
    while len(got) < len(text):
        client.receive_data(theirs.recv(65_536))
        for event in client.events():
            assert isinstance(event, TextMessage)
            got += event.data
            frames += event.frame_finished
    sender.join()
    assert got == text
    assert frames == 4


def test_bytes_are_counted(pair: Pair) -> None:
    peer, theirs = pair
    peer.send(TextMessage(data="abc"))
    assert len(theirs.recv(100)) == peer._account.bytes_out == 5  # type: ignore[union-attr]
    data = written(TextMessage(data="abc"))
    heard(pair, data)
    assert peer._account.bytes_in == len(data)  # type: ignore[union-attr]


def test_after_a_close_nothing_is_written(pair: Pair) -> None:
    peer, theirs = pair
    peer.close(1008, "x" * 200)
    peer.send(TextMessage(data="late"))
    peer.close(1000)
    frame = theirs.recv(1000)
    assert (frame[0], len(frame)) == (0x88, 2 + 125)


def test_no_code_is_told_by_none(pair: Pair) -> None:
    peer, theirs = pair
    peer.close(1005)
    assert theirs.recv(100) == b"\x88\x00"


def test_a_peer_that_takes_nothing_is_not_waited_for(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "CLOSE_SECONDS", 0.1)
    peer, _ = pair
    sender = gevent.spawn(peer.send, TextMessage(data="x" * 10_000_000))
    gevent.sleep(0.1)
    assert peer.is_stuck(0.05)
    began = time.monotonic()
    peer.close(1008)
    assert time.monotonic() - began < PATIENCE / 2
    sender.kill()


def test_a_peer_that_hung_up_is_seen_without_reading(pair: Pair) -> None:
    peer, theirs = pair
    theirs.sendall(b"unread")
    assert not peer.has_hung_up
    theirs.shutdown(socket.SHUT_WR)
    assert peer.has_hung_up
