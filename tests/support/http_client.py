"""A raw-socket HTTP/1.1 client for tests: sends any bytes, times every chunk, tells how a body ended.

    with HttpClient(port) as client:
        client.request("POST", "/vllm/v1/chat/completions", [("authorization", "Bearer sk-…")], b"{…}")
        response = client.read_response()

Times are `time.monotonic()` seconds. Nothing is sent that was not asked for, but `request` adds Host and a length.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from tests.support import wire
from tests.support.patience import PATIENCE
from tests.support.wire import Headers

LONGEST_CALL = 60.0

# clean: the framing's own end; closed: FIN of a body that only FIN ends; cut: FIN too early; reset: RST
End = Literal["clean", "closed", "cut", "reset", "timeout"]


@dataclass
class Head:
    """A response's head. `reason` and header values are latin-1 text."""

    raw: bytes = field(repr=False)
    status: int
    reason: str
    headers: Headers
    arrived_at: float

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return wire.value(self.headers, name)

    def names(self) -> list[str]:
        """The header names, in lower case and in order."""
        return [name.lower() for name, _ in self.headers]


@dataclass
class Chunk:
    """One HTTP chunk or, without chunked framing, what one read gave; and when it was complete."""

    data: bytes
    at: float


@dataclass
class Response:
    """A whole response; `end` tells how its body ended, `ended_at` when that was seen."""

    head: Head
    chunks: list[Chunk] = field(repr=False)
    end: End
    ended_at: float
    trailers: Headers

    @property
    def status(self) -> int:
        return self.head.status

    @property
    def body(self) -> bytes:
        """The body without its framing, as far as it came."""
        return b"".join(chunk.data for chunk in self.chunks)

    @property
    def times(self) -> list[float]:
        """When each chunk had arrived."""
        return [chunk.at for chunk in self.chunks]

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return self.head.header(name)

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def events(self) -> list[str]:
        """The `data` of each server-sent event."""
        blocks = self.body.decode().split("\n\n")
        return [block.partition("data: ")[2] for block in blocks if block.startswith(("data: ", "event: "))]


class HttpClient:
    """One connection. `timeout` (seconds) bounds each wait; a small `receive_buffer` (bytes) makes a slow reader
    felt early."""

    def __init__(
        self, port: int, *, host: str = "127.0.0.1", timeout: float = PATIENCE, receive_buffer: int | None = None
    ) -> None:
        self.address = f"{host}:{port}"
        self.socket = socket.socket()
        self.socket.settimeout(timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.socket.connect((host, port))
        except OSError:
            self.socket.close()
            raise
        self._reader = wire.ByteReader(self.socket)
        self._method = "GET"
        self.trailers: Headers = []
        self.end: End | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- Sending -------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Sends exactly these bytes."""
        self.socket.sendall(data)

    def send_slowly(self, data: bytes, *, piece: int = 1, gap: float = 0.01) -> None:
        """Sends the bytes in pieces with a gap (seconds) after each."""
        for start in range(0, len(data), piece):
            self.send(data[start : start + piece])
            time.sleep(gap)

    def request(
        self, method: str, target: str, headers: Iterable[tuple[str, str]] = (), body: bytes | Sequence[bytes] = b""
    ) -> None:
        """Sends a request; a body of bytes gets its length, a list of pieces is sent chunked, a piece a chunk."""
        self._method = method
        given = list(headers)
        names = {name.lower() for name, _ in given}
        own = [] if "host" in names else [("host", self.address)]
        if not isinstance(body, bytes):
            own.append(("transfer-encoding", "chunked"))
            body = b"".join(map(wire.chunk, [*body, b""]))
        elif body and "content-length" not in names:
            own.append(("content-length", str(len(body))))
        self.send(wire.write_head(f"{method} {target} HTTP/1.1", [*own, *given]) + body)

    # --- Receiving -----------------------------------------------------------------------------------------

    def read_head(self, *, interim: bool = False) -> Head:
        """The next head; interim ones (1xx but 101) are skipped unless asked for.

        Raises PeerClosed, PeerReset (of `wire`) or TimeoutError when none comes.
        """
        while True:
            raw = self._reader.until(b"\r\n\r\n")
            line, headers = wire.split_head(raw)
            _, status, reason = f"{line} ".split(" ", 2)
            head = Head(raw, int(status), reason.strip(), headers, time.monotonic())
            if interim or head.status == 101 or head.status >= 200:
                return head

    def read_chunks(self, head: Head) -> Iterator[Chunk]:
        """The body's chunks as they come; `end` and `trailers` are set after the last. A bad end raises nothing."""
        self.end = None
        self.trailers = []
        try:
            for data in self._body_pieces(head):
                yield Chunk(data, time.monotonic())
            self.end = "clean"
        except wire.PeerReset:
            self.end = "reset"
        except wire.PeerClosed:
            self.end = "cut" if self._has_framing(head) else "closed"
        except TimeoutError:
            self.end = "timeout"

    def read_response(self) -> Response:
        """The next whole response, however it ends."""
        head = self.read_head()
        chunks = list(self.read_chunks(head))
        assert self.end is not None
        return Response(head, chunks, self.end, time.monotonic(), self.trailers)

    def read_some(self, most: int = 65536) -> bytes:
        """Raw bytes as they come, at least one; a slow reader calls this now and then."""
        return self._reader.some(most)

    def wait_for_end(self, timeout: float = PATIENCE) -> Literal["fin", "reset", "open"]:
        """How the server ended the connection within the time (seconds), dropping bytes that come before it."""
        before = self.socket.gettimeout()
        self.socket.settimeout(timeout)
        try:
            while True:
                self._reader.buffer = b""
                self._reader.fill()
        except wire.PeerReset:
            return "reset"
        except wire.PeerClosed:
            return "fin"
        except TimeoutError:
            return "open"
        finally:
            self.socket.settimeout(before)

    # --- Leaving -------------------------------------------------------------------------------------------

    def half_close(self) -> None:
        """FIN of our side; answers can still be read."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """RST."""
        wire.reset(self.socket)

    def close(self) -> None:
        """FIN (or RST by the kernel, if bytes were left unread). Harmless twice."""
        with contextlib.suppress(OSError):
            self.socket.close()

    def _has_framing(self, head: Head) -> bool:
        return wire.framing(head.headers) != "none"

    def _body_pieces(self, head: Head) -> Iterator[bytes]:
        framing = wire.framing(head.headers)
        if self._method == "HEAD" or head.status in (101, 204, 304):
            return
        if framing == "chunked":
            yield from wire.read_chunks(self._reader)
            self.trailers = wire.read_trailers(self._reader)
            return
        left = int(head.header("content-length") or 0) if framing == "length" else 1 << 60
        while left:
            data = self._reader.some(left)
            left -= len(data)
            yield data


def call(
    port: int,
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | Sequence[bytes] = b"",
    *,
    timeout: float = PATIENCE,
) -> Response:
    """One request on a connection of its own."""
    with HttpClient(port, timeout=timeout) as client:
        # A body that never ends would keep the test for ever: each read has its bytes in time.
        deadline = threading.Timer(LONGEST_CALL, client.socket.shutdown, [socket.SHUT_RDWR])
        deadline.daemon = True
        deadline.start()
        try:
            client.request(method, target, headers, body)
            return client.read_response()
        finally:
            deadline.cancel()


def post_json(
    port: int, target: str, obj: Any, headers: Iterable[tuple[str, str]] = (), *, timeout: float = PATIENCE
) -> Response:
    """One POST of JSON on a connection of its own."""
    sent = [("content-type", "application/json"), *headers]
    return call(port, "POST", target, sent, json.dumps(obj).encode(), timeout=timeout)
