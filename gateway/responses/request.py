"""A call of the Responses API in, a call of chat completions out. Pure.

What chat completions cannot do is refused by name; nothing is left out in silence. Fields that neither API has are
vLLM's own (`top_k`, `min_p`, `chat_template_kwargs` …) and pass as they are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from common.errors import InvalidRequest
from gateway.responses.messages import messages_of
from gateway.responses.parts import Json, named
from gateway.responses.tools import choose_tools, response_format, tools_of

_RENAMED = {
    "max_output_tokens": "max_completion_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "parallel_tool_calls": "parallel_tool_calls",
    "user": "user",
}
_READ = frozenset(
    (
        "model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "include", "stream",
        "stream_options", "store", "background", "previous_response_id", "top_logprobs", "truncation", "max_tool_calls",
        "metadata",
    )
)  # fmt: skip
_REFUSED = {
    "conversation": "conversations are not kept by this gateway; use previous_response_id",
    "prompt": "prompt templates are not kept by this gateway",
    "max_tool_calls": "built-in tools, whose calls it bounds, cannot be translated to chat completions",
    "previous_input_messages": "it cannot be translated to chat completions",
    "enable_response_messages": "it cannot be translated to chat completions",
    "messages": "the conversation is in 'input' here",
}
_INCLUDED = frozenset(("message.output_text.logprobs", "reasoning.encrypted_content"))
"""What `include` may name. Reasoning is not encrypted here: it stands in the item, as in vLLM's own answers."""


MOST_ITEMS = 10_000
"""Of `input`. Each is translated in a loop that keeps every other call waiting."""


def read(body: bytes) -> Json:
    """The request in a body. Raises InvalidRequest."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The request body is not valid JSON.") from error
    if not isinstance(request, dict):
        raise InvalidRequest("The request body must be a JSON object.")
    return request


def items_of(request: Json) -> list[Any]:
    """The items of `input`; a text is a message of the user's. Raises InvalidRequest."""
    given = request.get("input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    if not isinstance(given, list):
        raise InvalidRequest("input is required: a text or a list of items.", param="input")
    if len(given) > MOST_ITEMS:
        raise InvalidRequest(f"input may have at most {MOST_ITEMS:,} items.", param="input")
    return given


def chat_of(request: Json, model: str | None, history: Sequence[Json], items: Sequence[Any]) -> Json:
    """The chat call for a request whose `input` is these items, after a conversation so far. Raises InvalidRequest."""
    _refuse(request)
    instructions = request.get("instructions")
    chat: Json = {"model": model} if model is not None else {}
    chat["messages"] = [
        *messages_of([] if instructions is None else [_instructions(instructions)], "instructions"),
        *messages_of([*history, *items]),
    ]
    for name, value in request.items():
        if value is not None and name not in _READ:
            chat[_RENAMED.get(name, name)] = value
    _set_tools(chat, request)
    _set_text(chat, request)
    _set_reasoning(chat, request)
    _set_logprobs(chat, request)
    if is_true(request.get("stream")):
        chat["stream"] = True
        chat["stream_options"] = {**_stream_options(request), "include_usage": True}
    return chat


def is_true(value: object) -> bool:
    """Whether a flag is set."""
    return value is True or value in ("true", "True", "1", 1)


def _refuse(request: Json) -> None:
    for name, reason in _REFUSED.items():
        if request.get(name) not in (None, False):
            raise InvalidRequest(f"{name}: {reason}.", param=name)
    if is_true(request.get("background")):
        raise InvalidRequest(
            "background: only a server with a /v1/responses of its own can do this, and this model's has none.",
            param="background",
        )
    if request.get("truncation") not in (None, "disabled"):
        raise InvalidRequest("truncation: only 'disabled' can be translated to chat completions.", param="truncation")
    if request.get("n") not in (None, 1):
        raise InvalidRequest("n: a response has one answer.", param="n")


def _instructions(instructions: object) -> Json:
    if not isinstance(instructions, str):
        raise InvalidRequest("instructions must be a text.", param="instructions")
    return {"role": "system", "content": instructions}


def _set_tools(chat: Json, request: Json) -> None:
    choice, tools = choose_tools(request.get("tool_choice"), tools_of(request.get("tools")))
    if tools:
        chat["tools"] = tools
    if choice is not None:
        chat["tool_choice"] = choice
    if not tools:
        chat.pop("parallel_tool_calls", None)


def _set_text(chat: Json, request: Json) -> None:
    text = request.get("text")
    wanted = response_format(text)
    if wanted is not None:
        chat["response_format"] = wanted
    if isinstance(text, dict) and text.get("verbosity") is not None:
        chat["verbosity"] = text["verbosity"]


def _set_reasoning(chat: Json, request: Json) -> None:
    reasoning = request.get("reasoning")
    if reasoning is None:
        return
    if not isinstance(reasoning, dict):
        raise InvalidRequest("reasoning must be an object.", param="reasoning")
    for name in ("summary", "generate_summary"):
        if reasoning.get(name) not in (None, "auto"):
            raise InvalidRequest(
                f"reasoning.{name}: the reasoning itself is told, and no summary of it.", param=f"reasoning.{name}"
            )
    beyond = sorted(name for name in reasoning if name not in ("effort", "summary", "generate_summary"))
    if beyond and reasoning[beyond[0]] is not None:
        where = f"reasoning.{beyond[0][:60]}"
        raise InvalidRequest(f"{where} cannot be translated to chat completions.", param=where)
    if reasoning.get("effort") is not None:
        chat["reasoning_effort"] = reasoning["effort"]


def _set_logprobs(chat: Json, request: Json) -> None:
    include = request.get("include") or []
    if not isinstance(include, list):
        raise InvalidRequest("include must be a list.", param="include")
    for one in include:
        if not isinstance(one, str) or one not in _INCLUDED:
            raise InvalidRequest(f"include: {named(one)} cannot be translated to chat completions.", param="include")
    most = request.get("top_logprobs")
    if most:
        chat["top_logprobs"] = most
    if most or "message.output_text.logprobs" in include:
        chat["logprobs"] = True


def _stream_options(request: Json) -> Json:
    options = request.get("stream_options") or {}
    if not isinstance(options, dict):
        raise InvalidRequest("stream_options must be an object.", param="stream_options")
    if options.get("include_obfuscation"):
        raise InvalidRequest(
            "stream_options.include_obfuscation cannot be translated to chat completions.",
            param="stream_options.include_obfuscation",
        )
    return {name: value for name, value in options.items() if name != "include_obfuscation"}
