"""The least that each route accepts as its body, for a command that makes a call like another. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.routes import Match

WORDS = "Your words"
MOST_TOKENS = 256
"""Of the answer: a call on a model that reasons would else run for minutes."""
NO_MODEL = "MODEL"
"""Stands where a model has to be named and none is known."""

_TALK: Mapping[str, Any] = {"messages": [{"role": "user", "content": WORDS}]}
_CHAT: Mapping[str, Any] = {"max_tokens": MOST_TOKENS, **_TALK}
_PROMPT: Mapping[str, Any] = {"max_tokens": MOST_TOKENS, "prompt": WORDS}
_RESPONSE: Mapping[str, Any] = {"max_output_tokens": MOST_TOKENS, "input": WORDS}
_INPUT: Mapping[str, Any] = {"input": WORDS}
_SCORE: Mapping[str, Any] = {"text_1": WORDS, "text_2": WORDS}
_RERANK: Mapping[str, Any] = {"query": WORDS, "documents": [WORDS]}

# By vLLM's own path. What is not here has no body that works without knowing the call's.
_BODIES: Mapping[str, Mapping[str, Any]] = {
    "/v1/chat/completions": _CHAT,
    "/v1/chat/completions/batch": {"max_tokens": MOST_TOKENS, "messages": [_TALK["messages"]]},
    "/v1/chat/completions/render": _CHAT,
    "/v1/completions": _PROMPT,
    "/v1/completions/render": _PROMPT,
    "/v1/responses": _RESPONSE,
    "/v1/responses/render": _RESPONSE,
    "/v1/messages": _CHAT,
    "/v1/messages/render": _CHAT,
    "/v1/messages/count_tokens": _TALK,
    "/inference/v1/generate": {"token_ids": [1], "sampling_params": {"max_tokens": MOST_TOKENS}},
    "/cohere/v2/chat": _CHAT,
    "/cohere/v2/chat/render": _CHAT,
    "/invocations": _CHAT,
    "/generative_scoring": {"query": WORDS, "items": [WORDS], "label_token_ids": [0, 1]},
    "/v1/systemone": {"state": WORDS, "questions": {"answer": {"type": "noul", "instructions": WORDS}}},
    "/tokenize": {"prompt": WORDS},
    "/detokenize": {"tokens": [1]},
    "/v1/embeddings": _INPUT,
    "/v2/embed": {"texts": [WORDS], "embedding_types": ["float"]},  # few models know an `input_type`
    "/pooling": _INPUT,
    "/classify": _INPUT,
    "/score": _SCORE,
    "/v1/score": _SCORE,
    "/rerank": _RERANK,
    "/v1/rerank": _RERANK,
    "/v2/rerank": _RERANK,
}

_NEED_MODEL = ("/v1/messages", "/cohere/v2/chat")
"""Below these vLLM asks for a model, as Anthropic and Cohere do; elsewhere it takes the one that it serves."""


def example_of(match: Match, model: str | None, *, streaming: bool) -> dict[str, Any] | None:
    """A body that the route takes, with `NO_MODEL` where it needs one; None where it is not known, or is no JSON."""
    found = _BODIES.get(match.template)
    if found is None or match.form:
        return None
    if model is None and match.template.startswith(_NEED_MODEL):
        model = NO_MODEL
    named = {"model": model} if model is not None else {}
    return {**named, **found, **({"stream": True} if streaming and match.streams else {})}
