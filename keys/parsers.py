"""Reads a JSON object from a body of the key API, whatever its content type says.

Refuses what one of the databases could not keep (NUL, lone surrogates, infinite numbers), so that no later step has
to think of it. A body is read only after authentication.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser

from common.errors import InvalidRequest
from keys.errors import BodyTooLarge
from keys.storable import unstorable

LONGEST_BODY = 1_000_000  # bytes


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
        reason = unstorable(value)
        if reason:
            raise InvalidRequest(f"{shown(name)}: {reason}", param=shown(name))


def shown(name: str) -> str:
    """A field's name as a message can carry it."""
    return ascii(name)[1:-1][:100]
