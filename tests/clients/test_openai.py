"""OpenAI's own library, with nothing changed but its base URL and its key."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.clients.conftest import FACES, MODEL, TOOL_CALL, WORDS, sent_model
from tests.support import answers, vllm
from tests.support.gateway import Gateway
from tests.support.upstream import Upstream

MESSAGES: Any = [{"role": "user", "content": "Hi"}]


@pytest.fixture(params=FACES)
def client(gateway: Gateway, upstream: Upstream, key: str, request: pytest.FixtureRequest) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.url + request.param, api_key=key, max_retries=0) as client:
        yield client


def test_models_are_listed_and_retrieved(gateway: Gateway, upstream: Upstream, key: str) -> None:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key) as client:
        assert MODEL in [model.id for model in client.models.list()]
        assert client.models.retrieve(MODEL).id == MODEL
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("absent")


def test_a_chat(client: openai.OpenAI, upstream: Upstream) -> None:
    done = client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_body={"top_k": 3})
    assert done.choices[0].message.content == "".join(WORDS)
    assert done.usage is not None
    assert done.usage.completion_tokens == len(WORDS)
    assert (sent_model(upstream), upstream.calls[-1].json()["top_k"]) == ("tiny-chat", 3)


@pytest.mark.parametrize("wants_usage", [False, True])
def test_a_streamed_chat(client: openai.OpenAI, wants_usage: bool) -> None:
    options: Any = {"stream_options": {"include_usage": True}} if wants_usage else {}
    with client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, **options) as stream:
        chunks = list(stream)
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == "".join(WORDS)
    assert [bool(chunk.usage) for chunk in chunks][-1] is wants_usage


def test_tools(client: openai.OpenAI, upstream: Upstream) -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL, {**TOOL_CALL, "id": "call_2"}]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "tiny-chat", "choices": [choice]}
    upstream.on("POST /v1/chat/completions", answers.json(200, body))
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    done = client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=[tool])
    assert [call.id for call in done.choices[0].message.tool_calls or []] == ["call_1", "call_2"]


def test_a_completion(client: openai.OpenAI) -> None:
    assert client.completions.create(model=MODEL, prompt="Hi").choices[0].text == "".join(WORDS)


def test_an_embedding(client: openai.OpenAI, upstream: Upstream) -> None:
    done = client.embeddings.create(model=MODEL, input=["a"], encoding_format="float")
    assert done.data[0].embedding == [0.25, -0.5]
    assert sent_model(upstream) == "tiny-chat"


def test_a_transcription(client: openai.OpenAI, upstream: Upstream) -> None:
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(b"\0" * 32_000)
    done = client.audio.transcriptions.create(model=MODEL, file=("a.wav", sound.getvalue()))
    assert done.text == "hello"
    form = upstream.calls[-1].body
    assert b"tiny-chat" in form
    assert MODEL.encode() not in form
    assert sound.getvalue() in form


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, openai.BadRequestError), (429, openai.RateLimitError), (503, openai.InternalServerError)],
)
def test_an_error_of_the_server_is_the_library_s_own(
    client: openai.OpenAI, upstream: Upstream, status: int, kind: type[openai.APIStatusError]
) -> None:
    upstream.on("POST /v1/chat/completions", vllm.error(status, "That is wrong."))
    with pytest.raises(kind, match=r"That is wrong\."):
        client.chat.completions.create(model=MODEL, messages=MESSAGES)


@pytest.mark.parametrize("face", FACES)
def test_a_refusal_of_the_gateway_is_the_library_s_own(gateway: Gateway, upstream: Upstream, face: str) -> None:
    narrow = gateway.make_key(models=["other"])
    for key, kind in (("sk-of-nobody-0123456789", openai.AuthenticationError), (narrow, openai.PermissionDeniedError)):
        with (
            openai.OpenAI(base_url=gateway.url + face, api_key=key, max_retries=0) as client,
            pytest.raises(kind),
        ):
            client.chat.completions.create(model=MODEL, messages=MESSAGES)
