"""LiteLLM's library, which takes the gateway for a hosted vLLM."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from tests.clients.conftest import FACES, MODEL, WORDS, sent_model
from tests.support.gateway import Gateway
from tests.support.upstream import Upstream

pytestmark = pytest.mark.filterwarnings("ignore")
MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def litellm() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import litellm

    litellm.telemetry = False
    return litellm


@pytest.fixture(params=FACES)
def options(gateway: Gateway, upstream: Upstream, key: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"model": f"hosted_vllm/{MODEL}", "api_base": gateway.url + request.param, "api_key": key, "num_retries": 0}


def test_a_completion(litellm: Any, options: dict[str, Any], upstream: Upstream) -> None:
    done = litellm.completion(messages=MESSAGES, **options)
    assert done.choices[0].message.content == "".join(WORDS)
    assert sent_model(upstream) == "tiny-chat"


def test_a_streamed_completion(litellm: Any, options: dict[str, Any]) -> None:
    stream = litellm.completion(messages=MESSAGES, stream=True, **options)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "".join(WORDS)


def test_an_embedding(litellm: Any, options: dict[str, Any]) -> None:
    assert litellm.embedding(input=["a"], **options).data[0]["embedding"] == [0.25, -0.5]


def test_ranks(litellm: Any, options: dict[str, Any]) -> None:
    done = litellm.rerank(query="q", documents=["a", "b"], top_n=2, **options)
    assert [result["index"] for result in done.results] == [1, 0]


def test_a_refusal(litellm: Any, options: dict[str, Any]) -> None:
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(messages=MESSAGES, **{**options, "api_key": "sk-of-nobody-0123456789"})
