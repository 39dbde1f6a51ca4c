"""How a realtime call is opened, passed on and accounted for."""

from __future__ import annotations

import contextlib
from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase
from wsproto.connection import ConnectionType

from gateway.account.entry import Outcome, UsageSource
from gateway.cuts import CallCut
from gateway.exchange import Exchange
from gateway.open_call import Phase
from gateway.realtime import handshake
from gateway.realtime.messages import Judged, judge
from gateway.realtime.peer import Peer
from gateway.realtime.session import Session
from gateway.relay import mark_of
from keys.permissions import may_use_model, resolve_alias
from upstreams.errors import NoUpstream, UpgradeRefused, UpstreamError
from upstreams.health import Mark
from upstreams.selection import Candidate
from upstreams.websocket import open_socket

_NOT_SENT = {
    "sec-websocket-protocol",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "origin",
}


class TakenOver(HttpResponse):
    """Nothing is left to write: the connection was a WebSocket's, and is over."""

    already_handled = True


def operate(exchange: Exchange) -> HttpResponseBase:
    """A WebSocket through the gateway; a request that is none is passed on like any other. Raises GatewayError."""
    exchange.choose()
    if not handshake.is_upgrade(exchange.environ):
        return exchange.pass_on(exchange.send())
    nonce = handshake.check(exchange.environ)
    sock = exchange.client_socket
    candidate, upstream = _open(exchange)
    call = exchange.call
    call.unwatch()
    call.status, call.streaming = 101, True
    try:
        with contextlib.closing(upstream[0]):
            client = Peer(sock, ConnectionType.SERVER)
            sock.sendall(handshake.accepted(exchange.environ, nonce, request_id=call.request_id, call_id=call.call_id))
            server = Peer(upstream[0], ConnectionType.CLIENT, upstream[1])
            session = Session(call, client, server, _judge(exchange, candidate))
            outcome, cut = session.run()
        _account(exchange, session)
        exchange.plane.pool.mark(candidate.upstream.id, Mark.RESET if outcome is Outcome.UPSTREAM_FAILED else Mark.OK)
        call.fail(outcome, cut.error if cut else None)
    except (OSError, CallCut) as error:
        call.fail(error.outcome if isinstance(error, CallCut) else Outcome.CLIENT_DISCONNECTED, None)
    finally:
        exchange.plane.pool.leave(candidate.upstream.id)
        exchange.plane.places.give_back(call, candidate.upstream)
        exchange.end_connection()
    return TakenOver()


def _open(exchange: Exchange) -> tuple[Candidate, tuple[Any, bytes]]:
    """The first candidate that upgrades, with its socket; it counts as open there. Raises UpstreamError, NoUpstream."""
    plane, call = exchange.plane, exchange.call
    left = list(exchange.candidates)
    failure: UpstreamError | NoUpstream = NoUpstream()
    while left:
        candidate = plane.places.choose(call, left)
        left.remove(candidate)
        upstream = candidate.upstream
        call.attempts += 1
        plane.pool.enter(upstream.id)
        try:
            outgoing = exchange.outgoing_for(candidate)
            call.enter(Phase.ANSWER)
            return candidate, open_socket(
                upstream.base_url,
                outgoing.raw_target,
                [(name, value) for name, value in outgoing.items() if name.lower() not in _NOT_SENT],
                connect_timeout=upstream.timeouts.connect or settings.CONNECT_TIMEOUT,
                head_timeout=upstream.timeouts.first_byte or settings.FIRST_BYTE_TIMEOUT,
            )
        except BaseException as error:
            plane.pool.leave(upstream.id)
            plane.places.give_back(call, upstream)
            if not isinstance(error, UpstreamError):
                raise
            if not isinstance(error, UpgradeRefused) or error.status_code >= 500:
                plane.pool.mark(upstream.id, mark_of(error))
            failure = error
            if isinstance(error, UpgradeRefused) and error.status_code < 500:
                break
    raise failure


def _judge(exchange: Exchange, candidate: Candidate) -> Any:
    identity, pool = exchange.identity, exchange.plane.pool

    def served(model: str) -> str:
        wanted = resolve_alias(identity, model)
        return pool.on(Candidate(candidate.upstream), wanted).served_name or wanted

    def judged(text: str) -> Judged:
        return judge(text, lambda model: may_use_model(identity, model), served)

    return judged


def _account(exchange: Exchange, session: Session) -> None:
    call, usage = exchange.call, session.usage
    if usage is None:
        call.usage_source = UsageSource.UNKNOWN
        return
    call.prompt_tokens, call.completion_tokens = usage.prompt_tokens, usage.completion_tokens
    call.usage_source = UsageSource(usage.source)
