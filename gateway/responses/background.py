"""What a background response has used is told when it is asked for after its end: then it is settled, once.

The call that made it was answered before anything was used, so its reservation stands until then. One that streams it
is told what it has used, and settled as all others; where its client leaves before that, the reservation stands.
"""

from __future__ import annotations

import time

from django.http import HttpResponseBase

from gateway.charging import reserved
from gateway.exchange import Exchange
from gateway.metering.answers import usage_of
from gateway.metering.plain_meter import Meter
from gateway.metering.sse import parse_object
from gateway.open_call import OpenCall
from gateway.responses.store import Owned, Pending
from keys.counters import Spent
from keys.limits import is_of_tokens
from keys.permissions import resolve_alias
from upstreams.errors import ModelHidden
from upstreams.selection import Candidate

TERMINAL = frozenset({"completed", "failed", "incomplete", "cancelled"})


def pending_of(call: OpenCall) -> tuple[Pending, ...]:
    """What budgets hold for a call whose response is made in the background; a cost that depends on no tokens is known
    at once, and is not held."""
    now = time.time()
    is_told_later = call.prices is not None and call.prices.by_tokens
    return tuple(
        Pending(one.counter, one.amount, None if one.seconds is None else now + one.seconds)
        for one in reserved(call.bill)
        if is_told_later or is_of_tokens(one.counter)
    )


def read(exchange: Exchange, owned: Owned, upstream: Candidate) -> HttpResponseBase:
    """A response that was made in the background, and has not been settled: settled now, if it has ended."""
    answer = exchange.send(only=_priced(exchange, owned, upstream))
    content_type = answer.response.header("content-type")
    if answer.response.status != 200 or "json" not in content_type:
        return exchange.pass_on(answer)
    body = exchange.read_whole(answer)
    told = parse_object(body) or {}
    usage = usage_of(told)
    if told.get("status") in TERMINAL:
        with exchange.call:
            pending = exchange.plane.responses.claim(owned)
        if pending is not None:
            if usage is not None:
                answer.meter = Meter(usage)
                _price(exchange.call, answer.candidate)
            _take_back(exchange.call, pending)
    return exchange.reply(answer, 200, body, content_type)


def _priced(exchange: Exchange, owned: Owned, upstream: Candidate) -> Candidate:
    """The upstream as the call that made the response met it: with the prices of its model."""
    if owned.model is None:
        return upstream
    try:
        return exchange.plane.pool.on(upstream, resolve_alias(exchange.identity, owned.model))
    except ModelHidden:
        return upstream


def _price(call: OpenCall, candidate: Candidate) -> None:
    """The call costs what the response did, unless the call that made it has told that already."""
    if candidate.prices is not None and candidate.prices.by_tokens:
        call.prices = candidate.prices


def _take_back(call: OpenCall, pending: tuple[Pending, ...]) -> None:
    """What was reserved; in its place the call books what it tells of."""
    now = time.time()
    call.taken_back = [
        Spent(one.counter, one.amount, None if one.ends_at is None else max(0.001, one.ends_at - now))
        for one in pending
    ]
