"""Calls of the Responses API on every face: a response stays with the key that made it and the upstream that has it.

On `/v1` a server that has no `/v1/responses` gets a chat completion instead (`translated`); the others are verbatim.
"""

from __future__ import annotations

from urllib.parse import parse_qs

from django.http import HttpResponseBase

from common.errors import InvalidRequest
from gateway.admission import admit_visit
from gateway.errors import ResponseUnknown
from gateway.exchange import Exchange
from gateway.openai import hidden_errors
from gateway.relay import RelayedAnswer
from gateway.responses import asked as asked_for
from gateway.responses import background, translated
from gateway.responses.asked import Asked
from gateway.responses.events import encoded
from gateway.responses.native import MISSING, IdReader, is_missing, is_missing_for_all
from gateway.responses.owner import candidate_for_next, check_wanted, find_mine, named_in_path, upstream_of
from gateway.responses.request import is_true
from gateway.responses.store import Owned
from upstreams.errors import UpstreamBroken
from upstreams.health import Mark


def create(exchange: Exchange) -> HttpResponseBase:
    """`POST /v1/responses`. Raises InvalidRequest, ResponseUnknown, UpstreamError."""
    asked, before = _read(exchange)
    if not exchange.face.verbatim:
        if before is not None and before.translated:
            return translated.create(exchange, before, stores=asked.stores)
        if before is None and exchange.plane.native_routes.are_missing(exchange.candidates[0].upstream.id):
            return translated.create(exchange, None, stores=asked.stores)
    _bind(exchange, before)
    answer = exchange.send()
    if not exchange.face.verbatim and before is None and answer.response.status in MISSING:
        return _refused(exchange, answer, asked)
    if answer.response.status == 200 and asked.stores:
        _note(exchange, answer, asked)
    return _pass_on(exchange, answer)


def render(exchange: Exchange) -> HttpResponseBase:
    """`POST /v1/responses/render`: shows the prompt, with the conversation before it."""
    _, before = _read(exchange)
    _bind(exchange, before)
    return _pass_on(exchange, exchange.send())


def visit(exchange: Exchange) -> HttpResponseBase:
    """Anything below `/v1/responses/{id}`. Raises ResponseUnknown, LimitExceeded."""
    response_id = named_in_path(exchange)
    owned = find_mine(exchange, response_id)
    if owned is None:
        raise ResponseUnknown(response_id)
    exchange.call.model = owned.model
    if owned.translated:  # no upstream has a part in it, so the one that made it may be gone
        check_wanted(exchange, owned)
        return _visit_here(exchange, owned)
    upstream = upstream_of(exchange, owned)
    admit_visit(exchange)
    if owned.pending is not None and exchange.call.method == "GET" and exchange.match.template.endswith("/{id}"):
        return background.read(exchange, owned, upstream)
    return _pass_on(exchange, exchange.send(only=upstream))


def _visit_here(exchange: Exchange, owned: Owned) -> HttpResponseBase:
    """A response that the gateway has itself."""
    if exchange.match.template.endswith("/cancel"):
        raise InvalidRequest("Cannot cancel a synchronous response.", param="response_id")
    conversation = owned.conversation()
    is_read = exchange.call.method in ("GET", "HEAD") and exchange.match.template.endswith("/{id}")
    if conversation is None or not is_read:
        raise ResponseUnknown(owned.response_id, dropped=is_read)
    if is_true(parse_qs(exchange.path.query).get("stream", ["false"])[-1].casefold()):
        raise InvalidRequest("This response is kept whole, not as a stream.", param="stream")
    return exchange.answer_locally(200, encoded(conversation.response))


def _read(exchange: Exchange) -> tuple[Asked, Owned | None]:
    """What the call says of other responses, and the one before it. Raises InvalidRequest, ResponseUnknown."""
    body = exchange.parsed.body
    asked = asked_for.read(body.in_turns(), body.length)
    if asked.chosen is not None and asked.stores:
        with exchange.call:
            there = exchange.plane.responses.find(asked.chosen)
        if there is not None and not there.is_for(exchange.identity):
            raise InvalidRequest("request_id: this id is taken.", param="request_id")
    if asked.previous is None:
        return asked, None
    before = find_mine(exchange, asked.previous)
    if before is None:
        raise ResponseUnknown(asked.previous, param="previous_response_id")
    return asked, before


def _bind(exchange: Exchange, before: Owned | None) -> None:
    """Leaves only the upstream that has the response before."""
    if before is None:
        return
    if before.translated:  # no upstream knows it
        raise ResponseUnknown(before.response_id, param="previous_response_id")
    exchange.candidates = [candidate_for_next(exchange, before)]


def _refused(exchange: Exchange, answer: RelayedAnswer, asked: Asked) -> HttpResponseBase:
    """A 404, 405 or 501: is the route missing, or what was asked for?"""
    status, content_type = answer.response.status, answer.response.header("content-type")
    body = exchange.read_whole(answer)
    if not is_missing(status, body):
        return exchange.reply(answer, status, body, content_type)
    if is_missing_for_all(exchange.path.path, body):
        exchange.plane.native_routes.note_missing(answer.candidate.upstream.id)
    call = exchange.call
    call.error_type = call.error_text = None
    call.attempts -= 1  # it is one upstream that is tried, at two addresses
    return translated.create(exchange, None, stores=asked.stores, only=answer.candidate)


def _note(exchange: Exchange, answer: RelayedAnswer, asked: Asked) -> None:
    """Notes whose the new response is before its id passes. What was read for that passes after it as it came."""
    reader = IdReader(is_stream=answer.is_stream)
    try:
        begun, is_all = answer.ahead, False
        while not reader.look(begun, is_all=is_all):
            more = answer.peek()
            begun, is_all = more, len(more) == len(begun)
        if reader.response_id is not None:
            store, upstream = exchange.plane.responses, answer.candidate.upstream
            is_told_later = asked.background and not answer.is_stream
            exchange.call.outlives = asked.background and answer.is_stream
            owned = store.owned_now(
                reader.response_id,
                exchange.identity,
                upstream_id=upstream.id,
                upstream_name=upstream.name,
                model=exchange.call.model,
                pending=background.pending_of(exchange.call) if is_told_later else None,
            )
            with exchange.call:
                store.keep(owned, in_memory=asked.chosen is None)
    except UpstreamBroken:
        answer.mark(Mark.RESET)
        answer.close()
        raise
    except BaseException:
        answer.close()
        raise


def _pass_on(exchange: Exchange, answer: RelayedAnswer) -> HttpResponseBase:
    return exchange.pass_on(answer) if exchange.face.verbatim else hidden_errors.tell(exchange, answer)
