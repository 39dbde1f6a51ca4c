"""Items of a response that are being written: each writes its events as its pieces come. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.responses.envelope import (
    IN_PROGRESS,
    Envelope,
    function_item,
    message_item,
    reasoning_item,
    refusal_part,
    text_part,
)
from gateway.responses.events import EventWriter
from gateway.responses.parts import Json


class _OpenItem:
    """What all have: an id, a place in the output, and the two events around."""

    prefix: str

    def __init__(self, events: EventWriter, envelope: Envelope, place: int) -> None:
        self.events = events
        self.place = place
        self.id = envelope.item_id(self.prefix, place)
        self.status = IN_PROGRESS

    def item(self) -> Json:
        """The item as it is now."""
        raise NotImplementedError

    def write(self, kind: str, **fields: object) -> None:
        """An event of this item."""
        self.events.write(kind, item_id=self.id, output_index=self.place, **fields)

    def open(self) -> None:
        self.events.write("response.output_item.added", output_index=self.place, item=self.item())

    def close(self, status: str) -> None:
        """The item is over."""
        self.status = status
        self.events.write("response.output_item.done", output_index=self.place, item=self.item())


class OpenReasoning(_OpenItem):
    """What the model thinks."""

    prefix = "rs"

    def __init__(self, events: EventWriter, envelope: Envelope, place: int) -> None:
        super().__init__(events, envelope, place)
        self._pieces: list[str] = []
        self.open()
        self.write("response.content_part.added", content_index=0, part=self._part(""))

    def item(self) -> Json:
        return reasoning_item(self.id, "".join(self._pieces), self.status)

    def add(self, text: str) -> None:
        self._pieces.append(text)
        self.write("response.reasoning_text.delta", content_index=0, delta=text)

    def close(self, status: str) -> None:
        text = "".join(self._pieces)
        self.write("response.reasoning_text.done", content_index=0, text=text)
        self.write("response.content_part.done", content_index=0, part=self._part(text))
        super().close(status)

    @staticmethod
    def _part(text: str) -> Json:
        return {"type": "reasoning_text", "text": text}


class OpenMessage(_OpenItem):
    """What the model says: texts and refusals, of which one is being written."""

    prefix = "msg"

    def __init__(self, events: EventWriter, envelope: Envelope, place: int) -> None:
        super().__init__(events, envelope, place)
        self._closed: list[Json] = []
        self._pieces: list[str] = []
        self._logprobs: list[Json] = []
        self._refuses: bool | None = None
        self.open()

    def item(self) -> Json:
        parts = self._closed if self._refuses is None else [*self._closed, self._part()]
        return message_item(self.id, parts, self.status)

    def add_text(self, text: str, logprobs: list[Json]) -> None:
        self._turn_to(refuses=False)
        self._pieces.append(text)
        self._logprobs += logprobs
        if text:
            self._write("output_text.delta", delta=text, logprobs=logprobs)

    def add_refusal(self, text: str) -> None:
        self._turn_to(refuses=True)
        self._pieces.append(text)
        self._write("refusal.delta", delta=text)

    def close(self, status: str) -> None:
        self._close_part()
        super().close(status)

    def _write(self, kind: str, **fields: object) -> None:
        self.write(f"response.{kind}", content_index=len(self._closed), **fields)

    def _part(self) -> Json:
        text = "".join(self._pieces)
        return refusal_part(text) if self._refuses else text_part(text, self._logprobs)

    def _turn_to(self, *, refuses: bool) -> None:
        if self._refuses is refuses:
            return
        self._close_part()
        self._refuses = refuses
        self._write("content_part.added", part=self._part())

    def _close_part(self) -> None:
        if self._refuses is None:
            return
        part = self._part()
        if self._refuses:
            self._write("refusal.done", refusal=part["refusal"])
        else:
            self._write("output_text.done", text=part["text"], logprobs=self._logprobs)
        self._write("content_part.done", part=part)
        self._closed.append(part)
        self._pieces, self._logprobs, self._refuses = [], [], None


class OpenCallItem(_OpenItem):
    """A call of one of the client's functions. Id and name come with its first piece."""

    prefix = "fc"

    def __init__(self, events: EventWriter, envelope: Envelope, place: int, first: Mapping[str, Any]) -> None:
        super().__init__(events, envelope, place)
        name = _function(first).get("name")
        self._call_id = str(first.get("id") or f"call_{envelope.hex_id}_{place}")
        self._name = name if isinstance(name, str) else ""
        self._pieces: list[str] = []
        self.open()

    def item(self) -> Json:
        return function_item(self.id, self._call_id, self._name, "".join(self._pieces), self.status)

    def add(self, call: Mapping[str, Any]) -> None:
        """A piece of its arguments."""
        function = _function(call)
        name, arguments = function.get("name"), function.get("arguments")
        if not self._name and isinstance(name, str):
            self._name = name
        if isinstance(arguments, str) and arguments:
            self._pieces.append(arguments)
            self.write("response.function_call_arguments.delta", delta=arguments)

    def close(self, status: str) -> None:
        self.write("response.function_call_arguments.done", name=self._name, arguments="".join(self._pieces))
        super().close(status)


def _function(call: Mapping[str, Any]) -> Mapping[str, Any]:
    function = call.get("function")
    return function if isinstance(function, dict) else {}
