"""How a rerank call on `/v1` is sent and answered."""

from __future__ import annotations

from django.http import HttpResponseBase

from gateway.exchange import Exchange
from gateway.openai import hidden_errors, rerank
from upstreams.errors import UpstreamInvalid

PATH, OTHER_PATH = "/v1/rerank", "/rerank"
NO_SUCH_ROUTE = frozenset({404, 405, 501})


def operate(exchange: Exchange) -> HttpResponseBase:
    """To `/v1/rerank`, or to `/rerank` where that is not known. Raises InvalidRequest, UpstreamError."""
    call = rerank.read(exchange.read_body())
    answer = exchange.send(PATH, call.body)
    if answer.response.status in NO_SUCH_ROUTE:
        refusal, content_type = exchange.read_whole(answer), answer.response.header("content-type")
        exchange.call.attempts -= 1  # it is one upstream that is tried, at two addresses
        other = exchange.send(OTHER_PATH, call.body)
        if other.response.status in NO_SUCH_ROUTE:  # what the first one says is nearer to what was asked
            other.close()
            return exchange.reply(answer, answer.response.status, refusal, content_type or "application/json")
        answer = other
    if answer.response.status != 200:
        return exchange.pass_on(answer)
    body = exchange.read_whole(answer)
    hidden = hidden_errors.error_in(body)
    if hidden is not None:
        return exchange.reply(answer, *hidden)
    told = rerank.answer(call, body)
    if told is None:
        raise UpstreamInvalid("The upstream's answer is no list of results for these documents.")
    return exchange.reply(answer, 200, told)
