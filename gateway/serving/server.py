"""What the relay needs of its web server (gunicorn with gevent workers) beyond WSGI.

With `server_request` and `server_response` the only file that knows gunicorn's objects: the worker class, and for
each call the client's socket, whether the connection may be used again, and how a body ends so that the client can
tell that it was cut.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from gunicorn import http
from gunicorn.workers.ggevent import GeventWorker

from common.errors import GatewayError
from gateway.serving.server_request import RelayParser, error_bytes, refusal_of

logger = logging.getLogger(__name__)

LINGER_SECONDS = 1.0
LINGER_BYTES = 1_000_000
UNREAD_MARGIN_SECONDS = 10.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class RelayWorker(GeventWorker):  # type: ignore[misc]
    """gunicorn's gevent worker, which also knows the connections that wait for their next request."""

    def init_process(self) -> None:
        http.RequestParser = RelayParser  # gunicorn has no setting for it
        # gunicorn looks its settings up by way of an AttributeError, a score of times for each request.
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        super().init_process()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: set[Any] = set()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        self.waiting.add(client)
        _give_up_unread(client)
        try:
            super().handle(listener, client, addr)
        finally:
            self.waiting.discard(client)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        self.waiting.discard(sock)
        try:
            super().handle_request(listener_name, req, sock, addr)
        except TimeoutError as error:  # of `_give_up_unread`; gunicorn passes over this one without a traceback
            raise BrokenPipeError(errno.EPIPE, "The client does not read.") from error
        if not self.alive:
            raise StopIteration  # the connection ends: waiting for its next request would hold up the stop
        self.waiting.add(sock)

    def is_already_handled(self, respiter: Any) -> bool:
        """A view has taken the connection over (a WebSocket): nothing is written, and no further request is read."""
        if getattr(respiter, "already_handled", False):
            raise StopIteration
        return False

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Any) -> None:
        """Answers a request that is no HTTP, or one that failed outside of Django.

        gunicorn's own sentences quote the request, and what stands in a wrong place there may be a key or a prompt.
        """
        refusal = refusal_of(exc)
        if refusal is None:
            logger.error("The server failed to answer a request.", exc_info=exc)
        else:
            logger.info("A request was refused that is not valid HTTP (%s).", type(exc).__name__)
        with contextlib.suppress(OSError):
            client.sendall(error_bytes(refusal or GatewayError()))

    def hang_up_waiting(self) -> None:
        """Ends the connections on which no call is open: they would hold up a stop until their time-out."""
        for client in tuple(self.waiting):
            with contextlib.suppress(OSError):
                client._sock.shutdown(socket.SHUT_RD)  # the plain one: gevent's would raise EBADF in who reads


def _give_up_unread(client: Any) -> None:
    """Ends a connection whose client takes nothing that was written for longer than any call may be idle.

    Calls end before, by the sweeper; what is no call (a page, a refusal) has nobody else to end it.
    """
    milliseconds = int((settings.IDLE_TIMEOUT + UNREAD_MARGIN_SECONDS) * 1000)
    with contextlib.suppress(OSError, AttributeError):  # Linux has it
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


class ClientConnection:
    """The client's side of one call."""

    __slots__ = ("_response", "socket")

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self.socket = environ.get("gunicorn.socket")
        self._response = environ.get("gateway.server_response")

    def set_server_name(self, name: str) -> None:
        """What the answer's `Server` header says: the origin's own name (RFC 9110, 10.2.4), where it gave one."""
        if self._response is not None:
            self._response.version = name

    def close_after(self) -> None:
        """No further request is taken from this connection."""
        if self._response is not None:
            self._response.force_close()

    def cut(self) -> None:
        """Ends the body so that the client can tell that something is missing.

        A chunked body gets no last chunk, one with a length stays short; a body that only the connection's end
        delimits is ended by a reset.
        """
        if self._response is None:
            return
        self._response.force_close()
        if self._response.chunked:
            self._response.chunked = False
        elif self._response.response_length is None and self.socket is not None:
            with contextlib.suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    def abort(self) -> None:
        """Nobody is there any more: nothing is read or written again."""
        self.close_after()
        if self.socket is not None:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)

    def linger(self) -> None:
        """After an answer that came before the request's body was read: lets the client read it.

        Closing with unread bytes would reset the connection and could take the answer with it (RFC 9112, 9.6).
        """
        sock = self.socket
        if sock is None:
            return
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(LINGER_SECONDS)
            end, left = time.monotonic() + LINGER_SECONDS, LINGER_BYTES
            while left > 0 and time.monotonic() < end and (data := sock.recv(65_536)):
                left -= len(data)
