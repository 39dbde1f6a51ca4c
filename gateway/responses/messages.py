"""Items of the Responses API in, messages of chat completions out. Pure.

What the model said in one turn (reasoning, text, calls of functions) are several items there and one message here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from common.errors import InvalidRequest
from gateway.responses.parts import Json, assistant_content, content_of, named

_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}


def messages_of(items: Iterable[object], where: str = "input") -> list[Json]:
    """The messages of a conversation. Raises InvalidRequest with the item that cannot be translated."""
    writer = _Writer()
    for place, item in enumerate(items):
        writer.add(item, f"{where}[{place}]")
    writer.end_turn()
    return writer.messages


class _Writer:
    """Gathers the model's own items into a turn until another's item comes."""

    def __init__(self) -> None:
        self.messages: list[Json] = []
        self._turn: Json = {}

    def add(self, item: object, where: str) -> None:
        if not isinstance(item, dict):
            raise InvalidRequest(f"{where} must be an object.", param=where)
        kind = item.get("type") or "message"
        if kind == "message":
            self._message(item, where)
        elif kind == "function_call":
            self._function_call(item, where)
        elif kind == "function_call_output":
            self._function_output(item, where)
        elif kind == "reasoning":
            self._reasoning(item, where)
        elif kind == "refusal":
            self._said([{"type": "refusal", "refusal": text_in(item, "refusal", where)}])
        else:
            raise InvalidRequest(
                f"{where}: an item of type {named(kind)} cannot be translated to chat completions.",
                param=f"{where}.type",
            )

    def end_turn(self) -> None:
        turn, self._turn = self._turn, {}
        if turn:
            turn.setdefault("content", None if turn.get("tool_calls") else "")
            self.messages.append({"role": "assistant", **turn})

    def _message(self, item: Mapping[str, Any], where: str) -> None:
        asked = item.get("role")
        role = _ROLES.get(asked) if isinstance(asked, str) else None
        if role is None:
            raise InvalidRequest(f"{where}.role must be user, assistant, system or developer.", param=f"{where}.role")
        if role == "assistant":
            self._said(assistant_content(item.get("content"), f"{where}.content"))
            return
        self.end_turn()
        self.messages.append({"role": role, "content": content_of(item.get("content"), f"{where}.content")})

    def _said(self, content: str | list[Json]) -> None:
        before = self._turn.get("content")
        if before is not None and self._turn.get("tool_calls"):  # the outputs must come next
            content = _joined(before, content)
        elif before is not None:
            self.end_turn()
        self._turn["content"] = content

    def _function_call(self, item: Mapping[str, Any], where: str) -> None:
        function = {"name": text_in(item, "name", where), "arguments": text_in(item, "arguments", where)}
        call = {"id": text_in(item, "call_id", where), "type": "function", "function": function}
        self._turn.setdefault("tool_calls", []).append(call)

    def _function_output(self, item: Mapping[str, Any], where: str) -> None:
        call_id = text_in(item, "call_id", where)
        output = content_of(item.get("output"), f"{where}.output")
        self.end_turn()
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": output})

    def _reasoning(self, item: Mapping[str, Any], where: str) -> None:
        texts = _texts(item.get("content")) or _texts(item.get("summary"))
        if not texts:
            if item.get("encrypted_content"):
                raise InvalidRequest(
                    f"{where}: reasoning that is there only encrypted cannot be read by the model.",
                    param=f"{where}.encrypted_content",
                )
            return
        if self._turn and not self._turn.get("tool_calls"):
            self.end_turn()
        before = [self._turn["reasoning"]] if "reasoning" in self._turn else []  # its calls' outputs must come next
        self._turn["reasoning"] = "\n".join([*before, *texts])


def _joined(before: str | list[Json], after: str | list[Json]) -> str | list[Json]:
    if isinstance(before, str) and isinstance(after, str):
        return before + after
    return [*_as_parts(before), *_as_parts(after)]


def _as_parts(content: str | list[Json]) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _texts(parts: object) -> list[str]:
    if not isinstance(parts, list):
        return []
    return [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]


def text_in(item: Mapping[str, Any], name: str, where: str) -> str:
    """A field that must be a text. Raises InvalidRequest."""
    value = item.get(name)
    if not isinstance(value, str):
        raise InvalidRequest(f"{where}.{name} must be a text.", param=f"{where}.{name}")
    return value
