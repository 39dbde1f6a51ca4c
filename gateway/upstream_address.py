"""The upstream's address in what the upstream says: found, so that no caller learns it.

Pure: URLs and values of headers in, words and answers out.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from upstreams.base_url import is_this_host

NOWHERE = "\0"
"""The host of an upstream without one (a unix socket): it is in no value of a header."""

_DEFAULT_PORTS = {80, 443}
_ANY_PORT = r":[1-6]?\d{1,4}(?!\d)"
_AUTHORITY = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class _Address(NamedTuple):
    host: str
    port: int | None
    named: re.Pattern[str]


@lru_cache(maxsize=1024)
def _address(upstream_base: str) -> _Address:
    host, port = _host_and_port(upstream_base)
    named = _named(host or NOWHERE, port, is_here=host != "" and is_this_host(upstream_base))
    return _Address(host or NOWHERE, port, re.compile(named))


def _named(host: str, port: int | None, *, is_here: bool) -> str:
    """What finds the host as a whole in a value in lower case, with a port or with none. A name of one word, which
    may mean something else, is one with a port or behind `//` only.

    Other ports of the upstream's machine tell where it is as well. Only on this host, which everybody has, they may be
    the caller's own: there it is this port or none.
    """
    before = r"(?<![\w.:-])" if ":" in host else r"(?<![\w.-])"
    name = rf"{re.escape(host)}\]?(?!\])" if ":" in host else re.escape(host)
    with_port, alone = _ANY_PORT, r"(?![\w-]|\.\w)"
    if is_here:
        with_port = r":(?:80|443)(?!\d)" if port is None else rf":{port}(?!\d)"
        alone = r"(?!:\d|[\w-]|\.\w)"
    if "." in host or ":" in host:
        return rf"{before}{name}(?:{with_port}|{alone})"
    return rf"{before}{name}{with_port}|//(?:[^/@ ]*@)?{name}{alone}"


@lru_cache(maxsize=1024)
def host_of(upstream_base: str) -> str:
    """The upstream's host in lower case."""
    return _address(upstream_base).host


def names_upstream(value: str, upstream_base: str) -> bool:
    """Whether a header's value holds the upstream's host, with any port or none; of one on this host, its own."""
    address, low = _address(upstream_base), value.lower()
    return address.host in low and address.named.search(low) is not None


def is_at(url: str, upstream_base: str) -> bool:
    """Whether the URL leads to the upstream's host and port."""
    address = _address(upstream_base)
    return _host_and_port(url) == (address.host, address.port)


def our_location(value: str, *, upstream_base: str, prefix: str) -> str | None:
    """A Location as the client must see it; None when it cannot be told without the upstream's address.

    The scheme plays no part: vLLM builds the URL from the Host and X-Forwarded-Proto that it was sent.
    """
    absolute = _AUTHORITY.match(value)
    if "\\" in value or (absolute is None and _SCHEME.match(value)):
        return None
    if absolute is None:
        return _below(prefix, value, upstream_base) if value.startswith("/") else value
    hostname, port = _host_and_port(absolute[0])
    if hostname == "":
        return None
    upstream_hostname, upstream_port = _host_and_port(upstream_base)
    if hostname != upstream_hostname:
        return value
    return _below(prefix, value[absolute.end() :], upstream_base) if port == upstream_port else None


def _below(prefix: str, rest: str, upstream_base: str) -> str:
    """Our path for the upstream's path, query and fragment."""
    base_path = urlsplit(upstream_base).path.rstrip("/")
    if base_path and re.match(re.escape(base_path) + r"(?:[/?#]|$)", rest):
        rest = rest[len(base_path) :]
    return prefix + rest if rest.startswith("/") else f"{prefix}/{rest}"


def _host_and_port(url: str) -> tuple[str, int | None]:
    """Lower-case host ("" when unreadable) and port; None for both default ports, as the scheme may differ."""
    try:
        parts = urlsplit(url)
        hostname, port = parts.hostname or "", parts.port
    except ValueError:
        return "", None
    return hostname, None if port in _DEFAULT_PORTS else port
