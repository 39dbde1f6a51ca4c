"""One connection to the scripted upstream and one request on it: what was received and how to answer.

Times are `time.monotonic()` seconds. Knows no script: `answers.py` holds the behaviours, `upstream.py` the server.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from tests.support import wire
from tests.support.wire import Headers, PeerClosed, PeerReset

# As uvicorn writes them, and always the same, so that answers can be compared byte for byte.
STANDING_HEADERS: Headers = [("date", "Fri, 20 Nov 2026 22:46:44 GMT"), ("server", "uvicorn")]


class Connection:
    """An accepted connection. `closed_at` is when the peer closed it, `was_reset` whether it did so by RST;
    `ended` is set when we ended it ourselves. `sent` counts the bytes that the kernel took from us."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.socket = sock
        self.number = number
        self.opened_at = time.monotonic()
        self.closed_at: float | None = None
        self.was_reset = False
        self.ended = False
        self.sent = 0
        self.reader = wire.ByteReader(sock)
        self._leaving = select.poll()
        self._leaving.register(sock, select.POLLRDHUP)
        self._readable = select.poll()
        self._readable.register(sock, select.POLLIN)

    @property
    def is_open(self) -> bool:
        """Neither side has closed it."""
        return self.closed_at is None and not self.ended

    def send(self, data: bytes) -> None:
        """Sends all of it, waiting while the peer reads slowly. Raises PeerClosed."""
        rest = memoryview(data)
        while rest:
            try:
                count = self.socket.send(rest)
            except OSError as error:
                raise PeerReset(str(error)) from error
            self.sent += count
            rest = rest[count:]

    def pause(self, seconds: float | None) -> None:
        """Waits (None: for ever) and raises PeerClosed as soon as the peer closes, half-closes or resets."""
        events = self._leaving.poll(None if seconds is None else seconds * 1000)
        if events:
            reset = events[0][1] & select.POLLERR
            raise PeerReset if reset else PeerClosed

    def wait_for_bytes(self, seconds: float) -> bool:
        """Whether bytes, or the peer's close, came within the time."""
        return bool(self.reader.buffer or self._readable.poll(seconds * 1000))

    def note_close(self, reason: PeerClosed) -> None:
        """Records the peer's close, once, unless it was ours."""
        if self.is_open:
            self.was_reset = isinstance(reason, PeerReset)
            self.closed_at = time.monotonic()

    def fin(self) -> None:
        """Ends our side with FIN and drains the peer's for a moment, so that no unread byte turns it into RST."""
        self.ended = True
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        with contextlib.suppress(PeerClosed, TimeoutError, OSError):
            self.socket.settimeout(0.5)
            while True:
                self.reader.fill()
                self.reader.buffer = b""

    def reset(self) -> None:
        """Ends the connection with RST."""
        self.ended = True
        wire.reset(self.socket)

    def break_off(self) -> None:
        """Ends it from another thread: whoever waits on it wakes up."""
        self.ended = True
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


@dataclass(eq=False)
class Request:
    """A request as it was received. Listed as soon as its head is there; `complete` once its body is, too."""

    connection: Connection = field(repr=False)
    head: bytes = field(repr=False)  # with its empty line
    line: str
    headers: Headers = field(repr=False)  # in order, in their own case
    arrived_at: float = field(default_factory=time.monotonic)
    framing: str = "none"  # or "length", "chunked"
    received: bytearray = field(default_factory=bytearray, repr=False)  # the body so far
    chunk_sizes: list[int] = field(default_factory=list, repr=False)
    trailers: Headers = field(default_factory=list, repr=False)
    complete: bool = False
    answered_at: float | None = None
    _sent_before: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        self._sent_before = self.connection.sent

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        """The raw request target, one character a byte."""
        return self.line.split(" ")[1]

    @property
    def path(self) -> str:
        """The raw target before the query."""
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return wire.value(self.headers, name)

    @property
    def body(self) -> bytes:
        """The body, as far as it has arrived, without its framing."""
        return bytes(self.received)

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def closed_at(self) -> float | None:
        """When the peer closed the connection that carried this request; None while it has not."""
        return self.connection.closed_at

    @property
    def cancelled(self) -> bool:
        """The peer left before our answer was complete."""
        return self.answered_at is None and self.closed_at is not None

    @property
    def bytes_sent(self) -> int:
        """Bytes of the answer (and of later answers on the same connection) that the kernel took."""
        return self.connection.sent - self._sent_before


class Exchange:
    """A request and the means to answer it; what a behaviour gets."""

    def __init__(self, connection: Connection, request: Request) -> None:
        self.connection = connection
        self.request = request
        self.send = connection.send
        self.pause = connection.pause
        self.fin = connection.fin
        self.reset = connection.reset

    def read_body(self, *, piece: int | None = None, gap: float = 0.0) -> None:
        """Reads the rest of the request; with `piece` (bytes) and `gap` (seconds) slowly."""
        request, reader = self.request, self.connection.reader
        if request.framing == "chunked":
            for data in wire.read_chunks(reader):
                request.chunk_sizes.append(len(data))
                request.received += data
                time.sleep(gap)
            request.trailers = wire.read_trailers(reader)
        length = int(request.header("content-length") or 0)
        while len(request.received) < length:
            rest = length - len(request.received)
            request.received += reader.some(min(rest, piece or rest))
            time.sleep(gap)
        request.complete = True

    def answered(self) -> None:
        """Notes that the answer is complete: a peer that leaves now has cancelled nothing."""
        self.request.answered_at = time.monotonic()

    def head(self, status: int, headers: Iterable[tuple[str, str]] = ()) -> bytes:
        """The bytes of a response head with uvicorn's standing headers first."""
        reason = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
        return wire.write_head(f"HTTP/1.1 {status} {reason}", [*STANDING_HEADERS, *headers])

    def answer(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Sends a whole answer with its length; to HEAD, and with 204 and 304, only the head."""
        own = [("content-length", str(len(body)))] if status not in (204, 304) else []
        bodiless = self.request.method == "HEAD" or not own
        self.send(self.head(status, [*own, *headers]) + (b"" if bodiless else body))
        self.answered()


Behaviour = Callable[[Exchange], None]


def before_body(behaviour: Behaviour) -> Behaviour:
    """Marks a behaviour that runs when the head has arrived, before the body is read."""
    behaviour.before_body = True  # type: ignore[attr-defined]
    return behaviour


def runs_before_body(behaviour: Behaviour) -> bool:
    """Whether it is so marked."""
    return getattr(behaviour, "before_body", False)
