"""WebSocket clients and servers that misbehave: the session ends, and no other call notices."""

from __future__ import annotations

import functools
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Event, TextMessage

from tests.sockets.test_realtime import GREETING, connect, ended
from tests.support import vllm
from tests.support.gateway import Gateway
from tests.support.patience import PATIENCE, kept_within, wait_for
from tests.support.upstream import Upstream
from tests.support.websocket import Wire, realtime, server

IDLE_SECONDS = 8.0
SLOWER = 10
"""How many times longer a short call may take beside the abuse; a worker that is held up answers none at all."""
LEAST_SECONDS = 0.1
"""What no call is blamed for."""


@pytest.fixture(scope="module")
def standing() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(standing: Upstream) -> Iterator[Gateway]:
    with Gateway(HOSTED_VLLM_API_BASE=standing.url, GATEWAY_IDLE_TIMEOUT=str(IDLE_SECONDS)) as gateway:
        vllm.serve(standing)
        usual(gateway)
        yield gateway


@pytest.fixture
def upstream(standing: Upstream) -> Upstream:
    with standing.anew():
        vllm.serve(standing)
        standing.on("GET /v1/realtime", realtime())
    return standing


class Noting:
    """A server's side that notes when its session ends, and how."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.last: Event | None = None

    def read(self, wire: Wire) -> None:
        while (event := wire.event()) is not None:
            self.last = event
            if isinstance(event, CloseConnection):
                break
        self.ended.set()


def written(*events: Event) -> bytes:
    client = Connection(ConnectionType.CLIENT)
    return b"".join(client.send(event) for event in events)


def others_are_served(gateway: Gateway, seconds: float = 0.0) -> None:
    """Short calls beside what is going on, for at least so long, are answered as fast as ever."""

    kept_within(max(LEAST_SECONDS, SLOWER * usual(gateway)), lambda: median(gateway, seconds))


@functools.cache
def usual(gateway: Gateway) -> float:
    """How long a short call takes before any abuse, on a machine that may be busy."""
    return median(gateway)


def median(gateway: Gateway, seconds: float = 0.0) -> float:
    """How long a short call takes, in seconds, as seen for at least so long."""
    took: list[float] = []
    end = time.monotonic() + seconds
    while len(took) < 20 or time.monotonic() < end:
        began = time.monotonic()
        assert gateway.call("GET", "/vllm/version").status == 200
        took.append(time.monotonic() - began)
    return sorted(took)[len(took) // 2]


def flooding(sock: socket.socket, data: bytes) -> Callable[[], None]:
    """Sends the bytes for ever, beside the test; the function ends it, and leaves little that is still to be read."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)

    def flood() -> None:
        try:
            while True:
                sock.sendall(data)
        except OSError:
            return

    thread = threading.Thread(target=flood, daemon=True)
    thread.start()

    def stop() -> None:
        sock.shutdown(socket.SHUT_RDWR)
        thread.join(10)

    return stop


@pytest.mark.parametrize(
    "frames",
    [
        b"\x00\x80\0\0\0\0",  # empty fragments
        b"\x89\x80\0\0\0\0",  # pings
        written(TextMessage(data="{}")),
        written(TextMessage(data="x")),  # each is answered with an error
    ],
    ids=["fragments", "pings", "objects", "errors"],
)
def test_a_flood_of_small_frames_delays_nobody(gateway: Gateway, upstream: Upstream, frames: bytes) -> None:
    with connect(gateway) as client:
        assert client.json() == GREETING
        client.socket.sendall(b"\x01\x80\0\0\0\0" if frames[0] == 0 else b"")
        stop = flooding(client.socket, frames * (60_000 // len(frames)))
        others_are_served(gateway, 1.0)
        stop()


def test_the_largest_messages_delay_nobody(gateway: Gateway, upstream: Upstream) -> None:
    audio = json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 4_000_000})
    with connect(gateway) as client:
        assert client.json() == GREETING
        stop = flooding(client.socket, written(TextMessage(data=audio)))
        others_are_served(gateway, 1.0)
        stop()


def test_a_message_over_the_limit_ends_the_session(gateway: Gateway, upstream: Upstream) -> None:
    with connect(gateway) as client:
        assert client.json() == GREETING
        part = written(TextMessage(data="x" * 1_000_000, message_finished=False))
        with suppress(ConnectionError):  # it may have hung up before it has all
            for number in range(17):
                client.socket.sendall(b"\x00" + part[1:] if number else part)
        assert client.json() == 1009
    assert ended(gateway, client)["outcome"] == "refused"


def test_a_frame_that_announces_too_much_is_not_waited_for(gateway: Gateway, upstream: Upstream) -> None:
    with connect(gateway) as client:
        assert client.json() == GREETING
        with suppress(ConnectionError):  # it may have hung up before it has all
            client.socket.sendall(b"\x81\xff" + (2**62).to_bytes(8, "big") + bytes(4) + b"A" * 17_000_000)
        assert client.json() == 1009


def test_noise_never_harms_the_gateway(gateway: Gateway, upstream: Upstream) -> None:
    noise = random.Random(7)
    upstream.on("GET /v1/realtime", server(lambda wire, exchange: Noting().read(wire)))
    for _ in range(60):
        with connect(gateway) as client:
            data = bytearray(written(TextMessage(data='{"type":"x"}'), CloseConnection(code=1000)) * 2)
            for _ in range(noise.randrange(1, 6)):
                data[noise.randrange(len(data))] = noise.randrange(256)
            client.socket.sendall(data)
            client.socket.shutdown(socket.SHUT_WR)
            while client.event() is not None:
                pass
    others_are_served(gateway)
    assert "A realtime session failed" not in gateway.output
    assert "The relay failed" not in gateway.output


def test_noise_of_an_upstream_is_its_failure(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("GET /v1/realtime", server(lambda wire, exchange: exchange.connection.send(b"\xff" * 50)))
    with connect(gateway) as client:
        assert client.json() == 1011
    assert ended(gateway, client)["outcome"] == "upstream_failed"


def test_a_client_that_closes_half_has_left(gateway: Gateway, upstream: Upstream) -> None:
    noting = Noting()
    upstream.on("GET /v1/realtime", server(lambda wire, exchange: noting.read(wire)))
    with connect(gateway) as client:
        client.socket.shutdown(socket.SHUT_WR)
        assert noting.ended.wait(PATIENCE)
        assert isinstance(noting.last, CloseConnection)
        assert noting.last.code == 1001
    assert ended(gateway, client)["outcome"] == "client_disconnected"


# --- Clients that do not read --------------------------------------------------------------------------------------


@pytest.fixture
def pouring(upstream: Upstream) -> Noting:
    """The server sends without end."""
    noting = Noting()

    def act(wire: Wire, exchange: Any) -> None:
        reader = threading.Thread(target=noting.read, args=(wire,), daemon=True)
        reader.start()
        text = json.dumps({"delta": "x" * 100_000})
        try:
            while not noting.ended.is_set():
                wire.send_json(text)
        except OSError:
            pass
        reader.join(10)

    upstream.on("GET /v1/realtime", server(act))
    return noting


def test_a_client_that_never_reads_holds_up_only_its_own_upstream(
    gateway: Gateway, upstream: Upstream, pouring: Noting
) -> None:
    with connect(gateway) as client:

        def nothing_piles_up() -> bool:
            sent = upstream.calls[0].connection.sent
            time.sleep(0.3)
            return sent == upstream.calls[0].connection.sent

        wait_for(nothing_piles_up)
        assert not pouring.ended.is_set()
        others_are_served(gateway)
        assert ended(gateway, client)["outcome"] == "client_disconnected"
        assert pouring.ended.wait(PATIENCE)


def test_a_revoked_key_frees_the_upstream_of_a_client_that_never_reads(
    gateway: Gateway, upstream: Upstream, pouring: Noting
) -> None:
    key = gateway.make_key()
    with connect(gateway, key=key) as client:
        others_are_served(gateway, 0.5)
        gateway.key_api("block", key=key)
        assert pouring.ended.wait(PATIENCE)
        assert ended(gateway, client)["outcome"] == "revoked"


def test_a_client_that_leaves_while_the_upstream_takes_nothing_is_noticed(gateway: Gateway, upstream: Upstream) -> None:
    left = threading.Event()

    def act(wire: Wire, exchange: Any) -> None:
        left.wait()

    upstream.on("GET /v1/realtime", server(act))
    audio = written(TextMessage(data=json.dumps({"audio": "A" * 15_000_000})))
    try:
        with connect(gateway) as client:
            client.socket.sendall(audio)  # more than the buffers on the way hold
        assert ended(gateway, client)["outcome"] == "client_disconnected"
    finally:
        left.set()
