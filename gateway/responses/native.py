"""What an upstream's own `/v1/responses` says of itself: whether it is there, and the id of a new response. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from gateway.metering.sse import Cutter, data_of, parse_object

REMEMBERED_SECONDS = 300.0
MISSING = frozenset({404, 405, 501})
PATHS = frozenset({"/v1/responses", "/responses"})
"""How the route is written; `Target.path` has what the caller wrote."""
MOST_BYTES = 8_000_000
"""What is held back at most of an answer that does not tell its id at its beginning."""

_FIRST_FIELD = re.compile(rb'\s*\{\s*"id"\s*:\s*"([^"\\]*)"')


class NativeRoutes:
    """Which upstreams have no `/v1/responses`: remembered for some minutes, since a server may be renewed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[int | None, float] = {}

    def are_missing(self, upstream_id: int | None) -> bool:
        """Whether the upstream is known to have none."""
        until = self._until.get(upstream_id)
        return until is not None and until > self._clock()

    def note_missing(self, upstream_id: int | None) -> None:
        """It has just said so."""
        self._until[upstream_id] = self._clock() + REMEMBERED_SECONDS


def is_missing(status: int, body: bytes) -> bool:
    """Whether an answer says that there is no such route. A 404 with an `error` object is about what was asked for."""
    return status in MISSING and not (status == 404 and _tells_error(body))


def is_missing_for_all(path: str, body: bytes) -> bool:
    """Whether what `is_missing` found holds for every call, so that one cannot spoil it for the others.

    Not what another spelling of the path met, nor an `error` object, which may be about this call alone: vLLM answers
    501 to a `tool_choice` that some models cannot do.
    """
    return path in PATHS and not _tells_error(body)


def _tells_error(body: bytes) -> bool:
    said = parse_object(body)
    return said is not None and isinstance(said.get("error"), dict)


class IdReader:
    """Reads the id of a new response from the beginning of an answer, given as often as more has come of it."""

    def __init__(self, *, is_stream: bool) -> None:
        self._is_stream = is_stream
        self._seen = 0
        self._cutter = Cutter()
        self._event = b""
        self._is_told = False
        self.response_id: str | None = None

    def look(self, begun: bytes, *, is_all: bool) -> bool:
        """Whether enough has come: the id is known, or there is none."""
        new, self._seen = begun[self._seen :], len(begun)
        if self._is_stream:
            self._look_at_events(new)
        else:
            self._look_at_object(begun, is_all=is_all)
        return self._is_told or is_all or len(begun) > MOST_BYTES

    def _look_at_events(self, new: bytes) -> None:
        for piece, ended in self._cutter.cut(new):
            self._event += piece
            if ended:
                event, self._event = data_of(self._event), b""
                if event and not self._is_told:  # the first event has it, or none
                    self._is_told = True
                    response = (parse_object(event) or {}).get("response")
                    self.response_id = _text(response.get("id")) if isinstance(response, dict) else None

    def _look_at_object(self, begun: bytes, *, is_all: bool) -> None:
        first = _FIRST_FIELD.match(begun)
        if first is not None:
            self._is_told, self.response_id = True, first[1].decode("utf-8", "replace") or None
        elif is_all:
            self.response_id = _text((parse_object(begun) or {}).get("id"))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
