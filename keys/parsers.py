"""Reads a JSON object from a body of the key API, whatever its content type says.

Refuses what one of the databases could not keep (NUL, lone surrogates, infinite numbers), so that no later step has
to think of it. A body is read only after authentication.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser

from common.errors import InvalidRequest
from keys.errors import BodyTooLarge

LONGEST_BODY = 1_000_000  # bytes
DEEPEST = 20


class ObjectParser(BaseParser):
    """Takes `curl -d '{…}'` too, which calls its body a form."""

    media_type = "*/*"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The body as an object; none at all is an empty one. Raises InvalidRequest and BodyTooLarge."""
        try:
            raw = stream.read(LONGEST_BODY + 1)
        except OSError as error:
            raise InvalidRequest("The request body did not arrive.") from error
        if len(raw) > LONGEST_BODY:
            raise BodyTooLarge
        fields = _decoded(raw) if raw.strip() else {}
        if not isinstance(fields, dict):
            raise InvalidRequest("The request body must be a JSON object.")
        refuse_unstorable(fields)
        return fields


def _decoded(raw: bytes) -> object:
    try:
        return json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The request body is not valid JSON.") from error


def refuse_unstorable(fields: Mapping[str, object]) -> None:
    """Raises InvalidRequest, naming the field, when a value cannot be kept in every database."""
    for name, value in fields.items():
        reason = _unstorable(value)
        if reason:
            raise InvalidRequest(f"{shown(name)}: {reason}", param=shown(name))


def shown(name: str) -> str:
    """A field's name as a message can carry it."""
    return ascii(name)[1:-1][:100]


def _unstorable(value: object) -> str | None:
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
