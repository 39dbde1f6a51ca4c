"""What both databases can keep of JSON: no NUL, no lone surrogate, no infinite number, no endless depth. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

DEEPEST = 20


def unstorable(value: object) -> str | None:
    """Why the value cannot be kept, as a sentence; None when it can."""
    level: list[object] = [value]
    for _ in range(DEEPEST):
        if not level:
            return None
        if any(isinstance(item, str) and not _is_storable(item) for item in level):
            return "The text holds a character that cannot be stored."
        if any(isinstance(item, float) and not math.isfinite(item) for item in level):
            return "The number is not finite."
        level = [inner for item in level for inner in _parts(item)]
    return "The value is nested too deeply." if level else None


def _parts(item: object) -> Iterable[object]:
    if isinstance(item, dict):
        return (*item.keys(), *item.values())
    return item if isinstance(item, list) else ()


def _is_storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
