"""Anthropic's own library, with nothing changed but its base URL and its key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.clients.conftest import MODEL, sent_model
from tests.support.gateway import Gateway
from tests.support.upstream import Upstream

MESSAGES: Any = [{"role": "user", "content": "Hi"}]


@pytest.fixture(params=["", "/vllm"])
def client(
    gateway: Gateway, upstream: Upstream, key: str, request: pytest.FixtureRequest
) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.url + request.param, api_key=key, max_retries=0) as client:
        yield client


def test_a_message(client: anthropic.Anthropic, upstream: Upstream) -> None:
    done = client.messages.create(model=MODEL, max_tokens=5, messages=MESSAGES)
    assert (done.content[0].type, done.usage.output_tokens) == ("text", 2)
    assert sent_model(upstream) == "tiny-chat"
    assert upstream.calls[-1].header("x-api-key") is None


def test_a_streamed_message(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model=MODEL, max_tokens=5, messages=MESSAGES) as stream:
        assert "".join(stream.text_stream) == "Hello"
        assert stream.get_final_message().stop_reason == "end_turn"


def test_counted_tokens(client: anthropic.Anthropic) -> None:
    assert client.messages.count_tokens(model=MODEL, messages=MESSAGES).input_tokens == 8


def test_a_refusal_is_the_library_s_own(gateway: Gateway, upstream: Upstream) -> None:
    with (
        anthropic.Anthropic(base_url=gateway.url, api_key="sk-of-nobody-0123456789", max_retries=0) as client,
        pytest.raises(anthropic.AuthenticationError),
    ):
        client.messages.create(model=MODEL, max_tokens=5, messages=MESSAGES)
