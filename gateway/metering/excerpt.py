"""As much of a long text as its account needs: all of a short one, of a longer one the beginning and the end.

Finds a top-level value of the JSON object that the text is, even when the middle was left out, and proves that
it is top-level: the prompt, the answer and schemas that a client sent may hold any text. Knows no meter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from gateway.metering.sse import parse_object

KEPT_WHOLE = 65_536
_HEAD = 4_096
_TAIL = 16_384
_SNIPPET = 1_024
_MOST_PLACES = 16
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")


class Excerpt:
    """Keeps at most 64 kB of what is added, however much that is.

    `size` is the number of bytes added. `key` is the field that is looked for, `usage` for instance.
    """

    __slots__ = ("_buffer", "_head", "_key", "_middle", "_place", "size")

    def __init__(self, key: str = "usage") -> None:
        self._key = key
        self._place = f'"{key}":'.encode()
        self._buffer = bytearray()
        self._head = b""
        self._middle = b""
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Adds the next bytes."""
        self._buffer += piece
        self.size += len(piece)
        if len(self._buffer) > KEPT_WHOLE:
            self._shorten()

    def _shorten(self) -> None:
        if not self._head:
            self._head = bytes(self._buffer[:_HEAD])
        cut = len(self._buffer) - _TAIL
        place = self._buffer.rfind(self._place + b"{", 0, cut + len(self._place))
        if place >= 0:
            self._middle = bytes(self._buffer[place : place + _SNIPPET])
        del self._buffer[:cut]

    @property
    def whole(self) -> bytes | None:
        """All that was added, or None when a part of it is gone."""
        return None if self._head else bytes(self._buffer)

    @property
    def ends(self) -> bytes:
        """The beginning and the end."""
        return self._head + bytes(self._buffer)

    def find(self, *, within: str = "") -> object:
        """The value of the key at the top level of the object, or None.

        With `within` it is looked for one level deeper, in the object of that name, but only at the text's end.
        """
        found = self._find_at_end(f'{{"{within}":{{' if within else "{")
        if within:
            found = found.get(within) if found else None
            return found.get(self._key) if isinstance(found, dict) else None
        if found:
            return found.get(self._key)
        head = self._head or bytes(self._buffer)
        return next((value for name, value in top_level(head) if name == self._key), None)

    def _find_at_end(self, opening: str) -> dict[str, Any] | None:
        """The end of the object, from the key on, as an object.

        A place where the key stands has exactly the wanted depth if what follows it, behind `opening`, is valid
        JSON: at any other depth a bracket would be left over or missing. In a string the key cannot stand at
        all, since there its quotes are escaped.
        """
        end = len(self._buffer)
        for _ in range(_MOST_PLACES):
            end = self._buffer.rfind(self._place, 0, end)
            if end < 0:
                break
            if found := parse_object(opening.encode() + self._buffer[end:]):
                return found
        return None

    def find_in_middle(self) -> object:
        """The last value of the key that was left out, at whatever depth it stood: a guess, not a proof."""
        try:
            return _DECODER.raw_decode(self._middle.decode(errors="replace"), len(self._place))[0]
        except (ValueError, RecursionError):
            return None


def top_level(text: bytes) -> Iterator[tuple[str, object]]:
    """The fields of the object that begins with the text's first brace, as far as the text holds them whole."""
    source = text.decode(errors="replace")
    at, sign = source.find("{"), "{"
    while at >= 0 and source[at : at + 1] == sign:
        try:
            name, at = _DECODER.raw_decode(source, _skip(source, at + 1))
            value, at = _DECODER.raw_decode(source, _skip(source, _skip(source, at) + 1))
        except (ValueError, RecursionError):
            return
        yield str(name), value
        at, sign = _skip(source, at), ","


def _skip(source: str, at: int) -> int:
    """The next position behind white space."""
    space = _SPACE.match(source, at)
    return space.end() if space else at
