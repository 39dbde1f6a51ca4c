"""Opens a WebSocket to an upstream: socket, TLS and the opening handshake (RFC 6455, section 4). No frames.

requests cannot upgrade a connection. Errors are those of `upstreams.client`.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import ssl
from collections.abc import Iterable
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import certifi

from upstreams.errors import (
    UpgradeRefused,
    UpstreamConnectTimeout,
    UpstreamInvalid,
    UpstreamNameUnknown,
    UpstreamRefused,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamTlsFailed,
)

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LONGEST_HEAD = 65_536


def open_socket(
    base_url: str, raw_target: str, headers: Iterable[tuple[str, str]], *, connect_timeout: float, head_timeout: float
) -> tuple[Any, bytes]:
    """The connected socket, without a time-out, after the upgrade; and what came behind it already.

    `raw_target` is the whole target of the request line (`upstreams.client.target_below`). Times in
    seconds. Raises UpgradeRefused with the upstream's status, or another UpstreamError.
    """
    sock = _connect(base_url, connect_timeout)
    try:
        sock.settimeout(head_timeout)
        key = base64.b64encode(os.urandom(16))
        sock.sendall(_request(base_url, raw_target, headers, key))
        head, early = _read_head(sock)
        _check(head, key)
        sock.settimeout(None)
    except TimeoutError as error:
        sock.close()
        raise UpstreamTimeout from error
    except OSError as error:
        sock.close()
        raise UpstreamReset from error
    except BaseException:
        sock.close()
        raise
    return sock, early


def accept_token(key: bytes) -> bytes:
    """What proves that a server understood the handshake (RFC 6455, section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def _connect(base_url: str, timeout: float) -> Any:
    url = urlsplit(base_url)
    host, secure = url.hostname or "", url.scheme == "https"
    sock = _reach((host, url.port or (443 if secure else 80)), timeout)
    if not secure:
        return sock
    try:
        return _tls_context().wrap_socket(sock, server_hostname=host)
    except TimeoutError as error:
        sock.close()
        raise UpstreamConnectTimeout from error
    except OSError as error:
        sock.close()
        raise UpstreamTlsFailed from error
    except BaseException:
        sock.close()
        raise


def _reach(address: tuple[str, int], timeout: float) -> Any:
    try:
        sock = socket.create_connection(address, timeout)
    except socket.gaierror as error:
        raise UpstreamNameUnknown from error
    except TimeoutError as error:
        raise UpstreamConnectTimeout from error
    except OSError as error:
        raise UpstreamRefused from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


@cache
def _tls_context() -> ssl.SSLContext:
    """One for all connections: reading the certificates takes as long as a hundred calls."""
    return ssl.create_default_context(cafile=certifi.where())


def _request(base_url: str, raw_target: str, headers: Iterable[tuple[str, str]], key: bytes) -> bytes:
    lines = [
        f"GET {raw_target} HTTP/1.1",
        f"Host: {urlsplit(base_url).netloc.rpartition('@')[2]}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key.decode()}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join((*lines, "", "")).encode("latin-1")


def _read_head(sock: Any) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(16_384)
        if not piece:
            raise UpstreamReset
        data += piece
        if len(data) > _LONGEST_HEAD:
            raise UpstreamInvalid
    head, _, early = data.partition(b"\r\n\r\n")
    return head, early


def _check(head: bytes, key: bytes) -> None:
    first, *lines = head.split(b"\r\n")
    version, _, rest = first.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise UpstreamInvalid
    status = int(rest[:3])
    if status != 101:
        raise UpgradeRefused(status)
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    if fields.get(b"sec-websocket-accept") != accept_token(key) or b"sec-websocket-extensions" in fields:
        raise UpstreamInvalid
