"""What the request log says about the tokens of a call, against what vLLM says about them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from gateway.routes import ROUTES
from tests.support.databases import Row
from tests.support.http_client import Response
from tests.support.patience import wait_for
from tests.vllm import cases
from tests.vllm.cases import CONTINUOUS, SEVERAL, STREAM, USAGE
from tests.vllm.comparing import Call
from tests.vllm.conftest import Site
from tests.vllm.servers import skip_without_the_route

pytestmark = pytest.mark.vllm

_CHAT, _COMPLETIONS = "/v1/chat/completions", "/v1/completions"
_RESPONSES, _MESSAGES = "/v1/responses", "/v1/messages"
_TRANSCRIPTIONS, _TRANSLATIONS = "/v1/audio/transcriptions", "/v1/audio/translations"
Told = tuple[int | None, int | None, int | None, int | None]
"""Prompt, completion, cached and reasoning tokens."""


def _post(target: str, body: Any) -> Call:
    return Call("POST", target, body)


def _form(target: str, **fields: str) -> Call:
    body, headers = cases.form(cases.tone(), **fields)
    return Call("POST", target, body, headers)


def _think(**fields: Any) -> Call:
    asked = [{"role": "user", "content": cases.QUESTIONS["reasoning"]}]
    return _post(_CHAT, cases.chat("tiny-tools", 200, messages=asked, **fields))


# A long prompt twice: the second time its beginning is cached.
_LONG = [{"role": "user", "content": "the gateway passes it on " * 60}]
_RUNNING = {"stream_include_usage": "true", "stream_continuous_usage_stats": "true"}

# kind, name, the call, and the call that makes vLLM tell the usage when the call itself does not
REPORTED: list[tuple[str, str, Call, Call | None]] = [
    ("chat", "chat", _post(_CHAT, cases.chat()), None),
    ("chat", "chat by its short path", _post("/chat/completions", cases.chat()), _post(_CHAT, cases.chat())),
    ("chat", "chat stream", _post(_CHAT, cases.chat(**STREAM)), _post(_CHAT, cases.chat(**USAGE))),
    ("chat", "chat stream with usage", _post(_CHAT, cases.chat(**USAGE)), None),
    ("chat", "chat stream with running usage", _post(_CHAT, cases.chat(**CONTINUOUS)), None),
    ("chat", "chat of several", _post(_CHAT, cases.chat(**SEVERAL)), None),
    (
        "chat",
        "chat stream of several",
        _post(_CHAT, cases.chat(**SEVERAL, **STREAM)),
        _post(_CHAT, cases.chat(**SEVERAL, **USAGE)),
    ),
    ("chat", "chat, cached", _post(_CHAT, cases.chat(messages=_LONG)), None),
    (
        "chat",
        "chat stream, cached",
        _post(_CHAT, cases.chat(messages=_LONG, **STREAM)),
        _post(_CHAT, cases.chat(messages=_LONG, **USAGE)),
    ),
    ("chat", "chat batch", _post(f"{_CHAT}/batch", cases.BATCH), None),
    ("chat", "completion", _post(_COMPLETIONS, cases.completion()), None),
    (
        "chat",
        "completion stream",
        _post(_COMPLETIONS, cases.completion(**STREAM)),
        _post(_COMPLETIONS, cases.completion(**USAGE)),
    ),
    ("chat", "response", _post(_RESPONSES, cases.response()), None),
    ("chat", "response stream", _post(_RESPONSES, cases.response(**STREAM)), None),
    ("chat", "message", _post(_MESSAGES, cases.messages()), None),
    ("chat", "message stream", _post(_MESSAGES, cases.messages(**STREAM)), None),
    ("chat", "tokenize", _post("/tokenize", {"model": "tiny-chat", "messages": cases.HELLO}), None),
    ("chat", "invocation", _post("/invocations", cases.chat()), None),
    ("chat", "invocation stream with usage", _post("/invocations", cases.chat(**USAGE)), None),
    ("chat", "generate", _post("/inference/v1/generate", cases.generate()), None),
    ("chat", "Cohere's chat", _post("/cohere/v2/chat", cases.COHERE), None),
    ("chat", "Cohere's chat stream", _post("/cohere/v2/chat", {**cases.COHERE, **STREAM}), None),
    ("chat", "generative scoring", _post("/generative_scoring", cases.SCORING), None),
    ("tools", "chat with thoughts", _think(), None),
    ("tools", "chat stream with thoughts", _think(**STREAM), _think(**USAGE)),
    ("embed", "embeddings", _post("/v1/embeddings", cases.embed()), None),
    ("embed", "embeddings as base64", _post("/v1/embeddings", cases.embed(encoding_format="base64")), None),
    ("embed", "embeddings as bytes", _post("/v1/embeddings", cases.embed(encoding_format="bytes")), None),
    ("embed", "many embeddings", _post("/v1/embeddings", cases.embed(input=["Hello there"] * 300)), None),
    ("embed", "Cohere's embeddings", _post("/v2/embed", cases.EMBED_2), None),
    ("embed", "pooling", _post("/pooling", {"model": "tiny-embed", "input": "Hello there"}), None),
    ("embed", "score", _post("/score", cases.score("tiny-embed")), None),
    ("rerank", "rerank", _post("/v1/rerank", cases.rerank("tiny-rerank")), None),
    ("rerank", "score by a reranker", _post("/v1/score", cases.score("tiny-rerank")), None),
    ("classify", "classify", _post("/classify", {"model": "tiny-classify", "input": ["Hello there", "Bye"]}), None),
    ("whisper", "transcription stream with usage", _form(_TRANSCRIPTIONS, stream="true", **_RUNNING), None),
    ("whisper", "translation stream with usage", _form(_TRANSLATIONS, stream="true", **_RUNNING), None),
]
_NOT_REPORTED = [
    ("chat", "generate stream", _post("/inference/v1/generate", cases.generate(**STREAM)), "estimated", 6),
    ("chat", "invocation stream", _post("/invocations", cases.chat(**STREAM)), "estimated", 12),
    ("chat", "running usage alone", _post(_CHAT, cases.chat(stream=True, stream_options=None)), "reported", 12),
    ("whisper", "transcription stream", _form(_TRANSCRIPTIONS, stream="true"), "estimated", 12),
    ("whisper", "transcription, told in seconds", _form(_TRANSCRIPTIONS), "unknown", None),
    ("embed", "bytes only", _post("/v1/embeddings", cases.embed(encoding_format="bytes_only")), "unknown", None),
]
_REFUSED = [
    ("chat", "unknown model", _post(_CHAT, cases.chat(model="nope"))),
    ("chat", "too long a prompt in a stream", _post(_COMPLETIONS, cases.completion(prompt=cases.TOO_LONG, **STREAM))),
]


def _parameters(rows: list[Any]) -> list[Any]:
    return [pytest.param(kind, *rest, id=f"{kind}: {name}") for kind, name, *rest in rows]


@pytest.mark.parametrize(("site", "call", "telling"), _parameters(REPORTED), indirect=["site"])
def test_the_log_says_what_vllm_says(site: Site, call: Call, telling: Call | None) -> None:
    _call(site, call)  # what can be cached is cached from here on
    headers, body = (telling or call).parts()
    told = _told(site.server.call("POST", (telling or call).target, headers, body))
    row, _ = _call(site, call)
    assert row["usage_source"] == "reported"
    assert (row["prompt_tokens"], row["completion_tokens"]) == told[:2]
    assert (row["cached_tokens"] or 0, row["reasoning_tokens"] or 0) == (told[2] or 0, told[3] or 0)
    assert row["outcome"] == "completed"


@pytest.mark.parametrize("site", ["chat"], indirect=True)
@pytest.mark.parametrize("streams", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("target", [_CHAT, _COMPLETIONS, _RESPONSES, _MESSAGES, "/inference/v1/generate"])
def test_the_log_says_what_the_engine_counted(site: Site, target: str, streams: bool) -> None:
    before = _engine_counts(site)
    row, _ = _call(site, _post(target, {**_BODIES[target], "stream": streams}))
    wait_for(lambda: _engine_counts(site) != before, 5)
    after = _engine_counts(site)
    prompt, completion = (now - then for now, then in zip(after, before, strict=True))
    if row["usage_source"] == "reported":
        assert (row["prompt_tokens"], row["completion_tokens"]) == (prompt, completion)
    else:  # where vLLM tells nothing: one token an event, and it may put several into one
        assert 0 < row["completion_tokens"] <= completion


_BODIES: Mapping[str, Any] = {
    _CHAT: cases.chat(),
    _COMPLETIONS: cases.completion(),
    _RESPONSES: cases.response(),
    _MESSAGES: cases.messages(),
    "/inference/v1/generate": cases.generate(),
}


@pytest.mark.parametrize(("site", "call", "source", "tokens"), _parameters(_NOT_REPORTED), indirect=["site"])
def test_the_log_says_how_it_knows(site: Site, call: Call, source: str, tokens: int | None) -> None:
    row, response = _call(site, call)
    assert row["usage_source"] == source
    if source == "estimated":
        tokens = min(tokens or 0, sum(_carries_token(event) for event in _objects(response)))
    assert row["completion_tokens"] == tokens


@pytest.mark.parametrize(("site", "call"), _parameters(_REFUSED), indirect=["site"])
def test_a_refused_call_used_nothing(site: Site, call: Call) -> None:
    row, response = _call(site, call)
    assert (row["usage_source"], row["completion_tokens"]) == ("none", None)
    assert (row["status"], row["error_type"]) == (response.status, response.json()["error"]["type"])


@pytest.mark.parametrize("site", ["chat"], indirect=True)
def test_a_stream_has_its_times_and_bytes(site: Site) -> None:
    row, response = _call(site, _post(_CHAT, cases.chat(**STREAM)))
    assert row["streaming"]
    assert row["ttft_ms"] > 0
    assert row["bytes_out"] == len(response.body)
    assert row["served_model"] == "tiny-chat"


def test_every_meter_of_the_catalogue_is_held_against_vllm() -> None:
    rows = [*REPORTED, *_NOT_REPORTED]
    called = {call.target for _, _, call, *_ in rows}
    covered = {route.meter for route in ROUTES if {route.template, route.default_path} & called}
    # Structured decisions are made by models of a few architectures, none of which these are.
    assert {route.meter for route in ROUTES if route.meter} - covered == {"systemone"}


def _call(site: Site, call: Call) -> tuple[Row, Response]:
    """Calls through the gateway; the row and the answer."""
    headers, body = call.parts()
    response = site.gateway.call(call.method, f"/vllm{call.target}", headers, body, key=site.secret, timeout=60)
    skip_without_the_route(call.target, response.status)
    return site.gateway.row(response), response


def _engine_counts(site: Site) -> tuple[float, float]:
    counter = site.server.counter
    return counter("vllm:prompt_tokens_total"), counter("vllm:generation_tokens_total")


def _told(response: Response) -> Told:
    """The last usage that vLLM tells in an answer, read in the simplest way."""
    usages = [usage for holder in _objects(response) for usage in _usages(holder)]
    return usages[-1]


def _objects(response: Response) -> list[Any]:
    if metadata := response.header("metadata"):
        return [json.loads(metadata)]
    if "event-stream" not in (response.header("content-type") or ""):
        return [response.json()]
    return [json.loads(event) for event in response.events() if event != "[DONE]"]


def _usages(value: Any) -> Iterator[Told]:
    """Every usage inside the value, in order."""
    if isinstance(value, list):
        for item in value:
            yield from _usages(item)
    if not isinstance(value, dict):
        return
    if value.keys() & {"prompt_tokens", "input_tokens"}:
        yield _usage(value)
    elif "count" in value and "max_model_len" in value:
        yield value["count"], 0, None, None
    else:
        for item in value.values():
            yield from _usages(item)


def _usage(usage: Mapping[str, Any]) -> Told:
    prompt = usage.get("prompt_tokens", usage.get("input_tokens"))
    completion = usage.get("completion_tokens", usage.get("output_tokens")) or 0
    prompt_details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    details = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    return prompt, completion, prompt_details.get("cached_tokens"), details.get("reasoning_tokens")


def _carries_token(event: Any) -> bool:
    choice = next(iter(event["choices"]), {})
    return bool(choice.get("token_ids") or (choice.get("delta") or {}).get("content"))
