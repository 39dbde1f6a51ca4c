"""Reads a body in the chunked transfer coding (RFC 9112, section 7.1): the relay's streams, where each read counts.

http.client takes one chunk at a time, in several calls; here one read of the socket gives all that has come, and
the usual case, one whole chunk, is recognised at once. Knows no response and no error of ours.
"""

from __future__ import annotations

import http.client
import io
import re
from collections.abc import Callable
from typing import Any

import gevent.socket

READ_BYTES = 65_536
LONGEST_LINE = 4_096
MOST_TRAILERS = 100

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")
_LINE_END = b"\r\n"


class ChunkedBody:
    """The body that `file` stands at the beginning of."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._receive = self._receive_first
        self._rest = b""  # what has come of a line that is not over
        self._left = 0  # bytes that are still to come of the current chunk
        self._closing = False  # in a chunk, whose line end is still to come
        self._trailers: int | None = None  # how many have come, once the last chunk has
        self.ended = False
        self.has_surplus = False
        """Whether the upstream sent something after the end, which makes the connection unfit for another request."""

    def read1(self) -> bytes:
        """The bytes that are there, waiting for the first; `b""` at the clean end.

        Raises HTTPException when the body ends before its framing says so, or is no chunked body; OSError.
        """
        while not self.ended:
            data = self._receive()
            if not data:
                raise http.client.IncompleteRead(b"")
            if body := self._whole_chunk(data) or self._take(data):
                return body
        return b""

    def _receive_first(self) -> bytes:
        """What the reader of the head has read beyond it, else what comes; from then on the reader has nothing."""
        self._receive = receiver_of(self._file)
        return self._file.read1(READ_BYTES)

    def _whole_chunk(self, data: bytes) -> bytes:
        """What is in the chunk that `data` is, which is the usual case; `b""` in all others."""
        if self._closing or self._rest or self._trailers is not None:
            return b""
        line = _SIZE_LINE.match(data)
        if line is None or len(data) != line.end() + int(line[1], 16) + 2 or data[-2:] != _LINE_END:
            return b""
        return data[line.end() : -2]

    def _take(self, data: bytes) -> bytes:
        """All bytes of the body that are in `data`, whatever of the framing it begins and ends in."""
        data = self._rest + data
        pieces: list[bytes] = []
        at = 0
        while self._trailers is None:
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
            if self._closing:
                if len(data) - at < len(_LINE_END):
                    break
                if data[at : at + 2] != _LINE_END:
                    raise http.client.HTTPException("A chunk is longer than its size says.")
                self._closing = False
                at += 2
            line = _SIZE_LINE.match(data, at)
            if line is None:
                _check_unfinished(data, at)
                break
            at = line.end()
            self._left = int(line[1], 16)
            self._closing = self._left > 0
            if not self._left:
                self._trailers = 0
        if self._trailers is not None:
            at = self._skip_trailers(data, at)
        self._rest = data[at:]
        return b"".join(pieces)

    def _skip_trailers(self, data: bytes, at: int) -> int:
        """Where the trailer section (RFC 9112, section 7.1.2) goes on; nobody needs what it says."""
        trailers = self._trailers or 0
        while (end := data.find(_LINE_END, at)) > at:
            trailers += 1
            at = end + 2
        self._trailers = trailers
        if trailers > MOST_TRAILERS or (len(data) - at > LONGEST_LINE and end < 0):
            raise http.client.HTTPException("The trailer section is too long.")
        if end == at:
            at += 2
            self.ended = True
            self.has_surplus = at < len(data)
        return at


def _check_unfinished(data: bytes, at: int) -> None:
    """What is no size line may still become one."""
    if len(data) - at > LONGEST_LINE or data.find(b"\n", at) >= 0:
        raise http.client.HTTPException("The size of a chunk is not valid.")


def receiver_of(file: io.BufferedReader) -> Callable[[], bytes]:
    """How to read what comes next on the connection of `file`, whose buffer is empty.

    Between two chunks of a stream there is nearly always nothing to read: gevent's own recv would find that out
    by a system call and an error each time, so this waits first. TLS may hold bytes of its own and can't.
    """
    sock: Any = getattr(file.raw, "_sock", None)
    if type(sock) is not gevent.socket.socket:
        return lambda: file.read1(READ_BYTES)
    plain, wait, readable = sock._sock, sock._wait, sock._read_event

    def receive() -> bytes:
        while True:
            wait(readable)
            try:
                return plain.recv(READ_BYTES)  # type: ignore[no-any-return]
            except BlockingIOError:  # somebody else's event
                continue

    return receive
