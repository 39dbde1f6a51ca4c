"""How requests leave: requests' adapter over urllib3 pools that send a target as it is. With `client`, the only file
that imports requests or urllib3. Knows no error of ours.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from queue import Empty
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError
from urllib3.util import SKIP_HEADER
from urllib3.util.connection import is_connection_dropped

from upstreams.response import UpstreamHTTPResponse

# vLLM (uvicorn) closes an idle connection after 5 s without saying so.
KEEP_IDLE_SECONDS = 4.0
_WITH_BODY = {"POST", "PUT", "PATCH"}
_NO_TARGET = re.compile(r"[\x00-\x20\x7f]")
MAX_IDLE_CONNECTIONS = 4096


class Outgoing(dict[str, str]):
    """The headers of one request, with the request target that urllib3 would otherwise rewrite.

    It travels through requests and urllib3 as the headers, so that it reaches the connection, which notes here
    what the error handling must know: whether the connection was reused and when the request was on its way.
    """

    __slots__ = ("connection", "raw_target", "reused", "sent_at")

    def __init__(self, headers: Iterable[tuple[str, str]] | Mapping[str, str], raw_target: str) -> None:
        super().__init__(headers)
        self.raw_target = raw_target
        self.reused = False
        self.sent_at: float | None = None
        self.connection: Any = None

    @property
    def connected_at(self) -> float:
        """When the connection stood that it left on, in monotonic seconds; 0 where there was none yet."""
        return getattr(self.connection, "connected_at", 0.0)

    @property
    def has_left(self) -> bool:
        """Whether a part of the request may have reached the upstream."""
        return getattr(self.connection, "has_sent", False)

    @property
    def was_answered(self) -> bool:
        """Whether an answer had begun, if only with an interim one or a piece of a line, that broke off in its head."""
        return getattr(self.connection, "was_answered", False)

    def break_off(self) -> None:
        """Ends the wait for the response head, from another thread."""
        sock = getattr(self.connection, "sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def copy(self) -> Outgoing:
        return self


class _IdleConnections:
    """The pool's queue: last in, first out, without locks (append and pop are atomic) and without a filling."""

    def __init__(self, maxsize: int) -> None:
        self._idle: list[Any] = []

    def get(self, block: bool = False, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002
        try:
            return self._idle.pop()
        except IndexError:
            raise Empty from None

    def put(self, connection: Any, block: bool = False) -> None:  # noqa: FBT001, FBT002
        if connection is not None:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)

    def qsize(self) -> int:
        return len(self._idle)

    def close_older_than(self, moment: float) -> None:
        """Closes what has been idle since before `moment` (monotonic seconds): the oldest are at the bottom."""
        while self._idle and self._idle[0].idle_since < moment:
            self._idle.pop(0).close()


class PooledResponse(UpstreamHTTPResponse):
    """An answer that knows the connection that it came on, and gives it back. The attributes are urllib3's to set."""

    version_string = "HTTP/1.1"
    length_remaining: int | None = None
    retries: Any = None
    _pool: Any = None
    _connection: Any = None

    def give_back(self) -> None:
        """After the clean end of the body: the next call may have the connection, if it is fit for one."""
        connection, self._connection = self._connection, None
        self.close()
        if connection is None:
            return
        if self.is_fit_for_more:
            self._pool._put_conn(connection)
        else:
            connection.close()

    def give_up(self) -> None:
        """Closes the connection, unless it was given back."""
        connection, self._connection = self._connection, None
        self.close()
        if connection is not None:
            connection.close()


class _RawTarget:
    """What plain, TLS and unix-socket connections have in common."""

    response_class: Any = PooledResponse
    idle_since = 0.0
    connected_at = 0.0
    method = ""
    has_sent = False
    was_answered = False

    def connect(self) -> None:
        """As urllib3 does, which connects with TLS before it has a request."""
        super().connect()  # type: ignore[misc]
        self.connected_at = time.monotonic()

    def request(
        self,
        method: str,
        url: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        **_options: Any,
    ) -> None:
        """Sends one request, the head in one piece with the first bytes of the body: one system call and one packet
        less, and not a function call for each line.

        A body that is no bytes needs a Content-Length among the headers. Raises ValueError for what could end a line
        early, before anything is sent; the rest was judged where it came in.
        """
        connection: Any = self
        self.method = method
        head = self._head(method, url, headers or {}, body)
        if connection.sock is None:
            connection.connect()  # now, with the time-out for it; afterwards urllib3 sets the one for reading
        else:
            connection.sock.settimeout(connection.timeout)
        pieces = iter((body,) if isinstance(body, bytes) else body or ())
        self._send(head + next(pieces, b""))
        for piece in pieces:
            self._send(piece)

    def _head(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None
    ) -> bytes:
        given = {name.lower() for name in headers}
        lines = [f"{method} {target} HTTP/1.1"]
        if "host" not in given:
            lines.append(self._host_line)
        if "accept-encoding" not in given:
            lines.append("Accept-Encoding: identity")
        lines += [f"{name}: {value}" for name, value in headers.items() if value is not SKIP_HEADER]
        if "content-length" not in given and (body is not None or method in _WITH_BODY):
            if not isinstance(body, bytes | None):
                raise ValueError("A body that comes in pieces needs its length.")
            lines.append(f"Content-Length: {len(body or b'')}")
        head = "\n".join(lines).encode("latin-1")
        if head.count(b"\n") != len(lines) - 1 or b"\r" in head or b"\0" in head:
            raise ValueError("A header must not hold a line end or a NUL.")
        if _NO_TARGET.search(target):
            raise ValueError("A request target must not hold a space or a control character.")
        return head.replace(b"\n", b"\r\n") + b"\r\n\r\n"

    @cached_property
    def _host_line(self) -> str:
        """The Host header as http.client writes it (IPv6, international names, ports)."""
        connection: Any = self
        writer: Any = http.client.HTTPConnection(connection.host, connection.port)
        writer.default_port = connection.default_port
        writer.putrequest("GET", "/", skip_accept_encoding=True)
        return str(writer._buffer[1].decode("latin-1"))

    def _send(self, data: bytes) -> None:
        self.has_sent = True
        connection: Any = self
        sent = connection.sock.send(data)  # nearly always all of it; gevent's sendall asks the system more
        if sent < len(data):
            connection.sock.sendall(memoryview(data)[sent:])

    def getresponse(self) -> Any:
        """http.client's, with nothing of urllib3's around it: no second set of headers, and no second reader."""
        connection: Any = self
        connection.sock.settimeout(connection.timeout)
        response = self.response_class(connection.sock, method=self.method)
        try:
            response.begin()
        except BaseException:
            self.was_answered = response.has_begun
            response.close()
            connection.close()
            raise
        if response.will_close:
            connection.close()  # the response keeps the socket open for as long as it reads
        return response


class _PlainConnection(_RawTarget, HTTPConnection):  # type: ignore[misc]
    pass


class _TlsConnection(_RawTarget, HTTPSConnection):  # type: ignore[misc]
    pass


class _UnixConnection(_RawTarget, HTTPConnection):  # type: ignore[misc]
    """Speaks HTTP over a unix socket: the way to the control plane."""

    path = ""

    def _new_conn(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self.timeout)
        try:
            connection.connect(self.path)
        except OSError as error:
            connection.close()
            raise NewConnectionError(self, str(error)) from error
        return connection


class _RawTargetPool:
    """Sends the target as it is, and drops idle connections before the upstream does."""

    QueueCls: Any = _IdleConnections
    pool: Any

    def _make_request(self, conn: Any, method: str, url: str, **options: Any) -> Any:
        outgoing: Outgoing = options["headers"]
        outgoing.connection = conn
        outgoing.reused = conn.sock is not None
        conn.has_sent = conn.was_answered = False
        outgoing.sent_at = time.monotonic()
        return super()._make_request(conn, method, outgoing.raw_target, **options)  # type: ignore[misc]

    def _get_conn(self, timeout: float | None = None) -> Any:
        oldest = time.monotonic() - KEEP_IDLE_SECONDS
        while self.pool is not None and self.pool.qsize():
            connection = self.pool.get()
            if connection.idle_since > oldest and not _is_dropped(connection):
                return connection
            connection.close()
        return self._new_conn()  # type: ignore[attr-defined]


def _is_dropped(connection: Any) -> bool:
    """Whether the upstream has closed an idle connection, or said something that nobody asked for."""
    plain = getattr(connection.sock, "_sock", None)  # gevent's socket holds a plain one, which never waits
    if plain is None or isinstance(connection, _TlsConnection):
        # What TLS has deciphered already is no longer there for the system to tell of.
        return is_connection_dropped(connection) or _has_deciphered(connection.sock)
    try:
        plain.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _has_deciphered(sock: Any) -> bool:
    try:
        return bool(sock.pending())
    except (AttributeError, OSError, ValueError):  # no TLS, or none any more
        return False


class _PlainPool(_RawTargetPool, HTTPConnectionPool):  # type: ignore[misc]
    ConnectionCls: Any = _PlainConnection


class _TlsPool(_RawTargetPool, HTTPSConnectionPool):  # type: ignore[misc]
    ConnectionCls: Any = _TlsConnection


class _UnixPool(_PlainPool):
    """All its connections go to one unix socket."""

    def __init__(self, path: str, **options: Any) -> None:
        self.ConnectionCls: Any = type("_UnixConnectionTo", (_UnixConnection,), {"path": path})
        super().__init__("localhost", **options)


class _BareResponse(requests.Response):
    """Carries urllib3's response through the adapter, and has nothing of its own."""

    def __init__(self) -> None:
        pass


class UpstreamAdapter(HTTPAdapter):
    """requests' adapter with the one pool of one upstream."""

    def __init__(self, base_url: str) -> None:
        super().__init__(pool_connections=1, pool_maxsize=MAX_IDLE_CONNECTIONS, max_retries=0)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
        path = base_url.removeprefix("unix:")
        self._pool: Any = None if path == base_url else _UnixPool(path, maxsize=MAX_IDLE_CONNECTIONS)

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        if self._pool is None:  # found once: the lookup parses the URL each time
            self._pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
        return self._pool

    def request_url(self, request: Any, proxies: Any) -> str:
        return "/"  # never sent: `_make_request` takes the target from the headers

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """The response without cookies, encoding detection and redirects, none of which a relay wants."""
        response = _BareResponse()
        response.raw = resp
        return response

    def close_idle(self) -> None:
        """Closes connections that nobody may use any more: after a burst they would hold their files for ever."""
        if self._pool is not None and self._pool.pool is not None:
            self._pool.pool.close_older_than(time.monotonic() - KEEP_IDLE_SECONDS)

    def close(self) -> None:
        super().close()
        if self._pool is not None:
            self._pool.close()
