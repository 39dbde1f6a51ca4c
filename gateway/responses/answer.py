"""A plain answer of chat completions in, a Response object out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.responses.envelope import (
    ABORTED,
    COMPLETED,
    FAILED,
    INCOMPLETE,
    Envelope,
    function_item,
    logprobs_of,
    message_item,
    reasoning_item,
    refusal_part,
    text_part,
    usage_of,
    verdict,
)
from gateway.responses.parts import Json


def response_of(chat: Mapping[str, Any], envelope: Envelope) -> Json | None:
    """The response for a chat answer; None when that is none."""
    choices = chat.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        return None
    status, incomplete = verdict(choice.get("finish_reason"))
    created, model = chat.get("created"), chat.get("model")
    return envelope.response(
        status,
        output_of(choice, message, envelope, status),
        created_at=created if isinstance(created, int) else int(envelope.clock()),
        model=model if isinstance(model, str) else None,
        usage=usage_of(chat.get("usage")),
        incomplete=incomplete,
        error=ABORTED if status == FAILED else None,
    )


def output_of(choice: Mapping[str, Any], message: Mapping[str, Any], envelope: Envelope, status: str) -> list[Json]:
    """Reasoning, text and calls of functions, in this order: the one in which the model writes them."""
    output: list[Json] = []
    reasoning = message.get("reasoning") or message.get("reasoning_content")
    if isinstance(reasoning, str) and reasoning:
        output.append(reasoning_item(envelope.item_id("rs", 0), reasoning, COMPLETED))
    calls = message.get("tool_calls")
    calls = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    parts = _parts(choice, message)
    if not parts and not calls and status == COMPLETED:
        parts = [text_part("")]
    if parts:
        output.append(message_item(envelope.item_id("msg", len(output)), parts, COMPLETED))
    for call in calls:
        place = len(output)
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        call_id = call.get("id") or f"call_{envelope.hex_id}_{place}"
        name, arguments = str(function.get("name") or ""), str(function.get("arguments") or "")
        output.append(function_item(envelope.item_id("fc", place), str(call_id), name, arguments, COMPLETED))
    if output and status != COMPLETED:
        output[-1]["status"] = INCOMPLETE
    return output


def _parts(choice: Mapping[str, Any], message: Mapping[str, Any]) -> list[Json]:
    parts: list[Json] = []
    content, refusal = message.get("content"), message.get("refusal")
    if isinstance(content, str) and content:
        parts.append(text_part(content, logprobs_of(choice)))
    if isinstance(refusal, str) and refusal:
        parts.append(refusal_part(refusal))
    return parts
