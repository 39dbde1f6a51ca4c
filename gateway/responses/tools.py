"""Tools, their choice and the format of the text: of the Responses API in, of chat completions out. Pure."""

from __future__ import annotations

from typing import Any

from common.errors import InvalidRequest
from gateway.responses.messages import text_in
from gateway.responses.parts import Json, named

_FUNCTION = ("name", "description", "parameters", "strict")


def tools_of(tools: object) -> list[Json]:
    """Functions as chat has them. Raises InvalidRequest that names any other type of tool."""
    if tools is None:
        return []
    if not isinstance(tools, list):
        raise InvalidRequest("tools must be a list.", param="tools")
    return [_tool(tool, f"tools[{place}]") for place, tool in enumerate(tools)]


def _tool(tool: object, where: str) -> Json:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if not isinstance(tool, dict) or kind != "function":
        raise InvalidRequest(
            f"{where}: a tool of type {named(kind)} cannot be translated to chat completions; only functions can.",
            param=f"{where}.type",
        )
    text_in(tool, "name", where)
    beyond = next((name for name, value in tool.items() if value and name not in _FUNCTION and name != "type"), None)
    if beyond is not None:
        raise InvalidRequest(
            f"{where}: {named(beyond)} cannot be translated to chat completions.", param=f"{where}.{beyond[:60]}"
        )
    return {"type": "function", "function": {name: tool[name] for name in _FUNCTION if tool.get(name) is not None}}


def choose_tools(choice: object, tools: list[Json]) -> tuple[object, list[Json]]:
    """The `tool_choice` and the tools of the chat; None for no choice. Raises InvalidRequest."""
    if choice is None or (choice in ("auto", "none") and not tools):
        return None, tools
    if isinstance(choice, str):
        return choice, tools
    kind = choice.get("type") if isinstance(choice, dict) else None
    if isinstance(choice, dict) and kind == "function":
        return _one(choice, "tool_choice"), tools
    if isinstance(choice, dict) and kind == "allowed_tools":
        return _allowed(choice, tools)
    raise InvalidRequest(
        f"tool_choice: the type {named(kind)} cannot be translated to chat completions.", param="tool_choice"
    )


def _one(choice: dict[str, Any], where: str) -> Json:
    return {"type": "function", "function": {"name": text_in(choice, "name", where)}}


def _allowed(choice: dict[str, Any], tools: list[Json]) -> tuple[object, list[Json]]:
    """Only the allowed ones are offered, which is what being allowed means."""
    listed = choice.get("tools")
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise InvalidRequest("tool_choice.tools must be a list of tools.", param="tool_choice.tools")
    names = [_one(one, f"tool_choice.tools[{place}]")["function"]["name"] for place, one in enumerate(listed)]
    kept = [tool for tool in tools if tool["function"]["name"] in names]
    return (choice.get("mode") or "auto") if kept else None, kept


def response_format(text: object) -> Json | None:
    """chat's `response_format` for `text.format`; None for plain text. Raises InvalidRequest."""
    if text is None:
        return None
    if not isinstance(text, dict):
        raise InvalidRequest("text must be an object.", param="text")
    wanted = text.get("format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if wanted is None or kind == "text":
        return None
    if isinstance(wanted, dict) and kind == "json_object":
        return {"type": "json_object"}
    if isinstance(wanted, dict) and kind == "json_schema":
        names = ("name", "description", "schema", "strict")
        return {
            "type": "json_schema",
            "json_schema": {name: wanted[name] for name in names if wanted.get(name) is not None},
        }
    raise InvalidRequest(
        f"text.format: the type {named(kind)} cannot be translated to chat completions.", param="text.format.type"
    )
