"""A responses call on an upstream that only has chat completions: translated there and back."""

from __future__ import annotations

from collections.abc import Sequence

from django.http import HttpResponseBase

from gateway.errors import ResponseUnknown
from gateway.exchange import Exchange
from gateway.metering.sse import parse_object
from gateway.openai import hidden_errors
from gateway.responses import request as requests_in
from gateway.responses.answer import response_of
from gateway.responses.conversation import Conversation, resolve
from gateway.responses.envelope import FAILED, Envelope
from gateway.responses.events import encoded
from gateway.responses.owner import find_mine
from gateway.responses.parts import Json
from gateway.responses.store import Owned
from gateway.responses.stream import StreamTranslator
from upstreams.errors import UpstreamInvalid
from upstreams.selection import Candidate

CHAT = "/v1/chat/completions"


def create(
    exchange: Exchange, before: Owned | None, *, stores: bool = True, only: Candidate | None = None
) -> HttpResponseBase:
    """A new response by way of a chat completion, after the conversation up to another one.

    Raises InvalidRequest with the field that cannot be translated, ResponseUnknown, UpstreamError.
    """
    request = requests_in.read(exchange.read_body())
    history = _items_of(before) if before is not None else ()
    items = resolve(requests_in.items_of(request), history, lambda response_id: _items_by_id(exchange, response_id))
    chat = requests_in.chat_of(request, exchange.model, history, items)
    if before is not None:  # its server may still have the conversation in its prefix cache
        exchange.candidates.sort(key=lambda one: one.upstream.id != before.upstream_id)
    answer = exchange.send(CHAT, encoded(chat), only=only)
    if answer.response.status != 200:
        return exchange.pass_on(answer)
    envelope = Envelope(request, exchange.call.model or "")

    def keep(response: Json) -> None:
        if stores:
            _keep(exchange, answer.candidate, Conversation([*history, *items, *response["output"]], response))

    if answer.is_stream:
        return exchange.stream(answer, StreamTranslator(envelope, keep))
    body = exchange.read_whole(answer)
    hidden = hidden_errors.error_in(body)
    if hidden is not None:
        return exchange.reply(answer, *hidden)
    response = response_of(parse_object(body) or {}, envelope)
    if response is None:
        raise UpstreamInvalid("The upstream's answer is no chat completion.")
    if response["status"] != FAILED:
        keep(response)
    return exchange.reply(answer, 200, encoded(response))


def _keep(exchange: Exchange, candidate: Candidate, conversation: Conversation) -> None:
    """Before the response is told to be complete, so that whoever goes on from it at once finds it."""
    store = exchange.plane.responses
    owned = store.owned_now(
        str(conversation.response["id"]),
        exchange.identity,
        upstream_id=candidate.upstream.id,
        upstream_name=candidate.upstream.name,
        model=exchange.call.model,
        translated=True,
    )
    with exchange.call:
        store.keep(owned, conversation)


def _items_of(before: Owned) -> Sequence[Json]:
    conversation = before.conversation()
    if conversation is None:
        raise ResponseUnknown(before.response_id, param="previous_response_id", dropped=True)
    return conversation.items


def _items_by_id(exchange: Exchange, response_id: str) -> Sequence[Json]:
    owned = find_mine(exchange, response_id)
    conversation = owned.conversation() if owned is not None else None
    return conversation.items if conversation is not None else ()
