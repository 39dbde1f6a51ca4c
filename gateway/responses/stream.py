"""A stream of chat completions in, a stream of response events out. Pure.

Calls of functions stay open until the end, because pieces of several may come in turns; reasoning and text are closed
when something else begins. Fed byte strings that are cut anywhere; comments pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.metering.sse import Cutter, data_of, parse_object
from gateway.responses.envelope import (
    ABORTED,
    COMPLETED,
    CUT,
    FAILED,
    IN_PROGRESS,
    INCOMPLETE,
    Envelope,
    error_of,
    logprobs_of,
    usage_of,
    verdict,
)
from gateway.responses.events import EventWriter
from gateway.responses.open_items import OpenCallItem, OpenMessage, OpenReasoning
from gateway.responses.parts import Json

MOST_BYTES = 8_000_000
"""What one event may have."""


class StreamTranslator:
    """A `Transform`. `on_end` gets the response when it has completed or is incomplete, before its event passes."""

    def __init__(self, envelope: Envelope, on_end: Callable[[Json], None] = lambda response: None) -> None:
        self._envelope = envelope
        self._on_end = on_end
        self._cutter = Cutter()
        self._pieces: list[bytes] = []
        self._size = 0
        self._events = EventWriter()
        self._items: list[OpenReasoning | OpenMessage | OpenCallItem] = []
        self._open: OpenReasoning | OpenMessage | None = None
        self._calls: dict[int, OpenCallItem] = {}
        self._finish: str | None = None
        self._usage: Json | None = None
        self._model: str | None = None
        self._created_at = 0
        self._began = False
        self._over = False

    # --- Transform

    def feed(self, chunk: bytes) -> bytes:
        for piece, ended in self._cutter.cut(chunk):
            if self._over:  # what still comes is nobody's, however much it is
                self._pieces = []
                break
            self._pieces.append(piece)
            self._size += len(piece)
            if self._size > MOST_BYTES:
                self._fail(error_of("An event of the upstream's answer is too large."))
            if ended:
                self._take_event()
        return self._events.take()

    def end(self) -> bytes:
        """The upstream's body is over."""
        if self._pieces:
            self._take_event()
        if not self._over:
            self._conclude()
        return self._events.take()

    def fail(self, message: str) -> bytes:
        """The call was broken off: why, as the client is told."""
        self._fail(error_of(message))
        return self._events.take()

    # --- What comes

    def _take_event(self) -> None:
        event, self._pieces, self._size = b"".join(self._pieces), [], 0
        if self._over:
            return
        data = data_of(event)
        if not data:
            if event.lstrip().startswith(b":"):
                self._events.pass_on(event)
        elif data.strip() == b"[DONE]":
            self._conclude()
        elif (chunk := parse_object(data)) is not None:
            self._take_chunk(chunk)

    def _take_chunk(self, chunk: Mapping[str, Any]) -> None:
        self._begin(chunk)
        if chunk.get("error"):
            self._fail(error_of(chunk["error"]))
            return
        self._usage = usage_of(chunk.get("usage")) or self._usage
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and not choice.get("index"):
                self._take_choice(choice)

    def _begin(self, chunk: Mapping[str, Any]) -> None:
        if self._began:
            return
        self._began = True
        created, model = chunk.get("created"), chunk.get("model")
        self._created_at = created if isinstance(created, int) else int(self._envelope.clock())
        self._model = model if isinstance(model, str) else None
        for kind in ("response.created", "response.in_progress"):
            self._events.write(kind, response=self._response(IN_PROGRESS))

    def _take_choice(self, choice: Mapping[str, Any]) -> None:
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._take_delta(delta, choice)
        reason = choice.get("finish_reason")
        if isinstance(reason, str):
            self._finish = reason

    def _take_delta(self, delta: Mapping[str, Any], choice: Mapping[str, Any]) -> None:
        reasoning = delta.get("reasoning") or delta.get("reasoning_content")
        if isinstance(reasoning, str) and reasoning:
            self._reasoning().add(reasoning)
        content, refusal = delta.get("content"), delta.get("refusal")
        if isinstance(content, str) and content:
            self._message().add_text(content, logprobs_of(choice))
        if isinstance(refusal, str) and refusal:
            self._message().add_refusal(refusal)
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                self._take_call(call)

    def _reasoning(self) -> OpenReasoning:
        if not isinstance(self._open, OpenReasoning):
            self._close_open(COMPLETED)
            self._open = OpenReasoning(self._events, self._envelope, len(self._items))
            self._items.append(self._open)
        return self._open

    def _message(self) -> OpenMessage:
        if not isinstance(self._open, OpenMessage):
            self._close_open(COMPLETED)
            self._open = OpenMessage(self._events, self._envelope, len(self._items))
            self._items.append(self._open)
        return self._open

    def _take_call(self, call: Mapping[str, Any]) -> None:
        index = call.get("index")
        if not isinstance(index, int):  # a new id begins a new call
            index = len(self._calls) if call.get("id") or not self._calls else max(self._calls)
        item = self._calls.get(index)
        if item is None:
            self._close_open(COMPLETED)
            item = self._calls[index] = OpenCallItem(self._events, self._envelope, len(self._items), call)
            self._items.append(item)
        item.add(call)

    # --- How it ends

    def _close_open(self, status: str) -> None:
        if self._open is not None:
            self._open.close(status)
            self._open = None

    def _conclude(self) -> None:
        status, incomplete = verdict(self._finish)
        if status == FAILED:
            self._fail(ABORTED if self._finish else CUT)
            return
        self._close_all(status)
        self._over = True
        response = self._response(status, incomplete=incomplete)
        self._on_end(response)
        self._events.write(f"response.{status}", response=response)

    def _close_all(self, status: str) -> None:
        """Closes what is open. Of an incomplete answer the last item is what was cut."""
        last = self._items[-1] if self._items else None
        for item in self._items:
            if item is self._open or item in self._calls.values():
                item.close(INCOMPLETE if item is last and status != COMPLETED else COMPLETED)
        self._open = None
        if last is None and status == COMPLETED:
            self._message().add_text("", [])
            self._close_open(COMPLETED)

    def _fail(self, error: Json) -> None:
        if self._over:
            return
        self._begin({})
        self._over = True
        for item in self._items:
            item.status = INCOMPLETE if item.status == IN_PROGRESS else item.status
        self._events.write("response.failed", response=self._response(FAILED, error=error))

    def _response(self, status: str, *, incomplete: str | None = None, error: Json | None = None) -> Json:
        ended = status != IN_PROGRESS
        return self._envelope.response(
            status,
            [item.item() for item in self._items] if ended else (),
            created_at=self._created_at,
            model=self._model,
            usage=self._usage if ended else None,
            incomplete=incomplete,
            error=error,
        )
