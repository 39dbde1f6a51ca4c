"""One gateway and one scripted server for the client libraries that people use; nothing leaves this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import answers, vllm
from tests.support.exchange import Exchange
from tests.support.gateway import Gateway
from tests.support.patience import wait_for
from tests.support.upstream import Upstream

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the internet at import

FACES = ("/v1", "/vllm/v1")
MODEL = "org/tiny"
WORDS = list(vllm.WORDS)

_SETUP = """
from upstreams.models import Deployment, Upstream
upstream = Upstream.objects.get(name="environment")
Deployment.objects.create(upstream=upstream, alias="org/tiny", served_name="tiny-chat")
"""

TOOL_CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.sockets)
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning"))


@pytest.fixture(scope="session")
def standing() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def gateway(standing: Upstream) -> Iterator[Gateway]:
    vllm.serve(standing)
    with Gateway(HOSTED_VLLM_API_BASE=standing.url) as gateway:
        gateway.shell(_SETUP)
        wait_for(lambda: MODEL in str(gateway.call("GET", "/v1/models").json()))
        yield gateway


@pytest.fixture
def upstream(standing: Upstream) -> Upstream:
    standing.forget()
    vllm.serve(standing)
    standing.on("POST /v1/embeddings", answers.json(200, _EMBEDDING))
    standing.on("POST /v1/messages", _messages)
    standing.on("POST /v1/messages/count_tokens", answers.json(200, {"input_tokens": 8}))
    standing.on(
        "POST /v1/audio/transcriptions",
        answers.json(200, {"text": "hello", "usage": {"type": "duration", "seconds": 1}}),
    )
    standing.on("POST /v1/rerank", answers.json(200, _RANKS))
    standing.on("POST /rerank", answers.json(200, _RANKS))
    return standing


@pytest.fixture(scope="session")
def key(gateway: Gateway) -> str:
    return gateway.make_key(key_alias="developer")


def sent_model(upstream: Upstream) -> Any:
    """The model that the server was asked for last."""
    return upstream.calls[-1].json()["model"]


_EMBEDDING = {
    "id": "embd-1",
    "object": "list",
    "created": 1,
    "model": "tiny-chat",
    "data": [{"index": 0, "object": "embedding", "embedding": [0.25, -0.5]}],
    "usage": {"prompt_tokens": 3, "total_tokens": 3, "completion_tokens": 0, "prompt_tokens_details": None},
}
_RANKS = {
    "id": "score-1",
    "model": "tiny-chat",
    "usage": {"prompt_tokens": 6, "total_tokens": 6},
    "results": [
        {"index": 1, "document": {"text": "b", "multi_modal": None}, "relevance_score": 0.9},
        {"index": 0, "document": {"text": "a", "multi_modal": None}, "relevance_score": 0.1},
    ],
}
_MESSAGE = {
    "id": "chatcmpl-1",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "text", "text": "Hello"}],
    "model": "tiny-chat",
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 2},
}


def _messages(exchange: Exchange) -> None:
    if not exchange.request.json().get("stream"):
        answers.json(200, _MESSAGE)(exchange)
        return
    block = {"type": "text", "text": ""}
    events = [
        {"type": "message_start", "message": {**_MESSAGE, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    answers.stream([b"event: " + event["type"].encode() + b"\n" + answers.event(event) for event in events])(exchange)
