"""Holds objects against the types of the openai library, which clients parse them with."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from gateway.metering.sse import data_of


@cache
def _event_type() -> TypeAdapter[Any]:
    """Imported late, as below: that takes half a second, which nobody should pay who only collects tests."""
    from openai.types.responses import ResponseStreamEvent

    return TypeAdapter(ResponseStreamEvent)


def check_response(response: dict[str, Any]) -> dict[str, Any]:
    """The response, which is valid."""
    from openai.types.responses import Response

    Response.model_validate(response)
    return response


def events_in(stream: bytes) -> list[dict[str, Any]]:
    """The events of a stream, each of which is valid and has its number; comments are left out."""
    event_type = _event_type()
    *blocks, rest = stream.split(b"\n\n")
    assert rest == b""
    events = [json.loads(data_of(block)) for block in blocks if not block.startswith(b":")]
    for number, (event, block) in enumerate(zip(events, (b for b in blocks if not b.startswith(b":")), strict=True)):
        assert block.startswith(b"event: %b\n" % event["type"].encode())
        assert event["sequence_number"] == number
        event_type.validate_python(event)
    return events
