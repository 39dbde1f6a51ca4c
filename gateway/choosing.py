"""Where a call may go, and whether its key may use the model that would answer. Queries no database."""

from __future__ import annotations

from gateway import named_model
from gateway.account.decisions import BY_DEFAULT, BY_FALLBACK, BY_MODEL, BY_NAME
from gateway.account.entry import MAX_LENGTHS, clean_text
from gateway.body.prompt import prompt_prefix
from gateway.errors import DuplicateModel, ModelUnknown
from gateway.exchange import Exchange
from keys.identity import INFERENCE
from keys.permissions import check_model, check_served, check_upstream, may_use_model, resolve_alias
from upstreams.selection import NO_HINTS, Candidate, Hints


def choose(exchange: Exchange) -> None:
    """Finds out which model the call names, who is behind it, and which upstreams may take it.

    Raises DuplicateModel, ModelDenied, ModelUnknown, UpstreamDenied, NoUpstream.
    """
    call, parsed = exchange.call, exchange.parsed
    if call.end_user is None and parsed.user:
        call.end_user = clean_text(parsed.user, MAX_LENGTHS["end_user"])
    _read_model(exchange)
    named = _named_upstream(exchange)
    is_open = exchange.model_comes_later and call.model is None
    if exchange.identity.models and exchange.match.endpoint_class == INFERENCE and not is_open:
        _check_model(exchange, named)
    if named is not None:
        exchange.candidates = [exchange.plane.pool.on(named, exchange.model)]
        call.decisions.way = BY_NAME
        return
    if exchange.model is not None and not exchange.face.verbatim:
        _check_known(exchange)
    hints = _hints(exchange)
    exchange.candidates = list(exchange.plane.pool.candidates(exchange.model, hints))
    way = _way(exchange.candidates[0])
    call.decisions.note_choice(way, exchange.model, exchange.candidates, hints, exchange.plane.pool)


def _way(first: Candidate) -> str:
    if first.alias is not None:
        return BY_MODEL
    return BY_FALLBACK if first.upstream.id is None else BY_DEFAULT


def is_proven(exchange: Exchange) -> bool:
    """Whether vLLM will take the model that the call names. Where it reads a body, that alone decides (the model of an
    engine's path is put into it): a query proves nothing there, and nothing proves what an unreadable body says."""
    parsed = exchange.parsed
    return not exchange.match.names_model or (parsed.is_readable and bool(parsed.model or exchange.model_in_path))


def _read_model(exchange: Exchange) -> None:
    """Notes the model that the call names, and the one that this stands for."""
    call, match = exchange.call, exchange.match
    # Where vLLM reads no body, what one says of a model proves nothing.
    is_told = match.names_model or match.endpoint_class != INFERENCE
    in_body = exchange.parsed.model if is_told else None
    call.model = _asked_for(in_body, exchange.path.query, exchange.model_in_path)
    exchange.model = call.model and resolve_alias(exchange.identity, call.model)


def _asked_for(in_body: str | None, query: str, in_path: str | None) -> str | None:
    """The one model that is named in any of them. Raises DuplicateModel when they name two."""
    in_query = named_model.in_query(query) if "model=" in query else None
    if not in_query and not in_path:
        return in_body or None
    named = {name for name in (in_body, in_query, in_path) if name}
    if len(named) > 1:
        raise DuplicateModel
    return named.pop()


def _named_upstream(exchange: Exchange) -> Candidate | None:
    name = exchange.face.upstream
    if name is None:
        name = exchange.environ.get("HTTP_X_GATEWAY_UPSTREAM")
    if name is None:
        return None
    check_upstream(exchange.identity, name)
    return exchange.plane.pool.named(name)


def _check_model(exchange: Exchange, named: Candidate | None) -> None:
    model, pool = exchange.call.model, exchange.plane.pool
    if model is not None or not exchange.parsed.is_readable:
        check_model(exchange.identity, model if is_proven(exchange) else None)
    else:  # vLLM takes the one that it has
        served = pool.default_served_model() if named is None else pool.served_model_of(named.upstream.id)
        check_served(exchange.identity, served)


def _check_known(exchange: Exchange) -> None:
    """Raises ModelUnknown where no upstream has the model and others are known."""
    pool, model = exchange.plane.pool, exchange.model
    if model is None or pool.knows(model):
        return
    known = [one.alias for one in pool.models()]
    if known:
        usable = [alias for alias in known if may_use_model(exchange.identity, alias)]
        raise ModelUnknown(exchange.call.model or model, usable)


def _hints(exchange: Exchange) -> Hints:
    session = exchange.environ.get("HTTP_X_SESSION_ID")
    wanted = exchange.plane.pool.prefix_bytes(exchange.model)
    priority = exchange.identity.priority
    if session is None and not wanted and not priority:
        return NO_HINTS
    return Hints(session, prompt_prefix(exchange.parsed.body, wanted) if wanted else b"", priority)
