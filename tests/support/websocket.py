"""WebSockets on plain sockets: a client for tests, and behaviours of a realtime server for the scripted upstream."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Event, Message, Ping, TextMessage
from wsproto.utilities import generate_accept_token

from tests.support.exchange import Behaviour, Exchange
from tests.support.patience import PATIENCE
from tests.support.wire import PeerReset

Json = dict[str, Any]
USAGE = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}


class WebSocketRefused(Exception):
    """The server answered the handshake with something else."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class Wire:
    """A WebSocket over a socket: events in and out."""

    def __init__(self, sock: socket.socket, kind: ConnectionType, early: bytes = b"") -> None:
        self.socket = sock
        self._connection = Connection(kind, trailing_data=early)
        self._events: list[Event] = []
        self._parts: list[str] = []

    def send(self, event: Event) -> None:
        state = self._connection.state
        if state is ConnectionState.OPEN or (
            state is ConnectionState.REMOTE_CLOSING and isinstance(event, CloseConnection)
        ):
            self.socket.sendall(self._connection.send(event))

    def send_json(self, message: Any) -> None:
        self.send(TextMessage(data=message if isinstance(message, str) else json.dumps(message)))

    def event(self) -> Event | None:
        """The next event, messages whole; None at the end of the connection."""
        while True:
            for event in self._connection.events():
                self._events.append(event)
            if self._events:
                event = self._events.pop(0)
                if isinstance(event, Message) and isinstance(event, TextMessage):
                    self._parts.append(event.data)
                    if not event.message_finished:
                        continue
                    event, self._parts = TextMessage(data="".join(self._parts)), []
                return event
            try:
                data = self.socket.recv(65_536)
            except ConnectionError:
                return None
            if not data:
                return None
            self._connection.receive_data(data)

    def json(self) -> Any:
        """The next message's value; a close as its code; None at the end of the connection."""
        event = self.event()
        if isinstance(event, TextMessage):
            return json.loads(event.data)
        return event.code if isinstance(event, CloseConnection) else event

    def close(self, code: int = 1000) -> None:
        self.send(CloseConnection(code=code))


class WebSocketClient(Wire):
    """A client that has connected. Raises WebSocketRefused."""

    def __init__(self, url: str, target: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        address = urlsplit(url)
        sock = socket.create_connection((address.hostname or "", address.port or 80), PATIENCE)
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: {address.netloc}",
            "Upgrade: websocket",
            "Connection: keep-alive, Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            *(f"{name}: {value}" for name, value in headers),
        ]
        sock.sendall("\r\n".join((*lines, "", "")).encode())
        head, early = _head(sock)
        self.status = int(head.split(b" ")[1])
        self.head = head.decode()
        if self.status != 101:
            raise WebSocketRefused(self.status, _body(sock, head, early))
        super().__init__(sock, ConnectionType.CLIENT, early)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Ends the connection with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def server(act: Callable[[Wire, Exchange], None]) -> Behaviour:
    """A behaviour that upgrades and then acts."""

    def behave(exchange: Exchange) -> None:
        request, connection = exchange.request, exchange.connection
        token = generate_accept_token((request.header("sec-websocket-key") or "").encode()).decode()
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        connection.send("\r\n".join((*lines, f"Sec-WebSocket-Accept: {token}", "", "")).encode())
        try:
            act(Wire(connection.socket, ConnectionType.SERVER, connection.reader.buffer), exchange)
        except ConnectionError as error:
            raise PeerReset(str(error)) from error
        connection.fin()

    return behave


def realtime(heard: list[Any] | None = None) -> Behaviour:
    """A server as vLLM's: greets, listens, and transcribes at a final commit. `heard` gets every message."""

    def act(wire: Wire, exchange: Exchange) -> None:
        wire.send_json({"type": "session.created", "id": "s", "created": 1})
        while (message := wire.json()) is not None:
            if heard is not None:
                heard.append(message)
            if isinstance(message, int):
                wire.close(message)
                return
            if isinstance(message, Ping):
                wire.send(message.response())
            elif isinstance(message, dict) and message.get("final"):
                wire.send_json({"type": "transcription.delta", "delta": "hello"})
                wire.send_json({"type": "transcription.done", "text": "hello", "usage": USAGE})

    return server(act)


def _head(sock: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65_536)
        assert piece, f"no whole head: {data!r}"
        data += piece
    head, _, early = data.partition(b"\r\n\r\n")
    return head, early


def _body(sock: socket.socket, head: bytes, early: bytes) -> bytes:
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    while len(early) < length and (piece := sock.recv(65_536)):
        early += piece
    sock.close()
    return early
