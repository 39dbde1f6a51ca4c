"""Whose a response is that a call names, and which upstream has it."""

from __future__ import annotations

from urllib.parse import unquote

from gateway.errors import ResponseUnknown
from gateway.exchange import Exchange
from gateway.responses.store import Owned
from keys.permissions import check_served, check_upstream
from upstreams.selection import Candidate


def find_mine(exchange: Exchange, response_id: str) -> Owned | None:
    """The response, when this caller may have it. Raises DatabaseAway."""
    with exchange.call:
        owned = exchange.plane.responses.find(response_id)
    return owned if owned is not None and owned.is_for(exchange.identity) else None


def named_in_path(exchange: Exchange) -> str:
    """The id in `/responses/{id}…`, decoded once, as the upstream will."""
    segments = exchange.path.path.strip("/").split("/")
    after = 2 if segments[0].casefold() == "v1" else 1
    return unquote(segments[after])


def upstream_of(exchange: Exchange, owned: Owned) -> Candidate:
    """The upstream that has the response, whatever its state. Raises ResponseUnknown where it is gone, or where the
    call names another one, UpstreamDenied where it may not."""
    check_wanted(exchange, owned)
    candidate = exchange.plane.pool.by_id(owned.upstream_id) or _fallback(exchange, owned)
    if candidate is None:
        raise ResponseUnknown(owned.response_id)
    return candidate


def check_wanted(exchange: Exchange, owned: Owned) -> None:
    """Raises ResponseUnknown where the call names another upstream, UpstreamDenied where it may not."""
    wanted = wanted_upstream(exchange)
    if wanted is None:
        return
    check_upstream(exchange.identity, wanted)
    there = exchange.plane.pool.by_id(owned.upstream_id) or _fallback(exchange, owned)
    if wanted != (there.upstream.name if there is not None else owned.upstream_name):
        raise ResponseUnknown(owned.response_id)


def candidate_for_next(exchange: Exchange, before: Owned) -> Candidate:
    """Where a call goes that goes on from a response: to the upstream that has it, in no other order.

    Raises ResponseUnknown as above, NoUpstream where it takes no new calls.
    """
    for candidate in exchange.candidates:
        if candidate.upstream.id == before.upstream_id:
            return candidate
    pool = exchange.plane.pool
    there = pool.by_id(before.upstream_id)
    if there is None or wanted_upstream(exchange) is not None:
        raise ResponseUnknown(before.response_id, param="previous_response_id")
    if exchange.model is None:
        check_served(exchange.identity, pool.served_model_of(before.upstream_id))
    return pool.on(pool.named(there.upstream.name), exchange.model)


def wanted_upstream(exchange: Exchange) -> str | None:
    """The upstream that the call itself names."""
    if exchange.face.upstream is not None:
        return exchange.face.upstream
    return exchange.environ.get("HTTP_X_GATEWAY_UPSTREAM")


def _fallback(exchange: Exchange, owned: Owned) -> Candidate | None:
    """The one that stands in while there is no upstream has no id."""
    if owned.upstream_id is not None:
        return None
    candidate = exchange.plane.pool.candidates(None)[0]
    return candidate if candidate.upstream.id is None else None
