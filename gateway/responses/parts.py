"""Parts of a message: of the Responses API in, of chat completions out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import InvalidRequest

Json = dict[str, Any]

_TEXT = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text"})
_CHATS_OWN = frozenset({"image_url", "audio_url", "video_url", "file", "input_audio"})
"""Parts that vLLM's chat takes in this very form."""


def content_of(content: object, where: str) -> str | list[Json]:
    """The content of a chat message. `where` names the field in errors. Raises InvalidRequest."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidRequest(f"{where} must be a text or a list of parts.", param=where)
    parts = [_part(part, f"{where}[{place}]") for place, part in enumerate(content)]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts


def assistant_content(content: object, where: str) -> str | list[Json]:
    """The same for what the model said: its texts are one text, as it wrote them."""
    parts = content_of(content, where)
    if isinstance(parts, list) and all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: object, where: str) -> Json:
    if not isinstance(part, dict):
        raise InvalidRequest(f"{where} must be an object.", param=where)
    kind = part.get("type")
    if not isinstance(kind, str):
        raise InvalidRequest(f"{where}.type must be a text.", param=f"{where}.type")
    if kind in _TEXT:
        return {"type": "text", "text": _text(part, "text", where)}
    if kind == "input_image":
        return _image(part, where)
    if kind == "input_file":
        return _file(part, where)
    if kind == "refusal":
        return {"type": "refusal", "refusal": _text(part, "refusal", where)}
    if kind in _CHATS_OWN:
        return dict(part)
    raise InvalidRequest(
        f"{where}: a part of type {named(kind)} cannot be translated to chat completions.", param=f"{where}.type"
    )


def _image(part: Mapping[str, Any], where: str) -> Json:
    _refuse_file_id(part, where)
    url: Json = {"url": _text(part, "image_url", where)}
    if part.get("detail"):
        url["detail"] = part["detail"]
    return {"type": "image_url", "image_url": url}


def _file(part: Mapping[str, Any], where: str) -> Json:
    _refuse_file_id(part, where)
    if part.get("file_url"):
        raise InvalidRequest(
            f"{where}: a file_url cannot be translated to chat completions; send file_data.", param=f"{where}.file_url"
        )
    file = {"file_data": _text(part, "file_data", where)}
    if part.get("filename"):
        file["filename"] = str(part["filename"])
    return {"type": "file", "file": file}


def _refuse_file_id(part: Mapping[str, Any], where: str) -> None:
    if part.get("file_id"):
        raise InvalidRequest(f"{where}: this gateway keeps no files, so file_id names none.", param=f"{where}.file_id")


def _text(part: Mapping[str, Any], name: str, where: str) -> str:
    value = part.get(name)
    if not isinstance(value, str):
        raise InvalidRequest(f"{where}.{name} must be a text.", param=f"{where}.{name}")
    return value


def named(kind: object) -> str:
    """A type as it may be repeated in a sentence."""
    return f"'{kind[:60]}'" if isinstance(kind, str) else "that is not a text"
