"""How an upstream's response head is read: as http.client does it, without the machinery of e-mail, and stricter.

Knows sockets only as files, and nothing of urllib3 or requests.
"""

from __future__ import annotations

import http.client
import re
from typing import Any, Protocol

from upstreams.chunked import READ_BYTES, ChunkedBody

LONGEST_LINE = 65_536
MOST_HEADERS = 200
HIGHEST_STATUS = 599
MOST_DIGITS = 18
"""Of a Content-Length: Python reads no number of thousands of digits."""
_BODYLESS = {204, 304}
_BLANK = {b"\r\n", b"\n"}
_BLANKS = (b" ", b"\t")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNFIT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]+")


class ByteLines(Protocol):
    """What lines are read from."""

    def readline(self, limit: int, /) -> bytes: ...


class HeaderLines(list[tuple[str, str]]):
    """The headers of an answer in their order, as they were written; `get` finds one by its name in lower case."""

    def get(self, wanted: str, default: str | None = None) -> str | None:
        """The value, or all of them with commas between (RFC 9110, section 5.3)."""
        found = self.get_all(wanted.lower())
        return ", ".join(found) if found else default

    def get_all(self, wanted: str) -> list[str]:
        """The values of all headers of this name (in lower case)."""
        return [value for name, value in self if name.lower() == wanted]

    def drop(self, wanted: str) -> None:
        """Takes out all headers of this name (in lower case)."""
        self[:] = [pair for pair in self if pair[0].lower() != wanted]


def read_headers(file: ByteLines) -> HeaderLines:
    """The header section up to its blank line. Raises HTTPException when it is not one (RFC 9112, section 5)."""
    headers = HeaderLines()
    while (line := _line(file, "header line")) not in _BLANK:
        if line[-1:] != b"\n":
            raise http.client.IncompleteRead(line)
        if line[:1] in _BLANKS and headers:  # a folded line goes on with the value before it
            name, value = headers[-1]
            headers[-1] = (name, f"{value} {line.decode('latin-1').strip()}")
            continue
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not _NAME.fullmatch(name):
            raise http.client.HTTPException("A header line is not valid.")
        headers.append((name, value.strip(" \t\r\n")))
        if len(headers) > MOST_HEADERS:
            raise http.client.HTTPException(f"The response has more than {MOST_HEADERS} headers.")
    return headers


def read_status(file: ByteLines) -> tuple[str, int, str]:
    """Version, status and reason. Raises HTTPException when the line is none (RFC 9112, section 4)."""
    line = _line(file, "status line").decode("latin-1")
    if not line:
        raise http.client.RemoteDisconnected("The connection was closed before an answer came.")
    version, _, rest = line.rstrip("\r\n").partition(" ")
    status, _, reason = rest.strip().partition(" ")
    if not version.startswith("HTTP/1.") or len(status) != 3 or not (status.isascii() and status.isdigit()):
        raise http.client.BadStatusLine(line)
    return version, int(status), reason


def _line(file: ByteLines, what: str) -> bytes:
    line = file.readline(LONGEST_LINE + 1)
    if len(line) > LONGEST_LINE:
        raise http.client.LineTooLong(what)
    return line


class UpstreamHTTPResponse:
    """One answer on a connection, which makes it and begins it.

    Skips every interim answer (RFC 9110, 15.2), and keeps no connection whose framing is in doubt. Unlike
    http.client's own it is no file: that costs a tenth of a short call.
    """

    def __init__(self, sock: Any, method: str | None = None) -> None:
        self._file = sock.makefile("rb")
        self._method = method
        self._length: int | None = None
        """How much of the body is to come; None where its framing or the connection's end tells."""
        self.status = 0
        self.reason = ""
        self.headers = HeaderLines()
        self.will_close = True
        self.chunked_body: ChunkedBody | None = None
        self.has_begun = False
        """Whether a byte of it has come."""
        self._has_surplus = False

    def begin(self) -> None:
        """Reads the head. Raises HTTPException, OSError."""
        self.has_begun = bool(self._file.peek(1))  # what a line that breaks off had of bytes would be lost
        version, self.status, reason = self._final_status()
        if not 200 <= self.status <= HIGHEST_STATUS:  # nobody asked for another protocol
            raise http.client.BadStatusLine(str(self.status))
        self.reason = _UNFIT.sub(" ", reason).strip()
        self.headers = read_headers(self._file)
        self._frame(is_old=version == "HTTP/1.0")

    def _final_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = read_status(self._file)
            if not 100 <= status < 200 or status == http.client.SWITCHING_PROTOCOLS:
                return version, status, reason
            read_headers(self._file)

    def _frame(self, *, is_old: bool) -> None:
        """Where the body ends (RFC 9112, section 6.3). A length that says nothing of it is taken out, so that nobody
        who gets these headers believes it."""
        headers = self.headers
        coding, given = headers.get("transfer-encoding"), headers.get_all("content-length")
        if coding is not None and coding.lower() != "chunked":
            raise http.client.HTTPException("The Transfer-Encoding is not known.")
        length = None if coding is not None else _length(set(given))
        self.will_close = _ends(headers.get("connection"), is_old=is_old) or (coding is not None and bool(given))
        if coding is not None or len(given) > 1:
            headers.drop("content-length")
            if length is not None:
                headers.append(("content-length", str(length)))
        if self.status in _BODYLESS or self._method == "HEAD":
            self._length = 0
        elif coding is not None:
            self.chunked_body = ChunkedBody(self._file)
        else:
            self._length = length
            self.will_close = self.will_close or length is None

    def read1(self) -> bytes:
        """What is there, at most 64 kB, waiting for the first.

        `b""` at the clean end. Raises HTTPException when the body ends before its framing says so; OSError.
        """
        if self.chunked_body is not None:
            return self.chunked_body.read1()
        if self._length is None:
            return b"" if self._file.closed else self._file.read1(READ_BYTES)
        if not self._length:
            return b""
        data: bytes = self._file.read1(min(self._length + 1, READ_BYTES))  # one more shows that there is too much
        if not data:
            raise http.client.IncompleteRead(b"", self._length)
        if len(data) > self._length:
            self._has_surplus = True
            data = data[: self._length]
        self._length -= len(data)
        return data

    @property
    def is_fit_for_more(self) -> bool:
        """Whether another request may follow on the connection, once the body has been read to its end."""
        if self.will_close or self._has_surplus:
            return False
        return self.chunked_body is None or not self.chunked_body.has_surplus

    def close(self) -> None:
        """Nothing more is read."""
        self._file.close()


def _ends(connection: str | None, *, is_old: bool) -> bool:
    """Whether the upstream closes the connection after this (RFC 9112, section 9.3)."""
    said = (connection or "").lower()
    return "keep-alive" not in said if is_old else "close" in said


def _length(values: set[str]) -> int | None:
    if not values:
        return None
    value = values.pop()
    if values or not (value.isascii() and value.isdigit()) or len(value) > MOST_DIGITS:
        raise http.client.HTTPException("The Content-Length is not valid.")
    return int(value)
