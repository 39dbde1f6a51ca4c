"""HTTP/1.1 as it stands on the wire, for the tests' own client and upstream.

Reads heads and bodies exactly and tells a clean end, a cut and a reset apart. Knows neither side's behaviour.
Text is latin-1 throughout, which loses no byte.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator

Headers = list[tuple[str, str]]

_LINGER_ZERO = struct.pack("ii", 1, 0)


class PeerClosed(Exception):
    """The other side has closed (FIN), or reset, before what was awaited had arrived."""


class PeerReset(PeerClosed):
    """The other side has reset the connection (RST)."""


class Malformed(Exception):
    """What arrived is not HTTP/1.1."""


class ByteReader:
    """A buffer over a socket's `recv`. Every method raises PeerClosed, PeerReset or TimeoutError."""

    def __init__(self, sock: socket.socket, *, piece: int = 65536) -> None:
        self._socket = sock
        self._piece = piece
        self.buffer = b""

    def fill(self) -> None:
        """Waits for more bytes and adds them to the buffer."""
        try:
            data = self._socket.recv(self._piece)
        except TimeoutError:
            raise
        except OSError as error:
            raise PeerReset(str(error)) from error
        if not data:
            raise PeerClosed
        self.buffer += data

    def some(self, most: int = 1 << 30) -> bytes:
        """What is there, at least one byte, at most `most`."""
        if not self.buffer:
            self.fill()
        return self._take(most)

    def exactly(self, length: int) -> bytes:
        """`length` bytes, however many reads they take."""
        pieces = []
        while length:
            piece = self.some(length)
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)

    def until(self, end: bytes, most: int = 2_000_000) -> bytes:
        """Everything up to and including `end`."""
        while end not in self.buffer:
            if len(self.buffer) > most:
                raise Malformed(f"no {end!r} within {most} bytes")
            self.fill()
        return self._take(self.buffer.index(end) + len(end))

    def _take(self, length: int) -> bytes:
        data, self.buffer = self.buffer[:length], self.buffer[length:]
        return data


def split_head(head: bytes) -> tuple[str, Headers]:
    """The first line and the header list, in order and in their own case, of a head that ends in an empty line."""
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise Malformed(f"header line {line!r}")
        headers.append((name, value.strip(" \t")))
    return first, headers


def values(headers: Headers, name: str) -> list[str]:
    """All values of a header, in order."""
    return [value for key, value in headers if key.lower() == name.lower()]


def value(headers: Headers, name: str) -> str | None:
    """The first value of a header, or None."""
    return next(iter(values(headers, name)), None)


def framing(headers: Headers) -> str:
    """ "chunked", "length" or "none", by RFC 9112 section 6.3; both at once or two lengths are malformed."""
    lengths = set(values(headers, "content-length"))
    chunked = any("chunked" in coding.lower() for coding in values(headers, "transfer-encoding"))
    if len(lengths) > 1 or (lengths and chunked) or not all(length.isdigit() for length in lengths):
        raise Malformed("ambiguous length")
    return "chunked" if chunked else "length" if lengths else "none"


def read_chunks(reader: ByteReader) -> Iterator[bytes]:
    """The chunks of a chunked body without the last, empty one; its trailers are left to `read_trailers`."""
    while True:
        line = reader.until(b"\r\n")
        try:
            size = int(line.split(b";")[0], 16)
        except ValueError as error:
            raise Malformed(f"chunk size {line!r}") from error
        if not size:
            return
        data = reader.exactly(size)
        if reader.exactly(2) != b"\r\n":
            raise Malformed("a chunk that is longer than its size")
        yield data


def read_trailers(reader: ByteReader) -> Headers:
    """The trailer section after the last chunk, down to its empty line."""
    lines = []
    while (line := reader.until(b"\r\n")) != b"\r\n":
        lines.append(line)
    return split_head(b"\r\n" + b"".join(lines) + b"\r\n")[1] if lines else []


def chunk(data: bytes) -> bytes:
    """One chunk in its frame; no data is the last chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def write_head(first: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """A head from its first line and headers."""
    return "".join([f"{first}\r\n", *(f"{name}: {text}\r\n" for name, text in headers), "\r\n"]).encode("latin-1")


def reset(sock: socket.socket) -> None:
    """Closes with RST instead of FIN; unsent bytes are lost."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    sock.close()
