"""Answers of the scripted upstream in vLLM 0.32's own words: models, health, version, metrics, chat, completions.

Plain and streamed, with and without `stream_options.include_usage` and `continuous_usage_stats`, in exactly the
field order, spacing and chunking that a real server sends. Ids, times and token counts are fixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tests.support import answers
from tests.support.exchange import Behaviour, Exchange
from tests.support.upstream import Upstream

CREATED = 1795214804
FINGERPRINT = "vllm-0.32.0-85c684f2"
WORDS = (" was", "mall", " for", "atus", " mode", " cho", " warm", " be", "pro", " client", "nesday", "cri")
PROMPT_TOKENS = 13

Json = dict[str, Any]


def serve(upstream: Upstream, *, model: str = "tiny-chat", words: Sequence[str] = WORDS, gap: float = 0.0) -> None:
    """Scripts an upstream as a healthy chat server; `gap` is the time between two tokens in seconds."""
    upstream.on("GET /v1/models", models(model))
    upstream.on("GET /health", health())
    upstream.on("GET /ping", health())
    upstream.on("GET /version", version())
    upstream.on("GET /metrics", metrics(model))
    upstream.on("POST /v1/chat/completions", chat(model=model, words=words, gap=gap))
    upstream.on("POST /v1/completions", completions(model=model, words=words, gap=gap))


def health(status: int = 200) -> Behaviour:
    """Empty, without a content type."""
    return answers.body(b"", status=status)


def version(text: str = "0.32.0") -> Behaviour:
    return answers.json(200, {"version": text})


def models(*names: str) -> Behaviour:
    """The list of models."""
    rows = [{"id": name, "object": "model", "created": CREATED, "owned_by": "vllm", **_MODEL_REST} for name in names]
    return answers.json(200, {"object": "list", "data": rows})


def metrics(model: str = "tiny-chat", *, running: int = 0, waiting: int = 0) -> Behaviour:
    """The two gauges of the queue, as Prometheus text."""
    labels = f'{{engine="0",model_name="{model}"}}'
    text = f"vllm:num_requests_running{labels} {running}.0\nvllm:num_requests_waiting{labels} {waiting}.0\n"
    content_type = "text/plain; version=1.0.0; charset=utf-8"
    return answers.body(text.encode(), headers=[("content-type", content_type)])


def unauthorized() -> Behaviour:
    """What vLLM says to a missing or wrong API key."""
    return answers.json(401, {"error": "Unauthorized"})


def error(status: int, message: str, kind: str = "BadRequestError", param: str | None = None) -> Behaviour:
    """An error in vLLM's own shape; its code is the status as a number."""
    return answers.json(status, {"error": {"message": message, "type": kind, "param": param, "code": status}})


def chat(
    *,
    model: str = "tiny-chat",
    words: Sequence[str] = WORDS,
    gap: float = 0.0,
    before: float = 0.0,
    finish: str = "length",
) -> Behaviour:
    """Chat completions; streams when the request says `stream`, the first event `before` seconds after the head."""
    return lambda exchange: _generate(exchange, _Chat(exchange, model, words, finish), gap, before)


def completions(
    *, model: str = "tiny-chat", words: Sequence[str] = WORDS, gap: float = 0.0, before: float = 0.0
) -> Behaviour:
    """Text completions, otherwise as `chat`."""
    return lambda exchange: _generate(exchange, _Completion(exchange, model, words), gap, before)


def chat_events(words: Sequence[str] = WORDS, *, include_usage: bool = False, model: str = "tiny-chat") -> list[bytes]:
    """The events of a chat stream, [DONE] included."""
    return _Chat(None, model, words).events({"include_usage": include_usage})


_MODEL_REST: Json = {"root": "/models/chat", "parent": None, "max_model_len": 2048, "permission": []}


class _Chat:
    """Builds the bodies of one chat completion."""

    kind, stream_kind, prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"
    cached: Json = {"prompt_tokens_details": {"cached_tokens": 0, "created_cache_tokens": 0, "multimodal_tokens": None}}
    cached_streamed: Json = {"prompt_tokens_details": {"cached_tokens": 0, "created_cache_tokens": 0}}
    continuous: Json = {"completion_tokens_details": None}
    first_rest: Json = {"prompt_token_ids": None, "prompt_text": None}
    nothings: tuple[str, ...] = (
        "prompt_logprobs",
        "prompt_token_ids",
        "prompt_text",
        "kv_transfer_params",
        "ec_transfer_params",
        "metrics",
    )

    def __init__(
        self, exchange: Exchange | None, model: str, words: Sequence[str], finish_reason: str = "length"
    ) -> None:
        given = exchange.request.header("x-request-id") if exchange else None
        self.id = f"{self.prefix}-{given or '88c31022cfabdf22'}"
        self.model = model
        self.words = words
        self.finish_reason = finish_reason

    def usage(self, tokens: int) -> Json:
        return {"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS + tokens, "completion_tokens": tokens}

    def _envelope(self, kind: str, choices: list[Json]) -> Json:
        return {"id": self.id, "object": kind, "created": CREATED, "model": self.model, "choices": choices}

    def whole(self) -> Json:
        usage = {**self.usage(len(self.words)), **self.cached, "completion_tokens_details": None}
        ends = {"service_tier": None, "system_fingerprint": FINGERPRINT, "usage": usage}
        return {**self._envelope(self.kind, [self.choice()]), **ends, **dict.fromkeys(self.nothings)}

    def choice(self) -> Json:
        nothings = dict.fromkeys(["refusal", "annotations", "audio", "function_call", "reasoning"])
        message = {"role": "assistant", "content": "".join(self.words), **nothings}
        finish = {"logprobs": None, "finish_reason": self.finish_reason, "stop_reason": None, "token_ids": None}
        return {"index": 0, "message": message, **finish, "routed_experts": None}

    def opening(self) -> Iterator[Json]:
        role = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
        yield self._envelope(self.stream_kind, [role])

    def delta(self, word: str, *, last: bool) -> Json:
        finish = {"finish_reason": self.finish_reason, "stop_reason": None} if last else {"finish_reason": None}
        return {"index": 0, "delta": {"content": word}, "logprobs": None, **finish, "token_ids": None}

    def events(self, options: Json) -> list[bytes]:
        """All events; `options` is the request's stream_options."""
        wants_usage = bool(options.get("include_usage"))
        chunks = list(self.opening())
        chunks += [
            self._envelope(self.stream_kind, [self.delta(word, last=number == len(self.words))])
            for number, word in enumerate(self.words, 1)
        ]
        if wants_usage and options.get("continuous_usage_stats"):
            opened = len(chunks) - len(self.words)
            for number, chunk in enumerate(chunks):
                usage = self.usage(max(0, number - opened + 1))
                chunk["usage"] = {**usage, **self.continuous}
        chunks[0].update(self.first_rest)
        if wants_usage:
            usage = {**self.usage(len(self.words)), **self.cached_streamed}
            chunks.append({**self._envelope(self.stream_kind, []), "usage": usage})
        chunks[-1]["system_fingerprint"] = FINGERPRINT
        return [*map(answers.event, chunks), answers.event("[DONE]")]


class _Completion(_Chat):
    """The same for a text completion: `text` instead of a delta, and no role chunk."""

    kind, stream_kind, prefix = "text_completion", "text_completion", "cmpl"
    cached: Json = {
        "prompt_tokens_details": {"cached_tokens": 0, "created_cache_tokens": None, "multimodal_tokens": None}
    }
    cached_streamed: Json = {"prompt_tokens_details": {"cached_tokens": 0}}
    continuous: Json = {}
    first_rest: Json = {}
    nothings: tuple[str, ...] = ("kv_transfer_params", "ec_transfer_params", "metrics")

    def choice(self) -> Json:
        finish = {"logprobs": None, "finish_reason": self.finish_reason, "stop_reason": None, "token_ids": None}
        nothings = dict.fromkeys(["prompt_logprobs", "prompt_token_ids", "routed_experts"])
        return {"index": 0, "text": "".join(self.words), **finish, **nothings}

    def opening(self) -> Iterator[Json]:
        return iter(())

    def delta(self, word: str, *, last: bool) -> Json:
        reason = self.finish_reason if last else None
        rest = {"logprobs": None, "finish_reason": reason, "stop_reason": None, "prompt_token_ids": None}
        return {"index": 0, "text": word, **rest, "token_ids": None}


def _generate(exchange: Exchange, built: _Chat, gap: float, before: float) -> None:
    asked = exchange.request.json()
    if asked.get("stream"):
        events = built.events(asked.get("stream_options") or {})
        answers.stream(events, gap, before=before, headers=[("vary", "Origin")])(exchange)
    else:
        exchange.pause(before + gap * len(built.words))
        answers.json(200, built.whole(), [("vary", "Origin")])(exchange)
