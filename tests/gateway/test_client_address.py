"""Who a request comes from, when anybody can write headers."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from gateway.client_address import Origin, origin

TRUSTED = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]


def _origin(peer: str, forwarded: str | None = None, **more: str) -> Origin:
    environ: dict[str, Any] = {"REMOTE_ADDR": peer, "wsgi.url_scheme": "http", **more}
    if forwarded is not None:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded
    return origin(environ, TRUSTED)


@pytest.mark.parametrize(
    ("peer", "forwarded", "address", "chain"),
    [
        ("192.0.2.1", None, "192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "8.8.8.8", "192.0.2.1", "192.0.2.1"),  # a stranger's word
        ("10.0.0.1", "192.0.2.1", "192.0.2.1", "192.0.2.1, 10.0.0.1"),
        ("10.0.0.1", "8.8.8.8, 192.0.2.1", "192.0.2.1", "192.0.2.1, 10.0.0.1"),
        ("10.0.0.1", "8.8.8.8, 192.0.2.1, 10.9.9.9", "192.0.2.1", "192.0.2.1, 10.9.9.9, 10.0.0.1"),
        ("10.0.0.1", "not an address", "10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1, unknown", "10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.2, ,", "10.0.0.2", "10.0.0.2, 10.0.0.1"),
        ("::ffff:10.0.0.1", "192.0.2.1", "192.0.2.1", "192.0.2.1, ::ffff:10.0.0.1"),
        ("fd00::1", "2001:db8::1", "2001:db8::1", "2001:db8::1, fd00::1"),
        ("", "192.0.2.1", "", ""),
    ],
)
def test_the_nearest_address_that_is_no_trusted_proxy_s(
    peer: str, forwarded: str | None, address: str, chain: str
) -> None:
    found = _origin(peer, forwarded)
    assert (found.address, found.forwarded_for) == (address, chain)


@pytest.mark.parametrize(("peer", "scheme"), [("10.0.0.1", "https"), ("192.0.2.1", "http")])
def test_only_a_trusted_proxy_tells_the_scheme(peer: str, scheme: str) -> None:
    assert _origin(peer, HTTP_X_FORWARDED_PROTO="https").scheme == scheme


def test_nobody_is_trusted_by_default() -> None:
    environ = {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "8.8.8.8"}
    assert origin(environ, []) == Origin("127.0.0.1", "http", "127.0.0.1")
