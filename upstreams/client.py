"""Sends requests to upstreams and reads their answers.

A prepared request goes straight to an adapter (a Session would merge cookies, read `.netrc` and proxy variables,
and follow redirects). Paths leave byte for byte. What urllib3 raises is translated here, once, into
`upstreams.errors`. Knows no Django view and no key.
"""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import requests
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError
from urllib3.exceptions import SSLError as Urllib3SSLError
from urllib3.exceptions import TimeoutError as Urllib3Timeout
from urllib3.util import SKIP_HEADER, Timeout

from upstreams.errors import (
    UpstreamBroken,
    UpstreamConnectTimeout,
    UpstreamError,
    UpstreamInvalid,
    UpstreamNameUnknown,
    UpstreamRefused,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamTlsFailed,
)
from upstreams.transport import Outgoing, PooledResponse, UpstreamAdapter

__all__ = ["Body", "Fetched", "Outgoing", "UpstreamClient", "UpstreamResponse", "fetch", "target_below"]

# A kept-alive connection that the other side had closed fails at once; later than this the call may be at work.
STALE_SECONDS = 1.0
UNREACHABLE = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENOENT, errno.EADDRNOTAVAIL}

Body = bytes | Iterable[bytes] | None


class UpstreamResponse:
    """An upstream's answer, whose body is still to be read."""

    __slots__ = ("_raw", "_read1", "headers", "reason", "status")

    def __init__(self, raw: PooledResponse) -> None:
        self._raw = raw
        chunked = raw.chunked_body
        # Where the chunks themselves tell the end, no length is looked at for each of them.
        self._read1 = raw.read1 if chunked is None else chunked.read1
        self.status = raw.status
        self.reason = raw.reason
        self.headers: list[tuple[str, str]] = raw.headers

    def header(self, name: str) -> str:
        """The value of a header, "" without it."""
        return self._raw.headers.get(name) or ""

    def read1(self) -> bytes:
        """The bytes that are there, waiting for the first; `b""` at the clean end.

        Raises UpstreamBroken when the body ends before its framing says so.
        """
        try:
            data = self._read1()
        except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            raise UpstreamBroken from error
        if not data:
            self._raw.give_back()
        return data

    def chunks(self) -> Iterator[bytes]:
        """The rest of the body. Raises UpstreamBroken."""
        while chunk := self.read1():
            yield chunk

    def close(self) -> None:
        """Gives the connection back if the body was read to its clean end, else closes it."""
        self._raw.give_up()


PROBE_AGENT = "vllm-gateway-probe"
"""What probes call themselves, so that a server's log tells them from calls."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole small answer: headers by lower-case name, time in seconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float


class UpstreamClient:
    """Opens calls on upstreams; keeps one pool of connections for each."""

    def __init__(self, *, connect_timeout: float, read_timeout: float | None = None, resend: bool = True) -> None:
        """Times in seconds. The relay passes no read time-out: its sweeper watches all open calls at once.

        `resend`: whether a request goes out again when its kept-alive connection turns out to be stale.
        """
        self._resend = resend
        self._timeout = Timeout(connect=connect_timeout, read=read_timeout)
        self._adapters: dict[str, UpstreamAdapter] = {}

    def open(
        self,
        base_url: str,
        method: str,
        outgoing: Outgoing,
        body: Body = None,
        *,
        connect_timeout: float | None = None,
    ) -> UpstreamResponse:
        """Sends the request and waits for the response head.

        `base_url` is `http(s)://host:port/prefix` or `unix:/path`; `outgoing.raw_target` is what stands in the
        request line after the base's own path. The body goes out once more only on a kept-alive connection that
        turns out to have been closed before. `connect_timeout` (seconds) stands in for the client's own.
        Raises UpstreamError.
        """
        timeout = self._timeout if connect_timeout is None else self._timeout_with(connect_timeout)
        try:
            return self._send(base_url, method, outgoing, body, timeout)
        except UpstreamReset:
            if not self._resend or not _was_stale(outgoing):
                raise
        self._drop_idle(base_url)
        return self._send(base_url, method, outgoing, body, timeout)

    def _timeout_with(self, connect: float) -> Timeout:
        return Timeout(connect=connect, read=self._timeout.read_timeout)

    def forget(self, base_url: str) -> None:
        """Closes the idle connections of an upstream that is gone."""
        adapter = self._adapters.pop(base_url, None)
        if adapter is not None:
            adapter.close()

    def close_idle(self) -> None:
        """Closes the connections that have been idle for too long. To be called now and then."""
        for adapter in tuple(self._adapters.values()):
            adapter.close_idle()

    def _drop_idle(self, base_url: str) -> None:
        # An upstream that closed one idle connection has most likely closed all of them.
        self.forget(base_url)

    def _send(self, base_url: str, method: str, outgoing: Outgoing, body: Body, timeout: Timeout) -> UpstreamResponse:
        adapter = self._adapters.get(base_url)
        if adapter is None:
            adapter = self._adapters[base_url] = UpstreamAdapter(base_url)
        outgoing.setdefault("User-Agent", SKIP_HEADER)  # urllib3 would name itself
        request = requests.PreparedRequest()
        request.method = method
        request.url = "http://localhost/" if base_url.startswith("unix:") else base_url
        request.headers = outgoing  # type: ignore[assignment]
        request.body = body  # type: ignore[assignment]
        try:
            response = adapter.send(request, stream=True, timeout=timeout)  # type: ignore[arg-type]
        except (requests.RequestException, HTTPError, http.client.HTTPException, OSError) as error:
            failure = _translated(error)
            # A connection can become unreachable, or its TLS fail, while the upstream is at work on the call.
            raise (UpstreamReset() if failure.before_sent and outgoing.has_left else failure) from error
        return UpstreamResponse(cast("PooledResponse", response.raw))


def fetch(
    base_url: str,
    credential: str,
    path: str,
    *,
    timeout: float,
    limit: int = 1_000_000,
    method: str = "GET",
    body: bytes | None = None,
) -> Fetched:
    """One question of the gateway's own: the whole answer of at most `limit` bytes within `timeout` seconds.

    `body` is JSON. Nothing is sent twice. Raises UpstreamError.
    """
    client = UpstreamClient(connect_timeout=timeout, read_timeout=timeout, resend=False)
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "User-Agent": PROBE_AGENT,
    }
    if credential:
        headers["Authorization"] = f"Bearer {credential}"
    if method != "GET":
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(body or b""))}
    started = time.monotonic()
    outgoing = Outgoing(headers, target_below(base_url, path))
    # The read time-out is for each read; a head that drips in would stretch it for ever.
    deadline = threading.Timer(timeout, outgoing.break_off)
    deadline.start()
    try:
        response = client.open(base_url, method, outgoing, body)
        seconds = time.monotonic() - started
        try:
            body = _limited(response, limit, started + timeout)
        finally:
            response.close()
    except UpstreamError as error:
        if time.monotonic() - started >= timeout:
            raise UpstreamTimeout from error
        raise
    finally:
        deadline.cancel()
        client.forget(base_url)
    return Fetched(response.status, {n.lower(): v for n, v in response.headers}, body, seconds)


def _limited(response: UpstreamResponse, limit: int, end: float) -> bytes:
    """The body, of at most `limit` bytes, read before the monotonic time `end`."""
    body = bytearray()
    for chunk in response.chunks():
        body += chunk
        if len(body) > limit:
            raise UpstreamInvalid("The upstream's answer is too large for what was asked.")
        if time.monotonic() > end:
            raise UpstreamTimeout
    return bytes(body)


def target_below(base_url: str, raw_target: str) -> str:
    """The request target for an upstream whose base URL may have a path of its own."""
    if base_url.startswith("unix:"):
        return raw_target
    _, _, rest = base_url.partition("://")
    slash = rest.find("/")
    return raw_target if slash < 0 else rest[slash:].rstrip("/") + raw_target


def _was_stale(outgoing: Outgoing) -> bool:
    """Whether the upstream had closed the connection before the request got there: it has not seen it."""
    sent_at = outgoing.sent_at
    if not outgoing.reused or outgoing.was_answered or sent_at is None:
        return False
    return time.monotonic() - sent_at < STALE_SECONDS


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it wraps and what caused it, outermost first."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = [a for a in (*current.args, getattr(current, "reason", None)) if isinstance(a, BaseException)]
        waiting += [*inner, current.__cause__, current.__context__]


def _translated(error: Exception) -> UpstreamError:
    """What requests, urllib3, ssl and the sockets raise, as one of our errors."""
    causes = list(_causes(error))

    def has(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if has(NameResolutionError, socket.gaierror):
        return UpstreamNameUnknown()
    if has(ssl.SSLError, Urllib3SSLError):
        return UpstreamTlsFailed()
    if has(requests.ConnectTimeout):
        return UpstreamConnectTimeout()
    if has(NewConnectionError) or any(getattr(cause, "errno", None) in UNREACHABLE for cause in causes):
        return UpstreamRefused()
    if has(requests.Timeout, Urllib3Timeout, TimeoutError):
        return UpstreamTimeout()
    if has(http.client.RemoteDisconnected, ConnectionError, BrokenPipeError):
        return UpstreamReset()
    return UpstreamInvalid() if has(http.client.HTTPException) else UpstreamReset()
