"""gunicorn's request parser, for a server on which all greenlets share one thread: bounded in memory and in time.

Also what is answered to a request that it cannot read.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from gunicorn.http import errors
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader

from common.errors import GatewayError, InvalidRequest
from gateway.serving.server_response import SERVER_NAME
from gateway.turns import let_others_go

HEAD_BYTES = 131_072
"""What all header lines together may have; gunicorn bounds each one and their number, which is 3 MB."""

READ_BYTES = 4_096
"""What is read at once where nobody knows how much there is; it may be hundreds of tiny chunks."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

UNHINDERED_READS = 2  # head and body of most requests
UNHINDERED_REQUESTS = 4  # of one connection

_STATUS = {
    errors.LimitRequestLine: 414,
    errors.LimitRequestHeaders: 431,
    errors.ExpectationFailed: 417,
    errors.UnsupportedTransferCoding: 501,
}
# What gunicorn raises for an answer of ours that is no HTTP.
_OURS = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName, errors.ConfigurationProblem)


class RelayUnreader(SocketUnreader):  # type: ignore[misc]
    """Lets others go first before each further read of a long request.

    gevent switches only where it has to wait, which it never has for a client that sends without a pause; small
    pieces cost the parser so much time that nobody else would be served.
    """

    reads = 0
    invites = False
    """Whether the client waits for a word before it sends the body; it gets it when somebody reads the first piece."""

    def chunk(self, size_hint: int | None = None) -> bytes:
        if self.invites:
            self.invites = False
            self.sock.sendall(CONTINUE)
        self.reads += 1
        if self.reads > UNHINDERED_READS:
            let_others_go()
        data: bytes = super().chunk(size_hint)
        return data


class RelayRequest(Request):  # type: ignore[misc]
    """A request whose head is bounded as a whole, and whose body nobody is asked for before the head was judged.

    gunicorn answers `Expect: 100-continue` before the application sees the request (RFC 9110, 10.1.1, wants a refusal
    in its place). Where nothing of the body was read, the connection ends: what comes on it next may be that body.
    """

    unreader: RelayUnreader
    _expected_100_continue: bool

    def parse(self, unreader: RelayUnreader) -> Any:
        self.max_buffer_headers = HEAD_BYTES
        unreader.reads, unreader.invites = 0, False
        sent_with_the_last = unreader.buf.tell() > 0
        if sent_with_the_last or not self.req_number % UNHINDERED_REQUESTS:
            let_others_go()  # where client and upstream answer at once, one connection would never wait for anything
        begun = super().parse(unreader)
        if self._expected_100_continue:
            self._expected_100_continue = False
            unreader.invites = not begun  # who sends already does not wait
        return begun

    def should_close(self) -> bool:
        return self.unreader.invites or bool(super().should_close())


class RelayParser(RequestParser):  # type: ignore[misc]
    """Reads the requests of one connection."""

    mesg_class = RelayRequest

    def __init__(self, cfg: Any, source: Any, source_addr: Any) -> None:
        super().__init__(cfg, source, source_addr)
        self.unreader = RelayUnreader(source, READ_BYTES)


def refusal_of(error: BaseException) -> GatewayError | None:
    """What the client is told about a request that cannot be read; None when it is not the request's fault."""
    if not isinstance(error, errors.ParseException) or isinstance(error, _OURS):
        return None
    refusal = InvalidRequest("The request is not valid HTTP.")
    refusal.status_code = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 400)
    return refusal


def error_bytes(error: GatewayError) -> bytes:
    """A whole answer, after which the connection ends."""
    body = json.dumps(error.body()).encode()
    head = (
        f"HTTP/1.1 {error.status_code} {HTTPStatus(error.status_code).phrase}\r\n"
        f"Server: {SERVER_NAME}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
