"""What a vLLM server answered to a question of the gateway's own: its error in a sentence. Pure."""

from __future__ import annotations

import json
from typing import Any

MOST_CHARACTERS = 300


def json_of(body: bytes) -> dict[str, Any]:
    """The JSON object that was answered; an empty one when it is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def said(body: bytes) -> str:
    """vLLM's own words for what is wrong, on one line and not too long; "" when there are none."""
    told = json_of(body)
    error = told.get("error", told.get("detail", told.get("message", "")))
    if isinstance(error, dict):
        error = error.get("message", "")
    return short(error) if isinstance(error, str) else ""


def is_no_route(status: int, body: bytes) -> bool:
    """Whether the server has no such endpoint. (An unknown model or adapter is a 404 as well, in other words.)"""
    return status in {404, 405} and json_of(body).get("detail") in {"Not Found", "Method Not Allowed"}


def short(text: str) -> str:
    """Text of a server on one line, without control characters, cut where it is too long."""
    line = "".join(one if one.isprintable() else " " for one in " ".join(text.split()))
    return line if len(line) <= MOST_CHARACTERS else line[: MOST_CHARACTERS - 1] + "…"
