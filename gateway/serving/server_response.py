"""gunicorn's response, writing in fewer system calls: for the relay, where a write is a good part of a chunk's cost."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

from gunicorn import util
from gunicorn.http.wsgi import Response

SERVER_NAME = "vllm-gateway"


class RelayResponse(Response):  # type: ignore[misc]
    """Sends the head together with the first bytes of a body whose length is known.

    A stream's head leaves at once: its first bytes may come much later.
    """

    headers_sent: bool
    held_head = b""

    def default_headers(self) -> list[str]:
        """gunicorn's, with the date made once a second."""
        connection = "upgrade" if self.upgrade else "close" if self.should_close() else "keep-alive"
        major, minor = self.req.version
        lines = [
            f"HTTP/{major}.{minor} {self.status}\r\n",
            f"Server: {self.version}\r\n",
            f"Date: {_date(int(time.time()))}\r\n",
            f"Connection: {connection}\r\n",
        ]
        if self.chunked:
            lines.append("Transfer-Encoding: chunked\r\n")
        return lines

    def send_headers(self) -> None:
        if self.headers_sent:
            return
        lines = self.default_headers()
        lines.extend(f"{name}: {value}\r\n" for name, value in self.headers)
        lines.append("\r\n")
        head = util.to_bytestring("".join(lines), "latin-1")
        self.headers_sent = True
        if self.response_length and not self._omits_body:
            self.held_head = head
        else:
            self._send(head)

    def write(self, data: bytes) -> None:
        if self.chunked and data and self.headers_sent:  # all but the first piece of a stream
            self.sent += len(data)
            self._send(b"%X\r\n%b\r\n" % (len(data), data))
        else:
            super().write(data)

    def _emit_body(self, data: bytes) -> None:
        if self.chunked:
            data = b"%X\r\n%b\r\n" % (len(data), data)
        elif self.held_head:
            data, self.held_head = self.held_head + data, b""
        self._send(data)

    def can_sendfile(self) -> bool:
        return False  # the kernel would send the file past a head that is still held

    def close(self) -> None:
        if self.held_head:
            head, self.held_head = self.held_head, b""
            self._send(head)
        super().close()

    def _send(self, data: bytes) -> None:
        # gevent's sendall asks for the socket's buffer size each time; nearly always one send is enough.
        sent = self.sock.send(data)
        if sent < len(data):
            self.sock.sendall(memoryview(data)[sent:])


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return str(util.http_date(second))


def adopt(start_response: Any) -> Any:
    """Makes gunicorn's response of this call ours. None under another server."""
    response = getattr(start_response, "__self__", None)
    if type(response) is Response:
        response.__class__ = RelayResponse
    if isinstance(response, Response):
        response.version = SERVER_NAME
        response._omits_body_warned = True  # that HEAD gets no body is nothing to print
    return response
