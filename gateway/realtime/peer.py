"""One end of a WebSocket: whole messages out of its bytes, bytes out of messages. Reads only when it is asked to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, Pong, TextMessage
from wsproto.utilities import LocalProtocolError

READ_BYTES = 65_536
MOST_BYTES = 16 * 1024 * 1024
"""The largest message, as for uvicorn, which vLLM stands on."""

TOO_LARGE = 1009


class MessageTooLarge(Exception):
    """A message is over the limit."""


class Peer:
    """One end, with its socket. `early` is what has been read from the socket already."""

    def __init__(self, sock: Any, kind: ConnectionType, early: bytes = b"") -> None:
        self._socket = sock
        self._connection = Connection(kind, trailing_data=early)
        self.bytes_read = len(early)
        self.bytes_sent = 0

    def events(self) -> Iterator[Event]:
        """Whole messages, pings, pongs, and a close at last. Ends without a close when the connection just ended.

        Raises OSError, MessageTooLarge.
        """
        parts: list[Any] = []
        held = 0
        while True:
            for event in self._connection.events():
                if not isinstance(event, Message):
                    yield event
                    if isinstance(event, CloseConnection):
                        return
                    continue
                parts.append(event.data)
                held += len(event.data)
                if held > MOST_BYTES:
                    raise MessageTooLarge
                if event.message_finished:
                    yield _whole(parts)
                    parts, held = [], 0
            data = self._socket.recv(READ_BYTES)
            if not data:
                return
            self.bytes_read += len(data)
            self._connection.receive_data(data)

    def send(self, event: Event) -> None:
        """Writes a message, a ping or a pong. After a close nothing is written. Raises OSError."""
        if self._connection.state is not ConnectionState.OPEN:
            return
        self._write(self._connection.send(event))

    def close(self, code: int, reason: str = "") -> None:
        """Begins or answers the closing handshake; without effect when that has been done. Never raises."""
        try:
            self._write(self._connection.send(CloseConnection(code=code, reason=reason)))
        except (LocalProtocolError, OSError):
            return

    def _write(self, data: bytes) -> None:
        self._socket.sendall(data)
        self.bytes_sent += len(data)


def _whole(parts: list[Any]) -> Message[Any]:
    if isinstance(parts[0], str):
        return TextMessage(data="".join(parts))
    return BytesMessage(data=b"".join(bytes(part) for part in parts))


__all__ = ["BytesMessage", "CloseConnection", "MessageTooLarge", "Peer", "Ping", "Pong", "TextMessage"]
