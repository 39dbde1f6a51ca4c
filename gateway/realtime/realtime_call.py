"""How a realtime call is opened, passed on and accounted for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase
from wsproto.connection import ConnectionType

from gateway.account.entry import Outcome, UsageSource
from gateway.admission import admit
from gateway.cuts import CallCut
from gateway.exchange import Exchange
from gateway.metering.usage import Usage
from gateway.open_call import OpenCall, Phase
from gateway.realtime import handshake
from gateway.realtime.messages import Judged, judge
from gateway.realtime.peer import Peer
from gateway.realtime.session import Session
from gateway.relay import mark_of
from keys.permissions import check_model, check_parties, check_served, resolve_alias
from upstreams.errors import NoUpstream, UpgradeRefused, UpstreamError
from upstreams.health import Mark
from upstreams.selection import Candidate
from upstreams.websocket import open_socket


class TakenOver(HttpResponse):
    """Nothing is left to write: the connection was a WebSocket's, and is over."""

    already_handled = True


def operate(exchange: Exchange) -> HttpResponseBase:
    """A WebSocket through the gateway; a request that is none is passed on like any other. Raises GatewayError."""
    if not handshake.is_upgrade(exchange.environ):
        admit(exchange)
        return exchange.pass_on(exchange.send())
    nonce = handshake.check(exchange.environ)
    exchange.model_comes_later = True
    admit(exchange)
    candidate, (sock, early) = _open(exchange)
    try:
        with contextlib.closing(sock):
            _serve(exchange, candidate, nonce, Peer(sock, ConnectionType.CLIENT, early))
    finally:
        exchange.plane.pool.leave(candidate.upstream.id)
        exchange.plane.places.give_back(exchange.call, candidate.upstream)
        exchange.end_connection()
    return TakenOver()


def _serve(exchange: Exchange, candidate: Candidate, nonce: bytes, upstream: Peer) -> None:
    """The session, from the client's upgrade to the end of the call."""
    call, pool = exchange.call, exchange.plane.pool
    call.unwatch()
    call.status, call.streaming, call.head_at = 101, True, time.time()
    client = Peer(exchange.client_socket, ConnectionType.SERVER, account=call)
    pool.mark(candidate.upstream.id, Mark.OK)
    try:
        client.write_head(handshake.accepted(exchange.environ, nonce, request_id=call.request_id, call_id=call.call_id))
    except OSError:
        call.fail(Outcome.CLIENT_DISCONNECTED, None)
        return
    except CallCut as cut:
        call.fail(cut.outcome, cut.error)
        return
    session = Session(call, client, upstream, _judge(exchange, candidate))
    ending = session.run()
    if ending.upstream_broke:
        pool.mark(candidate.upstream.id, Mark.RESET)
    _account(call, session.usage)
    call.fail(ending.outcome, ending.error)


def _open(exchange: Exchange) -> tuple[Candidate, tuple[Any, bytes]]:
    """The first candidate that upgrades, with its socket; it counts as open there. Raises UpstreamError, NoUpstream.

    Silence makes way for the next one too, unlike elsewhere: no GPU works on a handshake.
    """
    plane, call = exchange.plane, exchange.call
    left = list(exchange.candidates)[: plane.pool.routing.most_attempts or None]
    failure: UpstreamError | NoUpstream = NoUpstream()
    while left:
        call.enter(Phase.ADMISSION)
        candidate = plane.places.choose(call, left)
        left.remove(candidate)
        call.attempts += 1
        plane.pool.enter(candidate.upstream.id)
        try:
            return candidate, _upgrade(exchange, candidate)
        except BaseException as error:
            plane.pool.leave(candidate.upstream.id)
            plane.places.give_back(call, candidate.upstream)
            if not isinstance(error, UpstreamError):
                raise
            failure = error
        refused = isinstance(failure, UpgradeRefused)
        if refused and failure.status_code < 500:  # what the caller sent would be refused by another one too
            break
        plane.pool.mark(candidate.upstream.id, Mark.SERVER_ERROR if refused else mark_of(failure))
    call.usage_source = UsageSource.NONE
    raise failure


def _upgrade(exchange: Exchange, candidate: Candidate) -> tuple[Any, bytes]:
    outgoing, timeouts = exchange.outgoing_for(candidate), candidate.upstream.timeouts
    exchange.call.enter(Phase.ANSWER)
    return open_socket(
        candidate.upstream.base_url,
        outgoing.raw_target,
        outgoing.items(),
        connect_timeout=timeouts.connect or settings.CONNECT_TIMEOUT,
        head_timeout=timeouts.first_byte or settings.FIRST_BYTE_TIMEOUT,
    )


def _judge(exchange: Exchange, candidate: Candidate) -> Callable[[str], Judged]:
    """What judges the client's messages; it notes on the call which model they name."""
    identity, pool, call = exchange.identity, exchange.plane.pool, exchange.call
    upstream = candidate.upstream

    def served_name(model: str) -> str:
        if not model:  # vLLM takes the one that it has
            served_by_default = pool.served_model_of(upstream.id)
            check_served(identity, served_by_default)
            check_parties(call.bill.parties, served_by_default or "")
            return model
        check_model(identity, model)
        check_parties(call.bill.parties, model)
        wanted = resolve_alias(identity, model)
        served = pool.on(Candidate(upstream), wanted).served_name or wanted
        call.model, call.served_model = model, served
        return served

    return lambda text: judge(text, served_name)


def _account(call: OpenCall, usage: Usage | None) -> None:
    if usage is None:
        call.usage_source = UsageSource.UNKNOWN
        return
    call.prompt_tokens, call.completion_tokens = usage.prompt_tokens, usage.completion_tokens
    call.cached_tokens, call.reasoning_tokens = usage.cached_tokens, usage.reasoning_tokens
    call.usage_source = UsageSource(usage.source)
