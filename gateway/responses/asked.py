"""What a responses call says of other responses: read from its body for certain, or the call is refused. Pure.

On every face the answer decides whose conversation a server goes on with, so a body that a server could read
otherwise than we do must not pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from common.errors import InvalidRequest
from gateway.body.fields import is_true
from gateway.body.json_scan import JsonScanner

_WANTED = frozenset((b"previous_response_id", b"store", b"request_id", b"background"))
MOST_PARSED = 1_000_000
"""Bytes of an unusual body that are parsed whole."""


@dataclass(frozen=True, slots=True)
class Asked:
    """`previous`: the response that the call goes on from. `chosen`: the id that the client wants for the new one
    (vLLM's `request_id`). `stores`: whether the answer may be asked for again. `background`: it is made later."""

    previous: str | None = None
    chosen: str | None = None
    stores: bool = True
    background: bool = False


def read(pieces: Iterable[bytes], length: int) -> Asked:
    """From a body in pieces. Raises InvalidRequest when it cannot be read for certain."""
    scanner = JsonScanner(_WANTED)
    kept: list[bytes] = []
    for piece in pieces:
        scanner.feed(piece)
        if length <= MOST_PARSED:
            kept.append(piece)
    values = scanner.values()
    if values is None:
        values = _parsed(b"".join(kept), length)
    return Asked(
        _text(values, "previous_response_id"),
        _text(values, "request_id"),
        stores=not _is_false(values.get("store")),
        background=is_true(values.get("background")),
    )


def _parsed(body: bytes, length: int) -> dict[str, object]:
    """What vLLM's own parser makes of a body that we do not read in passing; nothing of one that it refuses."""
    if length > MOST_PARSED:
        raise InvalidRequest("The request body cannot be read for certain.")
    try:
        values = json.loads(body) if body else {}
    except ValueError:
        return {}
    except RecursionError as error:
        raise InvalidRequest("The request body cannot be read for certain.") from error
    return values if isinstance(values, dict) else {}


def _text(values: dict[str, object], name: str) -> str | None:
    value = values.get(name)
    if value is None or isinstance(value, str):
        return value or None
    raise InvalidRequest(f"{name} must be a text.", param=name)


def _is_false(value: object) -> bool:
    """Whether vLLM (pydantic's lax mode) takes a field's value for false."""
    if isinstance(value, str):
        return value.lower() in ("false", "f", "no", "n", "off", "0")
    return isinstance(value, int | float) and value == 0
