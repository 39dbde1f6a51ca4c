"""Server-sent events as bytes: where one ends, what JSON it carries, how a field is added to it.

Follows the line rules of the HTML standard (LF, CRLF or CR; a blank line ends an event; comments begin with a
colon). Knows no meter and no meaning: bytes in, bytes and values out.
"""

from __future__ import annotations

import json
import re
from typing import Any

from common.fast_json import decoded

_BLANK_LINE = re.compile(rb"\n\r?\n|\r\r")
_SEAM = 2  # one byte less than the longest blank line


class Cutter:
    """Cuts a stream that arrives in pieces of any size after the blank line that ends each event."""

    __slots__ = ("_seam",)

    def __init__(self) -> None:
        self._seam = b""  # the last bytes of an unfinished event: its blank line may have begun there

    def cut(self, chunk: bytes) -> list[tuple[bytes, bool]]:
        """The chunk in pieces, each with whether an event ends with it. Joined they are the chunk again."""
        seam = self._seam
        pieces: list[tuple[bytes, bool]] = []
        start = 0
        for blank in _BLANK_LINE.finditer(seam + chunk):
            end = blank.end() - len(seam)
            pieces.append((chunk[start:end], True))
            start = end
        rest = chunk[start:]
        if rest:
            pieces.append((rest, False))
        self._seam = (rest if pieces and start else seam + rest)[-_SEAM:]
        return pieces


def data_of(event: bytes) -> bytes:
    """The event's data lines without their field name, joined by LF; empty for a comment."""
    lines = (line[5:] for line in event.splitlines() if line.startswith(b"data:"))
    return b"\n".join(line.removeprefix(b" ") for line in lines)


def parse_object(text: bytes) -> dict[str, Any] | None:
    """The JSON object that the text is, or None for everything else (`[DONE]`, nonsense, endless nesting)."""
    try:
        value = decoded(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def add_field(event: bytes, name: str, value: str) -> bytes:
    """The event with one more field at the end of its JSON object, in the compact form that vLLM writes."""
    at = event.rfind(b"}")
    field = f",{json.dumps(name)}:{json.dumps(value, ensure_ascii=False)}"
    return event[:at] + field.encode() + event[at:]
