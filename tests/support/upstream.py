"""A scripted upstream on real sockets: records every request as it was received and answers by a script.

    with Upstream() as upstream:
        upstream.on("POST /v1/chat/completions", answers.stream([b"data: 1\\n\\n"], gap=0.05))
        ...
        request = upstream.wait_for_request()

Closes idle connections after 5 s, as vLLM does. One thread a connection.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self, TypeVar

from tests.support import wire
from tests.support.exchange import Behaviour, Connection, Exchange, Request, runs_before_body
from tests.support.patience import PATIENCE, wait_for
from tests.support.threads import Thread

T = TypeVar("T")


def _not_found(exchange: Exchange) -> None:
    exchange.answer(404, [("content-type", "application/json")], json.dumps({"detail": "Not Found"}).encode())


class Upstream:
    """A context manager that listens on `127.0.0.1:port` (0: a free one).

    `keep_alive` is the idle close in seconds; `receive_buffer` and `send_buffer` are socket buffers in bytes
    (small ones make backpressure visible early).
    """

    def __init__(
        self,
        *,
        port: int = 0,
        keep_alive: float = 5.0,
        receive_buffer: int | None = None,
        send_buffer: int | None = None,
    ) -> None:
        self.keep_alive = keep_alive
        self.requests: list[Request] = []
        self.connections: list[Connection] = []
        self.malformed: list[bytes] = []
        self._script: dict[str, deque[Behaviour]] = {}
        self._on_connect: deque[Behaviour] = deque()
        self._lock = threading.RLock()
        self._threads: list[Thread] = []
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for option, size in ((socket.SO_RCVBUF, receive_buffer), (socket.SO_SNDBUF, send_buffer)):
            if size is not None:
                self._listener.setsockopt(socket.SOL_SOCKET, option, size)
        self._listener.bind(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])

    # --- The script ----------------------------------------------------------------------------------------

    def on(self, route: str, *behaviours: Behaviour) -> Self:
        """Answers `route` by the behaviours in turn, and by the last one from then on; replaces an earlier script.

        `route` is "METHOD target", tried in this order: the raw target with its query, the target before the query,
        then the same with "*" as the method, then "METHOD *", then "*". What nothing matches is vLLM's 404.
        """
        with self._lock:
            self._script[route] = deque(behaviours)
        return self

    def on_connect(self, *behaviours: Behaviour) -> Self:
        """Runs one behaviour for each coming connection before a byte is read; those after are normal."""
        with self._lock:
            self._on_connect = deque(behaviours)
        return self

    @contextlib.contextmanager
    def anew(self) -> Iterator[None]:
        """As `forget`, and whoever asks meanwhile, as a probe may, is answered by the new script when it is whole."""
        with self._lock:
            self.forget()
            yield

    def forget(self) -> None:
        """Drops the script and what was received, for the next test on the same port."""
        with self._lock:
            self._script.clear()
            self._on_connect.clear()
        self.requests.clear()
        self.connections[:] = [connection for connection in self.connections if connection.is_open]
        self.malformed.clear()

    # --- What happened -------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def calls(self) -> list[Request]:
        """The requests without the gateway's own probes, which come at any moment."""
        return [request for request in list(self.requests) if request.header("user-agent") != "vllm-gateway-probe"]

    @property
    def open_connections(self) -> int:
        """Connections that neither side has closed."""
        return sum(connection.is_open for connection in list(self.connections))

    def wait_for(self, predicate: Callable[[], T], timeout: float = PATIENCE) -> T:
        """Waits until `predicate()` is true and returns its value; AssertionError after `timeout` seconds."""
        try:
            return wait_for(predicate, timeout, every=0.002)
        except AssertionError as error:
            raise AssertionError(f"{error}; requests: {self.requests}") from None

    def wait_for_request(self, count: int = 1, timeout: float = PATIENCE) -> Request:
        """Waits for the `count`-th request to arrive with its body, and returns it."""
        self.wait_for(lambda: len(self.calls) >= count and self.calls[count - 1].complete, timeout)
        return self.calls[count - 1]

    def request_with_id(self, request_id: str, timeout: float = PATIENCE) -> Request:
        """Waits for the request with this X-Request-Id to arrive with its body, and returns it."""

        def find() -> list[Request]:
            return [r for r in list(self.requests) if r.header("x-request-id") == request_id and r.complete]

        return self.wait_for(find, timeout)[0]

    # --- The server ----------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._listener.listen(1024)
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stops listening and breaks off every connection. Harmless twice."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads[:1]:  # the one that accepts, so that no connection comes after this
            thread.join(timeout=5)
        for connection in list(self.connections):
            connection.break_off()
        for thread in self._threads:
            thread.join(timeout=5)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        self._threads.append(Thread(target, *args))

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(sock, len(self.connections))
            self.connections.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: Connection) -> None:
        with connection.socket:
            try:
                self._greet(connection)
                while not connection.ended and connection.wait_for_bytes(self.keep_alive):
                    self._serve_one(connection)
            except wire.PeerClosed as reason:
                connection.note_close(reason)
            except wire.Malformed:
                self._refuse(connection)
            if connection.is_open:
                connection.fin()

    def _greet(self, connection: Connection) -> None:
        with self._lock:
            behaviour = self._on_connect.popleft() if self._on_connect else None
        if behaviour:
            behaviour(Exchange(connection, Request(connection, b"", "", [], complete=True)))

    def _serve_one(self, connection: Connection) -> None:
        request = self._receive_head(connection)
        exchange = Exchange(connection, request)
        behaviour = self._behaviour_for(request)
        if not runs_before_body(behaviour):
            if (request.header("expect") or "").lower() == "100-continue":
                connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            exchange.read_body()
        behaviour(exchange)
        if not connection.ended:
            exchange.answered()
            self._end_unless_kept(exchange)

    def _receive_head(self, connection: Connection) -> Request:
        head = connection.reader.until(b"\r\n\r\n")
        try:
            line, headers = wire.split_head(head)
            if line.count(" ") != 2:
                raise wire.Malformed(line)
            framing = wire.framing(headers)
        except wire.Malformed:
            self.malformed.append(head)
            raise
        request = Request(connection, head, line, headers, framing=framing)
        self.requests.append(request)
        return request

    def _behaviour_for(self, request: Request) -> Behaviour:
        method, target, path = request.method, request.target, request.path
        routes = (f"{method} {target}", f"{method} {path}", f"* {target}", f"* {path}", f"{method} *", "*")
        with self._lock:
            for route in routes:
                if queue := self._script.get(route):
                    return queue.popleft() if len(queue) > 1 else queue[0]
        return _not_found

    @staticmethod
    def _end_unless_kept(exchange: Exchange) -> None:
        request = exchange.request
        closing = "close" in (request.header("connection") or "").lower()
        if closing or request.line.endswith("HTTP/1.0") or not request.complete:
            exchange.fin()

    @staticmethod
    def _refuse(connection: Connection) -> None:
        body = b"Invalid HTTP request received."  # vLLM's words
        head = [("content-type", "text/plain"), ("content-length", str(len(body))), ("connection", "close")]
        with contextlib.suppress(wire.PeerClosed):
            connection.send(wire.write_head("HTTP/1.1 400 Bad Request", head) + body)
