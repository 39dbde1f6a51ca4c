"""How an upstream's response head is read: as http.client does it, without the machinery of e-mail, and stricter.

Knows sockets only as files, and nothing of urllib3 or requests.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable
from typing import Protocol

from upstreams.chunked import ChunkedBody

LONGEST_LINE = 65_536
MOST_HEADERS = 200
HIGHEST_STATUS = 599
_BODYLESS = {204, 304}
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNFIT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]+")


class ByteLines(Protocol):
    """What lines are read from."""

    def readline(self, limit: int, /) -> bytes: ...


def read_headers(file: ByteLines) -> http.client.HTTPMessage:
    """The header section up to its blank line. Raises HTTPException when it is not one (RFC 9112, section 5)."""
    headers: list[tuple[str, str]] = []
    while (line := _line(file)).strip(b"\r\n"):
        if line[:1] in b" \t" and headers:  # a folded line goes on with the value before it
            name, value = headers[-1]
            headers[-1] = (name, f"{value} {line.decode('latin-1').strip()}")
            continue
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not _NAME.fullmatch(name):
            raise http.client.HTTPException("A header line is not valid.")
        headers.append((name, value.strip(" \t\r\n")))
        if len(headers) > MOST_HEADERS:
            raise http.client.HTTPException(f"The response has more than {MOST_HEADERS} headers.")
    message = http.client.HTTPMessage()
    for name, value in headers:
        message[name] = value
    return message


def _line(file: ByteLines) -> bytes:
    line = file.readline(LONGEST_LINE + 1)
    if len(line) > LONGEST_LINE:
        raise http.client.LineTooLong("header line")
    return line


class UpstreamHTTPResponse(http.client.HTTPResponse):
    """Skips every interim answer (RFC 9110, 15.2), and keeps no connection whose framing is in doubt."""

    chunked_body: ChunkedBody | None = None

    # What http.client has for its own use, in every version that we run on.
    _close_conn: Callable[[], None]
    _method: str
    _check_close: Callable[[], bool]
    _read_status: Callable[[], tuple[str, int, str]]

    def begin(self) -> None:
        if getattr(self, "headers", None) is not None:
            return
        version, status, reason = self._final_status()
        if not version.startswith("HTTP/1."):
            raise http.client.UnknownProtocol(version)
        self.version = 10 if version == "HTTP/1.0" else 11
        if status == http.client.SWITCHING_PROTOCOLS or status > HIGHEST_STATUS:  # nobody asked for another protocol
            raise http.client.BadStatusLine(str(status))
        self.code = self.status = status
        self.reason = _UNFIT.sub(" ", reason).strip()
        self.headers = self.msg = read_headers(self.fp)
        self._frame()

    def _final_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = self._read_status()
            if not 100 <= status < 200 or status == 101:
                return version, status, reason
            read_headers(self.fp)

    def _frame(self) -> None:
        """Where the body ends (RFC 9112, section 6.3). A length that says nothing of it is taken out, so that nobody
        who gets these headers believes it."""
        coding = self.headers.get("transfer-encoding")
        given = self.headers.get_all("content-length") or []
        lengths = set(given)
        self.chunked = coding is not None and coding.lower() == "chunked"
        if coding is not None and not self.chunked:
            raise http.client.HTTPException("The Transfer-Encoding is not known.")
        self.chunk_left = None
        self.length = None if coding is not None else _length(lengths)
        self.will_close = self._check_close() or (coding is not None and bool(given))
        if coding is not None or len(given) > 1:
            del self.headers["content-length"]
            if self.length is not None:
                self.headers["content-length"] = str(self.length)
        if self.status in _BODYLESS or self._method == "HEAD":
            self.chunked, self.length = False, 0
        elif not self.chunked and self.length is None:
            self.will_close = True
        if self.chunked:
            self.chunked_body = ChunkedBody(self.fp)

    def read(self, amt: int | None = None) -> bytes:
        if self.chunked_body is None:
            return super().read(amt)
        return b"".join(iter(self.read1, b""))

    def read1(self, n: int = -1) -> bytes:
        """What is there; of a chunked body regardless of `n`."""
        if self.chunked_body is None or self.fp is None:
            return super().read1(n)
        data = self.chunked_body.read1()
        if not data:
            self._close_conn()
        return data


def _length(values: set[str]) -> int | None:
    if not values:
        return None
    value = values.pop()
    if values or not (value.isascii() and value.isdigit()):
        raise http.client.HTTPException("The Content-Length is not valid.")
    return int(value)
