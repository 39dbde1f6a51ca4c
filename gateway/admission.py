"""Whether a call may go on: what its head decides, and then what it is charged. Queries no database.

The head decides before the body is read: who may call and, before a long body, whether limits leave room. Once the body
is there, `admit` finds out where the call can go and takes its charges from the limits of all its parties in one step,
or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.charging import Bill, asked_of, parties_of
from gateway.choosing import choose, is_proven
from gateway.exchange import Exchange
from gateway.faces import Face
from gateway.open_call import OpenCall
from gateway.openai import surface
from gateway.paths import Target
from gateway.plane import RelayPlane
from gateway.route_groups import groups_of
from gateway.routes import Match
from keys.identity import INFERENCE, Identity, Party
from keys.limits import Asked, charges_for
from keys.permissions import check_address, check_class, check_parties, check_route

ANY_CALL = Asked(is_inference=False)
"""For limits that count calls, whatever they use."""

LONG_BODY = 65_536
"""Bytes. Before a body that may be longer limits are asked once more than for others: with a store that processes share
that is a round trip, which is little beside such a body's way here."""


def check_head(identity: Identity, face: Face, target: Target, match: Match, call: OpenCall, plane: RelayPlane) -> None:
    """All that can be told without the body; notes the parties that the head names.

    Raises HolderBlocked, EndUserBlocked, NotFound, EndpointClassDenied, AddressDenied, RouteDenied.
    """
    parties = parties_of(identity, call.end_user, plane.keys.parties)
    if parties:
        call.bill = Bill(parties)
        check_parties(parties, None)
    if not face.verbatim:
        surface.check(target, match)
    check_class(identity, match.endpoint_class)
    check_address(identity, call.client_address)
    if identity.allowed_routes:
        check_route(identity, face.prefix + target.path, groups_of(face, match))


def admit_body(length: int | None, match: Match, call: OpenCall, plane: RelayPlane) -> None:
    """Takes a place for a call whose body may be long (`length` in bytes, None when it is not told), and looks whether
    its minute and its budgets leave anything: nobody fills the disk with what will be refused.

    Raises LimitExceeded, BudgetExceeded, LimitsAway.
    """
    is_long = length is None or length > LONG_BODY
    if not is_long or not any(party.limits.any_set for party in call.bill.parties):
        return
    asked = Asked(counts_tokens=match.is_priced, is_inference=match.is_priced)  # a look at a response uses no budget
    charges = charges_for(call.bill.parties, asked, plane.ledger.of)
    if not charges:
        return
    call.bill.charges = charges
    with call:
        standings = plane.counters.take(call.call_id, [one if one.is_place else one.looking() for one in charges])
    taken = [(charge, standing) for charge, standing in zip(charges, standings, strict=True) if charge.is_place]
    call.bill.note([charge for charge, _ in taken], [standing for _, standing in taken])


def admit(exchange: Exchange) -> None:
    """Finds out where the call can go, and takes what it is charged.

    Raises what `choose` raises, and HolderBlocked, EndUserBlocked, ModelDenied, LimitExceeded, BudgetExceeded,
    LimitsAway.
    """
    knows_end_user = exchange.call.end_user is not None
    choose(exchange)
    parties = _parties(exchange, knows_end_user=knows_end_user)
    if not parties:
        return
    check_parties(parties, _model_to_check(exchange))
    if not any(party.limits.any_set for party in parties):
        return
    if not any(party.limits.by_use for party in parties):
        _take(exchange, ANY_CALL)
        return
    asked = asked_of(exchange.parsed, exchange.match, exchange.model, exchange.candidates)
    _take(exchange, _with_names(exchange, asked))


def admit_visit(exchange: Exchange) -> None:
    """A look at what was made before: it has a place and counts as a call, and uses no model and no budget.

    Raises HolderBlocked, EndUserBlocked, LimitExceeded, LimitsAway.
    """
    _take(exchange, ANY_CALL)


def _parties(exchange: Exchange, *, knows_end_user: bool) -> Sequence[Party]:
    """Those that the head named, and the end user whom only the body names."""
    call = exchange.call
    if call.end_user is not None and not knows_end_user:
        parties = parties_of(exchange.identity, call.end_user, exchange.plane.keys.parties)
        if parties:
            call.bill = replace(call.bill, parties=parties)
    return call.bill.parties


def _take(exchange: Exchange, asked: Asked) -> None:
    call, plane = exchange.call, exchange.plane
    charges = charges_for(call.bill.parties, asked, plane.ledger.of)
    taken, standings = call.bill.charges, call.bill.standings
    if taken:
        known = {charge.counter for charge in taken}
        charges = [charge for charge in charges if charge.counter not in known]
    if not charges:
        return
    call.bill.charges = [*taken, *charges]
    call.bill.standings = ()
    with call:
        told = plane.counters.take(call.call_id, charges)
    call.bill.note([*taken, *charges], [*standings, *told])


def _with_names(exchange: Exchange, asked: Asked) -> Asked:
    """With what the model that answers is called, where the call does not prove which it is: vLLM takes the one that
    it has, which has its limits all the same."""
    match = exchange.match
    if match.endpoint_class != INFERENCE or not (match.names_model or exchange.model_comes_later):
        return asked
    if not exchange.parsed.is_readable:
        return replace(asked, may_be_any=True)
    if not exchange.model_comes_later and exchange.model is not None and is_proven(exchange):
        return asked
    names = {name for one in exchange.candidates for name in exchange.plane.pool.names_at(one.upstream.id)}
    return replace(asked, names=tuple(sorted(names)), may_be_any=not names)


def _model_to_check(exchange: Exchange) -> str | None:
    """The model that a team's list must hold; "" where it cannot be told, None where nothing has to be checked."""
    if exchange.match.endpoint_class != INFERENCE or (exchange.model_comes_later and exchange.call.model is None):
        return None
    if exchange.call.model is not None or not exchange.parsed.is_readable:
        return (exchange.model if is_proven(exchange) else None) or ""
    return exchange.plane.pool.served_model_of(exchange.candidates[0].upstream.id) or ""
