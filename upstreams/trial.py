"""One tiny call to a model of an upstream, as an admin's test: directly, with the stored credential, in no account."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from upstreams import answers, client
from upstreams.checking import in_words
from upstreams.errors import CredentialUnreadable, UpstreamError, UpstreamTimeout
from upstreams.fields import Credential

TIMEOUT = 30.0
TOKENS = 16
_HELLO = "Hello"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Kind:
    """One way to call a model: where, with what, and what to show of a good answer."""

    word: str
    path: str
    body: Json
    shown: Callable[[Json], str]


@dataclass(frozen=True, slots=True)
class Trial:
    """How the call went. `text` is a sentence, `answer` what the model said, `seconds` the whole time."""

    ok: bool
    text: str
    answer: str = ""
    seconds: float = 0.0
    path: str = ""
    status: int | None = None


def _chat_text(told: Json) -> str:
    message = _first(told.get("choices")).get("message")
    message = message if isinstance(message, dict) else {}
    return str(message.get("content") or message.get("reasoning") or message.get("reasoning_content") or "")


def _vector(told: Json) -> str:
    vector = _first(told.get("data")).get("embedding")
    return f"a vector of {len(vector)} numbers" if isinstance(vector, list) else ""


def _label(told: Json) -> str:
    return f"label {_first(told.get('data')).get('label')}"


def _score(told: Json) -> str:
    return f"relevance {_first(told.get('results')).get('relevance_score')}"


def _first(rows: object) -> Mapping[str, Any]:
    return rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}


# What a server serves decides which of these it has; the first that is there is called.
_KINDS = (
    _Kind(
        "chat completion",
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": _HELLO}], "max_tokens": TOKENS},
        _chat_text,
    ),
    _Kind(
        "text completion",
        "/v1/completions",
        {"prompt": _HELLO, "max_tokens": TOKENS},
        lambda told: str(_first(told.get("choices")).get("text", "")),
    ),
    _Kind("embedding", "/v1/embeddings", {"input": _HELLO}, _vector),
    _Kind("reranking", "/v1/rerank", {"query": _HELLO, "documents": [_HELLO]}, _score),
    _Kind("classification", "/classify", {"input": _HELLO}, _label),
)


def call(url: str, credential: str | Credential, model: str, *, timeout: float = TIMEOUT) -> Trial:
    """Calls the model by its served name; all tries together take at most `timeout` seconds. Never raises."""
    try:
        plain = credential.reveal() if isinstance(credential, Credential) else credential
    except CredentialUnreadable as error:
        return Trial(ok=False, text=str(error))
    end = time.monotonic() + timeout
    refused: Trial | None = None
    for kind in _KINDS:
        trial = _try(kind, url, plain, model, max(0.1, end - time.monotonic()))
        if trial is None:
            continue
        if trial.ok or not _may_be_another_kind(kind, trial):
            return trial
        refused = refused or trial
    return refused or Trial(
        ok=False, text="This server has no endpoint for text, so there is no tiny call that would fit its models."
    )


def _may_be_another_kind(kind: _Kind, trial: Trial) -> bool:
    """A model without a chat template answers a chat with 400, and completes text."""
    return kind is _KINDS[0] and trial.status == 400


def _try(kind: _Kind, url: str, credential: str, model: str, timeout: float) -> Trial | None:
    """None where the server has no such endpoint."""
    body = json.dumps({"model": model, **kind.body}).encode()
    try:
        answer = client.fetch(url, credential, kind.path, timeout=timeout, method="POST", body=body)
    except UpstreamTimeout:
        text = f"No answer within {timeout:.0f} s: is the server asleep, or very busy?"
        return Trial(ok=False, text=text, path=kind.path, seconds=timeout)
    except UpstreamError as error:
        return Trial(ok=False, text=in_words(error), path=kind.path)
    if answers.is_no_route(answer.status, answer.body):
        return None
    if answer.status != 200:
        return Trial(ok=False, text=_refused(answer), seconds=answer.seconds, path=kind.path, status=answer.status)
    shown = answers.short(kind.shown(answers.json_of(answer.body)))
    text = f"A {kind.word} went well."
    return Trial(ok=True, text=text, answer=shown, seconds=answer.seconds, path=kind.path, status=answer.status)


def _refused(answer: client.Fetched) -> str:
    words = answers.said(answer.body) or f"it answers {answer.status}"
    if answer.status in {401, 403}:
        return "The server wants another credential: enter the API key that it was started with (--api-key)."
    if answer.status == 404:
        return f"The server does not know this model: {words}"
    if answer.status == 503:
        return f"The server has no room for more calls: {words}"
    if answer.status >= 500:
        return f"The server failed, and its own log says more: {words}"
    return f"The server refused the call: {words}"
