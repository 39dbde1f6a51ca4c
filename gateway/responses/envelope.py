"""The Response object around an output, its items and its usage, as the Responses API has them. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from gateway.responses.parts import Json

COMPLETED, INCOMPLETE, FAILED, IN_PROGRESS = "completed", "incomplete", "failed", "in_progress"

_ECHOED = (
    "instructions", "max_output_tokens", "max_tool_calls", "previous_response_id", "prompt_cache_key",
    "safety_identifier", "service_tier", "temperature", "top_logprobs", "top_p", "user",
)  # fmt: skip
_ITEM_ID = re.compile(r"(?:rs|msg|fc)_([0-9a-f]{32})_\d+")


def response_of_item(item_id: str) -> str | None:
    """The id of the response in which an item of ours stands; None for ids that are not ours."""
    ours = _ITEM_ID.fullmatch(item_id)
    return f"resp_{ours[1]}" if ours else None


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a response says of the request that it answers. `hex_id` is the random part of all its ids."""

    request: Mapping[str, Any]
    model: str = ""
    hex_id: str = field(default_factory=lambda: uuid4().hex)
    clock: Callable[[], float] = time.time

    @property
    def response_id(self) -> str:
        return f"resp_{self.hex_id}"

    def item_id(self, prefix: str, place: int) -> str:
        """The id of the item at a place of the output."""
        return f"{prefix}_{self.hex_id}_{place}"

    def response(
        self,
        status: str,
        output: Sequence[Json] = (),
        *,
        created_at: int,
        model: str | None = None,
        usage: Json | None = None,
        incomplete: str | None = None,
        error: Json | None = None,
    ) -> Json:
        """The whole object."""
        request = self.request
        ended = status == COMPLETED
        return {
            "id": self.response_id,
            "object": "response",
            "created_at": created_at,
            **({"completed_at": int(self.clock())} if ended else {}),
            "status": status,
            "background": False,
            "error": error,
            "incomplete_details": {"reason": incomplete} if incomplete else None,
            "model": model or self.model,
            "output": list(output),
            **{name: request.get(name) for name in _ECHOED},
            "metadata": request.get("metadata") or {},
            "parallel_tool_calls": request.get("parallel_tool_calls") is not False,
            "reasoning": request.get("reasoning"),
            "store": request.get("store") is not False,
            "text": _text(request.get("text")),
            "tool_choice": request.get("tool_choice") or "auto",
            "tools": [{"parameters": None, "strict": None, **tool} for tool in request.get("tools") or ()],
            "truncation": "disabled",
            "usage": usage,
        }


def _text(text: object) -> Json:
    given = text if isinstance(text, dict) else {}
    return {**given, "format": given.get("format") or {"type": "text"}}


def reasoning_item(item_id: str, text: str, status: str) -> Json:
    """What the model thought."""
    content = [{"type": "reasoning_text", "text": text}] if text or status != IN_PROGRESS else None
    return {
        "id": item_id,
        "type": "reasoning",
        "summary": [],
        "content": content,
        "encrypted_content": None,
        "status": status,
    }


def message_item(item_id: str, parts: Sequence[Json], status: str) -> Json:
    """What the model said."""
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": list(parts)}


def text_part(text: str, logprobs: Sequence[Json] = ()) -> Json:
    """A text of the model's."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(logprobs)}


def refusal_part(refusal: str) -> Json:
    """The model's refusal."""
    return {"type": "refusal", "refusal": refusal}


def function_item(item_id: str, call_id: str, name: str, arguments: str, status: str) -> Json:
    """A call of one of the client's functions."""
    return {
        "id": item_id,
        "type": "function_call",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": status,
    }


def usage_of(usage: object) -> Json | None:
    """The counts of a chat answer under their names here; None without any."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    before, after = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    before, after = (details if isinstance(details, dict) else {} for details in (before, after))
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": _count(before.get("cached_tokens")),
            "cache_write_tokens": _count(before.get("created_cache_tokens")),
        },
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": _count(after.get("reasoning_tokens"))},
        "total_tokens": _count(usage.get("total_tokens")) or prompt + completion,
    }


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def logprobs_of(choice: Mapping[str, Any]) -> list[Json]:
    """The log probabilities of a choice's tokens, complete as the types want them."""
    logprobs = choice.get("logprobs")
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(tokens, list):
        return []
    told = []
    for token in tokens:
        if isinstance(token, dict):
            top = token.get("top_logprobs")
            others = [_logprob(one) for one in top if isinstance(one, dict)] if isinstance(top, list) else []
            told.append({**_logprob(token), "top_logprobs": others})
    return told


def _logprob(token: Mapping[str, Any]) -> Json:
    text = token.get("token")
    text = text if isinstance(text, str) else ""
    return {
        "token": text,
        "bytes": token.get("bytes") or list(text.encode("utf-8", "replace")),
        "logprob": token.get("logprob") or 0.0,
    }


def error_of(said: object) -> Json:
    """A response's `error` for what an upstream said of its failure, in whatever shape."""
    message = said.get("message") if isinstance(said, dict) else said
    return {"code": "server_error", "message": message if isinstance(message, str) and message else "The model failed."}


def verdict(finish_reason: str | None) -> tuple[str, str | None]:
    """Status and `incomplete_details.reason` for why a choice ended. None: it did not."""
    if finish_reason == "length":
        return INCOMPLETE, "max_output_tokens"
    if finish_reason == "content_filter":
        return INCOMPLETE, "content_filter"
    if finish_reason in (None, "abort", "error"):
        return FAILED, None
    return COMPLETED, None


ABORTED = {"code": "server_error", "message": "The upstream broke its answer off."}
CUT = {"code": "server_error", "message": "The upstream's answer ended before its end."}
