"""What is kept of a translated response: its items, the conversation before it included, and the object. Pure."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import InvalidRequest
from gateway.responses.envelope import response_of_item
from gateway.responses.events import encoded
from gateway.responses.parts import Json

MOST_BYTES = 1_000_000
"""What one conversation may have as JSON; a longer one is not kept."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """`items` are all items up to and with the response's own output; instructions are none."""

    items: Sequence[Json]
    response: Json

    def packed(self) -> bytes | None:
        """The conversation as bytes; None when it is too long to be kept."""
        plain = encoded({"items": list(self.items), "response": self.response})
        return zlib.compress(plain, 1) if len(plain) <= MOST_BYTES else None


def unpacked(packed: bytes) -> Conversation:
    """The other way round."""
    state = json.loads(zlib.decompress(packed))
    return Conversation(state["items"], state["response"])


def resolve(items: Sequence[Any], history: Sequence[Json], find: Callable[[str], Sequence[Json]]) -> list[Any]:
    """The items with references replaced by what they refer to, in the history or in another response.

    `find` gives the items of a response by its id, none when it is not known. What stands in the history already is
    not repeated. Raises InvalidRequest for a reference to nothing.
    """
    known = {found for item in history if isinstance(found := item.get("id"), str)}
    resolved = []
    for place, item in enumerate(items):
        if not isinstance(item, dict) or item.get("type") != "item_reference":
            resolved.append(item)
            continue
        wanted = item.get("id")
        if isinstance(wanted, str) and wanted in known:
            continue
        resolved.append(_referred(wanted, find, f"input[{place}]"))
    return resolved


def _referred(wanted: object, find: Callable[[str], Sequence[Json]], where: str) -> Json:
    response_id = response_of_item(wanted) if isinstance(wanted, str) else None
    for item in find(response_id) if response_id else ():
        if item.get("id") == wanted:
            return item
    error = InvalidRequest(f"{where}: no item with this id is known.", param=f"{where}.id")
    error.status_code = 404
    raise error
