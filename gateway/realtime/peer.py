"""One end of a WebSocket: whole messages out of its bytes, bytes out of messages. Reads only when it is asked to.

What a peer sends is bounded in memory, and none of it keeps the other calls of the process waiting: gevent switches
only where it has to wait, which it never has for a peer that sends without a pause.
"""

from __future__ import annotations

import io
import select
import time
from collections.abc import Iterator
from typing import Any, Protocol

import gevent
from gevent import monkey
from gevent.lock import BoundedSemaphore
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from gateway.turns import let_others_go

__all__ = ["BytesMessage", "CloseConnection", "Peer", "Ping", "Pong", "TextMessage"]

READ_BYTES = 65_536
FRAME_BYTES = 65_536
"""What is written, and masked, in one step: a longer message leaves in several frames."""

MOST_BYTES = 16 * 1024 * 1024
"""The largest message, as for uvicorn, which vLLM stands on."""

CLOSE_SECONDS = 1.0
"""How long a close may wait to be written. To a peer that reads, it takes no time."""

_FRAMES_PER_TURN = 32
_READS_PER_TURN = 4
_poll = monkey.get_original("select", "poll")
_HUNG_UP = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


class PeerFault(Exception):
    """What a peer sent is no WebSocket, or too much of one. `code` is what it is told."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Account(Protocol):
    """Who counts the bytes of the client's side."""

    bytes_in: int
    bytes_out: int


class Peer:
    """One end, with its socket. `early` is what has been read from the socket already."""

    def __init__(self, sock: Any, kind: ConnectionType, early: bytes = b"", *, account: Account | None = None) -> None:
        self.is_broken = False
        """Whether its connection ended, or failed, without a close."""
        self._sending_since: float | None = None
        self._socket = sock
        self._connection = Connection(kind, trailing_data=early)
        self._account = account
        self._message = BoundedSemaphore()  # nothing of another message between the frames of one
        self._frame = BoundedSemaphore()  # nothing at all within a frame

    # --- Reading

    def events(self) -> Iterator[Event]:
        """Whole messages, pings, pongs, and a close at last. Ends without a close when the connection just ended.

        Raises OSError, PeerFault.
        """
        message = _Message()
        frames = reads = 0
        while True:
            for event in self._connection.events():
                frames += 1
                if frames % _FRAMES_PER_TURN == 0:
                    let_others_go()
                if isinstance(event, Message):
                    whole = message.add(event)
                    if whole is not None:
                        yield whole
                    continue
                if isinstance(event, CloseConnection):
                    self._check_close(event)
                    yield event
                    return
                yield event
            data = self._read()
            if not data:
                self.is_broken = True
                return
            reads += 1
            if reads % _READS_PER_TURN == 0:
                let_others_go()
            self._connection.receive_data(data)

    def _read(self) -> bytes:
        try:
            data: bytes = self._socket.recv(READ_BYTES)
        except OSError:
            self.is_broken = True
            raise
        if self._account is not None:
            self._account.bytes_in += len(data)
        return data

    def _check_close(self, event: CloseConnection) -> None:
        """Raises PeerFault for a close that wsproto made up because it could not read what came."""
        if self._connection.state in {ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING}:
            raise PeerFault(event.code, "What was sent is not valid WebSocket.")

    def discard(self, seconds: float) -> None:
        """Reads what still comes, for at most so long: what was written last is lost where bytes are left unread."""
        with gevent.Timeout(seconds, exception=False):
            try:
                while self._socket.recv(READ_BYTES):
                    let_others_go()
            except OSError:
                return

    @property
    def has_hung_up(self) -> bool:
        """Whether the peer has closed its side, seen without reading."""
        try:
            poll = _poll()
            poll.register(self._socket.fileno(), _HUNG_UP)
            return bool(poll.poll(0))
        except (OSError, ValueError):
            return True

    # --- Writing

    def is_stuck(self, seconds: float) -> bool:
        """Whether the peer has taken nothing of what is being written for so long."""
        since = self._sending_since
        return since is not None and time.monotonic() - since > seconds

    def write_head(self, head: bytes) -> None:
        """Writes the answer to the handshake. Raises OSError."""
        self._write_bytes(head)

    def send(self, event: Event) -> None:
        """Writes a message, a ping or a pong. After a close nothing is written. Raises OSError."""
        if not isinstance(event, Message):
            self._write(event)
            return
        with self._message:
            for part in _frames(event):
                self._write(part)

    def close(self, code: int, reason: str = "") -> None:
        """Begins or answers the closing handshake; without effect when that has been done. Never raises OSError.

        A peer that takes nothing any more is not waited for.
        """
        if code == CloseReason.NO_STATUS_RCVD:  # that there was none is told by telling none
            code, reason = CloseReason.NO_STATUS_RCVD, ""
        with gevent.Timeout(CLOSE_SECONDS, exception=False):
            try:
                self._write(CloseConnection(code=code, reason=reason or None))
            except OSError:
                return

    def _write(self, event: Event) -> None:
        with self._frame:
            try:
                data = self._connection.send(event)
            except LocalProtocolError:
                return  # a close has been written
            self._write_bytes(data)

    def _write_bytes(self, data: bytes) -> None:
        self._sending_since = time.monotonic()
        try:
            self._socket.sendall(data)
        except OSError:
            self.is_broken = True
            raise
        finally:
            self._sending_since = None
        if self._account is not None:
            self._account.bytes_out += len(data)


class _Message:
    """The parts of a message until it is whole."""

    def __init__(self) -> None:
        self._parts: io.StringIO | io.BytesIO | None = None
        self._length = 0

    def add(self, part: Any) -> Message[Any] | None:
        """The whole message with its last part. Raises PeerFault."""
        data = part.data
        self._length += len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())
        if self._length > MOST_BYTES:
            raise PeerFault(CloseReason.MESSAGE_TOO_BIG, "The message is too large.")
        if part.message_finished and self._parts is None:
            self._length = 0
            return type(part)(data=data)  # type: ignore[no-any-return]
        if self._parts is None:
            self._parts = io.StringIO(newline="") if isinstance(data, str) else io.BytesIO()
        self._parts.write(data)
        if not part.message_finished:
            return None
        whole, self._parts, self._length = self._parts.getvalue(), None, 0
        return type(part)(data=whole)  # type: ignore[no-any-return]


def _frames(message: Message[Any]) -> Iterator[Message[Any]]:
    data, kind = message.data, type(message)
    if len(data) <= FRAME_BYTES:
        yield message
        return
    for start in range(0, len(data), FRAME_BYTES):
        yield kind(data=data[start : start + FRAME_BYTES], message_finished=start + FRAME_BYTES >= len(data))
        let_others_go()
