"""What one JSON answer, or one event of a stream, says: a token, a failure, its usage, the end of a choice.

Covers the shapes that vLLM 0.32 writes on its chat, completions, responses, messages, transcription, generate and
Cohere routes. JSON in, values out; knows no bytes and no streams.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from gateway.metering.usage import Usage, read_report

Answer = Mapping[str, Any]

_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9 _.-]{0,63}")
_STATUS = re.compile("[0-9]{3}")
_CHOICE_CONTENT = ("text", "token_ids")
_DELTA_CONTENT = ("content", "reasoning", "reasoning_content", "tool_calls", "function_call", "refusal", "audio")


class Failure(NamedTuple):
    """A failure that a 200 answer carries: its type as the upstream names it, and a sentence of ours.

    The upstream's own sentence is not kept: it may quote the prompt.
    """

    type: str = "error"
    text: str = "The upstream's answer ended with an error."
    is_the_callers: bool = False
    """Whether its code is that of a caller's mistake, which says nothing of the upstream."""


ABORTED = Failure("abort", "The upstream broke its answer off.")


def carries_token(event: Answer) -> bool:
    """Whether the event holds a piece of the answer. The first chat event, which only names the role, does not."""
    if "choices" in event:
        return any(map(_choice_carries_token, _choices(event)))
    kind = str(event.get("type"))
    if kind == "content_block_start":
        return _object(event, "content_block").get("type") == "tool_use"
    return kind.endswith(("_delta", ".delta", "-delta")) and kind != "message_delta"


def _choice_carries_token(choice: Answer) -> bool:
    delta = _object(choice, "delta")
    return any(choice.get(name) for name in _CHOICE_CONTENT) or any(delta.get(name) for name in _DELTA_CONTENT)


def usage_of(answer: Answer) -> Usage | None:
    """The usage that the answer reports, wherever its dialect puts it.

    At the top (OpenAI, plain Anthropic), in `response` (responses), `message` or the top (messages), `delta`
    (Cohere's chat), `meta` (Cohere's embed).
    """
    for holder in (answer, *(_object(answer, name) for name in ("response", "message", "delta"))):
        if (usage := read_report(holder.get("usage"))) is not None:
            return usage
    return read_report(answer.get("meta"))


def failure_of(answer: Answer) -> Failure | None:
    """How the answer says that the call failed although its status is 200.

    An `error`, `finish_reason` "abort" (the engine was stopped or told to abort), a response with the status
    "failed". vLLM's messages route says "abort" by leaving `stop_reason` null at the end.
    """
    delta = _object(answer, "delta")
    for holder in (answer, _object(answer, "response"), delta):
        if holder.get("error"):
            return _read_error(holder["error"], answer)
    kind = answer.get("type")
    if kind == "error":
        return Failure()
    if "failed" in (answer.get("status"), _object(answer, "response").get("status")):
        return Failure("failed")
    if delta.get("finish_reason") == "ERROR" or answer.get("finish_reason") == "ERROR":
        return Failure()
    ended_without_reason = (kind == "message" and not answer.get("stop_reason")) or (
        kind == "message_delta" and not delta.get("stop_reason")
    )
    return ABORTED if ended_without_reason or "abort" in finish_reasons(answer) else None


def finish_reasons(answer: Answer) -> list[str]:
    """Why choices ended, for those of the answer that did."""
    reasons = (choice.get("finish_reason") for choice in _choices(answer))
    return [reason for reason in reasons if isinstance(reason, str)]


def is_extra_usage(event: Answer) -> bool:
    """Whether the event is the one that `include_usage` adds: usage, and an empty list of choices."""
    return event.get("choices") == [] and isinstance(event.get("usage"), dict)


def count_token_ids(answer: Answer) -> int:
    """The tokens that a plain answer of `/inference/v1/generate` lists."""
    lists = [choice.get("token_ids") for choice in _choices(answer)]
    return sum(len(ids) for ids in lists if isinstance(ids, list))


def _choices(answer: Answer) -> list[Answer]:
    choices = answer.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def status_of(error: object, answer: Answer) -> int:
    """The status that an answer's error stands for by its code, 502 where it has none."""
    code = error.get("code", answer.get("code")) if isinstance(error, dict) else answer.get("code")
    status = int(code) if isinstance(code, int | str) and _STATUS.fullmatch(str(code)) else 0
    return status if 400 <= status <= 599 else 502


def _read_error(error: object, answer: Answer) -> Failure:
    kind = error.get("type") if isinstance(error, dict) else None
    named = kind if isinstance(kind, str) and _TYPE.fullmatch(kind) else "error"
    return Failure(named, is_the_callers=status_of(error, answer) < 500)


def _object(holder: Answer, name: str) -> Answer:
    value = holder.get(name)
    return value if isinstance(value, dict) else {}
