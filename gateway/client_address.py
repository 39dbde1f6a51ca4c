"""Who a request comes from, when proxies that we trust stand in front. No Django."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Origin:
    """`address` and `scheme` of the client, and the X-Forwarded-For that is honest to pass on."""

    address: str
    scheme: str
    forwarded_for: str


def origin(environ: Mapping[str, object], trusted: Sequence[Network]) -> Origin:
    """The nearest address that is no trusted proxy's, from the right of X-Forwarded-For.

    What a client itself writes there is never believed: it stands left of what the first trusted proxy added.
    """
    peer = str(environ.get("REMOTE_ADDR") or "")
    scheme = str(environ.get("wsgi.url_scheme", "http"))
    networks = tuple(trusted)
    if not networks or not _is_trusted(peer, networks):
        return Origin(peer, scheme, peer)
    scheme = "https" if environ.get("HTTP_X_FORWARDED_PROTO") == "https" else "http"
    hops = [hop.strip() for hop in str(environ.get("HTTP_X_FORWARDED_FOR", "")).split(",") if hop.strip()]
    chain = [peer]
    for hop in reversed(hops):
        if not _is_address(hop):
            break
        chain.insert(0, hop)
        if not _is_trusted(hop, networks):
            break
    return Origin(chain[0], scheme, ", ".join(chain))


@lru_cache(4096)
def _is_trusted(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
