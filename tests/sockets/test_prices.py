"""What calls cost, over real sockets: each kind of price, on each face, told in the head and kept in the row."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.support import answers, vllm
from tests.support.databases import Row
from tests.support.exchange import Exchange
from tests.support.gateway import Gateway
from tests.support.http_client import Response
from tests.support.patience import kept_within, wait_for
from tests.support.upstream import Upstream

CHAT = "/vllm/v1/chat/completions"
CACHED = 8
INPUT, OUTPUT, HIT = Decimal("0.001"), Decimal("0.002"), Decimal("0.0001")
BY_TOKENS = (vllm.PROMPT_TOKENS - CACHED) * INPUT + CACHED * HIT + 2 * OUTPUT
WORDS = ("Hel", "lo")
RERANKED = {
    "id": "rerank-1",
    "model": "tiny-chat",
    "usage": {"prompt_tokens": 20, "total_tokens": 20},
    "results": [{"index": 0, "document": {"text": "a"}, "relevance_score": 0.5}],
}
_SETUP = """
from upstreams.models import Deployment, Upstream
upstream = Upstream.objects.get(name="environment")
whole = {"input_cost_per_token": "0.001", "output_cost_per_token": "0.002"}
prices = {
    "tokens": {**whole, "cache_read_input_token_cost": "0.0001"},
    "whole": whole,
    "seconds": {"cost_per_second": "2"},
    "calls": {"cost_per_request": "0.5"},
    "all": {"cost_per_request": "0.5", "input_cost_per_token": "0.001"},
    "changed": {"cost_per_request": "0.5"},
    "free": {},
    "given": {"input_cost_per_token": "0", "output_cost_per_token": "0"},
}
for alias, columns in prices.items():
    Deployment.objects.create(upstream=upstream, alias=alias, served_name="tiny-chat", **columns)
"""


def cached_chat(exchange: Exchange) -> None:
    """A chat completion of two tokens, most of whose prompt was cached; 0.2 seconds long."""
    details = {"prompt_tokens_details": {"cached_tokens": CACHED}}
    exchange.pause(0.2)
    asked = exchange.request.json()
    usage = {"prompt_tokens": vllm.PROMPT_TOKENS, "completion_tokens": 2, "total_tokens": vllm.PROMPT_TOKENS + 2}
    if asked.get("stream"):
        *events, last = vllm.chat_events(WORDS, include_usage=False)
        told = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "tiny-chat", "choices": []}
        answers.stream([*events, answers.event({**told, "usage": {**usage, **details}}), last])(exchange)
    else:
        message = {"role": "assistant", "content": "Hello"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = {"id": "x", "object": "chat.completion", "created": 1, "model": "tiny-chat", "choices": [choice]}
        answers.json(200, {**body, "usage": {**usage, **details}})(exchange)


def script(upstream: Upstream) -> Upstream:
    vllm.serve(upstream, words=WORDS)
    upstream.on("POST /v1/chat/completions", cached_chat)
    upstream.on("POST /v1/rerank", answers.json(200, RERANKED))
    upstream.on("POST /rerank", answers.json(200, RERANKED))
    return upstream


@pytest.fixture(scope="module")
def standing() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield script(upstream)


@pytest.fixture(scope="module")
def gateway(standing: Upstream) -> Iterator[Gateway]:
    with Gateway(HOSTED_VLLM_API_BASE=standing.url) as gateway:
        gateway.shell(_SETUP)
        wait_for(lambda: "given" in str(gateway.call("GET", "/v1/models").json()))
        yield gateway


@pytest.fixture
def upstream(standing: Upstream) -> Upstream:
    with standing.anew():
        return script(standing)


def chat(gateway: Gateway, model: str, target: str = CHAT, **fields: Any) -> Response:
    return gateway.post(target, {"model": model, "messages": [], **fields})


def told(response: Response) -> Decimal | None:
    """What the head says; both headers say the same."""
    ours, litellm_s = response.header("x-gateway-cost"), response.header("x-litellm-response-cost")
    assert response.status == 200
    assert ours == litellm_s
    return None if ours is None else Decimal(ours)


def kept(gateway: Gateway, response: Response) -> Decimal | None:
    """What the row says."""
    cost = gateway.row(response)["cost"]
    return None if cost is None else Decimal(str(cost))


def seconds(row: Row) -> float:
    """How long the call took, as the row has it."""
    ended, received = (
        one if isinstance(one, datetime) else datetime.fromisoformat(str(one))
        for one in (row["ended_at"], row["received_at"])
    )
    return (ended - received).total_seconds()


@pytest.mark.parametrize("target", [CHAT, "/v1/chat/completions"])
def test_cached_tokens_are_priced_apart(gateway: Gateway, upstream: Upstream, target: str) -> None:
    response = chat(gateway, "tokens", target)
    assert told(response) == kept(gateway, response) == BY_TOKENS
    assert gateway.row(response)["cached_tokens"] == CACHED


def test_without_a_price_of_their_own_they_cost_what_others_cost(gateway: Gateway, upstream: Upstream) -> None:
    response = chat(gateway, "whole")
    assert told(response) == kept(gateway, response) == vllm.PROMPT_TOKENS * INPUT + 2 * OUTPUT


@pytest.mark.parametrize("target", [CHAT, "/v1/chat/completions"])
def test_a_stream_s_cost_is_in_its_row_only(gateway: Gateway, upstream: Upstream, target: str) -> None:
    response = chat(gateway, "tokens", target, stream=True)
    assert told(response) is None
    assert kept(gateway, response) == BY_TOKENS


@pytest.mark.parametrize("stream", [True, False])
def test_a_second_has_a_price(gateway: Gateway, upstream: Upstream, stream: bool) -> None:
    response = chat(gateway, "seconds", stream=stream)
    row, cost = gateway.row(response), kept(gateway, response)
    assert cost is not None
    assert float(cost) == pytest.approx(2 * seconds(row), abs=0.003)
    assert cost > Decimal("0.4")
    assert told(response) == (None if stream else cost)


@pytest.mark.parametrize("stream", [True, False])
def test_a_call_has_a_price(gateway: Gateway, upstream: Upstream, stream: bool) -> None:
    response = chat(gateway, "calls", stream=stream)
    assert kept(gateway, response) == Decimal("0.5")
    assert told(response) == (None if stream else Decimal("0.5"))


@pytest.mark.parametrize("stream", [True, False])
def test_a_translated_response_costs_what_its_chat_costs(gateway: Gateway, upstream: Upstream, stream: bool) -> None:
    response = gateway.post("/v1/responses", {"model": "tokens", "input": "Hi", "stream": stream})
    assert told(response) == (None if stream else BY_TOKENS)
    assert kept(gateway, response) == BY_TOKENS


def test_to_look_at_a_stored_response_costs_nothing(gateway: Gateway, upstream: Upstream) -> None:
    made = gateway.post("/v1/responses", {"model": "calls", "input": "Hi"})
    assert told(made) == Decimal("0.5")
    again = gateway.call("GET", f"/v1/responses/{made.json()['id']}")
    assert (told(again), kept(gateway, again)) == (None, None)


@pytest.mark.parametrize("path", ["/v1/rerank", "/vllm/v1/rerank", "/vllm/rerank"])
def test_rerank_costs_its_prompt_and_the_call(gateway: Gateway, upstream: Upstream, path: str) -> None:
    response = gateway.post(path, {"model": "all", "query": "q", "documents": ["a"]})
    assert told(response) == kept(gateway, response) == 20 * INPUT + Decimal("0.5")


def test_without_a_price_there_is_no_cost_and_with_one_of_zero_there_is(gateway: Gateway, upstream: Upstream) -> None:
    free, given = chat(gateway, "free"), chat(gateway, "given")
    assert (told(free), kept(gateway, free)) == (None, None)
    assert (told(given), kept(gateway, given)) == (0, 0)


@pytest.mark.parametrize("path", ["/vllm/v1/models", "/vllm/health", "/vllm/metrics"])
def test_to_look_at_a_server_costs_nothing(gateway: Gateway, upstream: Upstream, path: str) -> None:
    response = gateway.call("GET", path)
    assert (told(response), kept(gateway, response)) == (None, None)


def test_a_call_that_its_client_leaves_costs_what_had_come(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", answers.endless(vllm.chat_events()[1], gap=0.05))
    with gateway.connect() as client:
        body = b'{"model":"tokens","messages":[],"stream":true}'
        client.request("POST", CHAT, [*gateway.headers(), ("x-request-id", "left-early")], body)
        client.read_head()
    row = gateway.row("left-early")
    assert (row["outcome"], row["usage_source"]) == ("client_disconnected", "estimated")
    cost = row["prompt_tokens"] * INPUT + row["completion_tokens"] * OUTPUT
    assert Decimal(str(row["cost"])).quantize(Decimal("0.0001")) == cost


@pytest.mark.parametrize("model", ["tokens", "seconds", "calls"])
def test_what_the_upstream_refuses_costs_nothing(gateway: Gateway, upstream: Upstream, model: str) -> None:
    upstream.on("POST /v1/chat/completions", vllm.error(400, "no"))
    response = chat(gateway, model)
    assert (response.status, response.header("x-gateway-cost"), kept(gateway, response)) == (400, None, 0)


def test_a_budget_is_spent_by_the_second(gateway: Gateway, upstream: Upstream) -> None:
    """Time is not reserved: nobody knows before how long a call will take."""
    secret = gateway.make_key(max_budget=0.3)
    first = gateway.post(CHAT, {"model": "seconds", "messages": []}, key=secret)
    assert told(first) is not None
    refused = wait_for(
        lambda: (one := gateway.post(CHAT, {"model": "seconds", "messages": []}, key=secret)).status == 422 and one
    )
    assert refused.json()["error"]["type"] == "budget_exceeded"


def test_a_price_that_is_changed_holds_within_a_second(gateway: Gateway, upstream: Upstream) -> None:
    row = 'Deployment.objects.filter(alias="changed")'
    prices = iter(Decimal(price) / 10 for price in range(6, 100))

    def once() -> float:
        price = next(prices)
        gateway.shell(f'from upstreams.models import Deployment; {row}.update(cost_per_request="{price}")')
        changed_at = time.monotonic()
        wait_for(lambda: told(chat(gateway, "changed")) == price)
        return time.monotonic() - changed_at

    kept_within(1, once)
