"""The account of an answer that is no stream of events, and what all meters have in common.

A meter sees each byte string of a response before it passes on. Pure: no sockets, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gateway.metering.answers import ABORTED, Failure, count_token_ids, failure_of, usage_of
from gateway.metering.excerpt import Excerpt
from gateway.metering.sse import parse_object
from gateway.metering.usage import NONE, UNKNOWN, Usage, estimate_prompt, read_count, read_report


@dataclass(frozen=True, slots=True)
class Shape:
    """How the answers of one kind of route tell their usage.

    `mark` stands once in every event with a token and in few others. It holds a line's end, which no JSON string
    can, so content adds nothing to the count (but in Cohere's dialect, whose lines all end alike). `key` is the
    top-level field that holds the account in a plain body; `text_prompt` is whether the request's size says
    something about its tokens; `generates` whether the model writes an answer, which can be broken off; `echoes`
    whether the answer repeats objects that the client sent (tools, metadata).
    """

    mark: bytes = b"}\n"
    key: str = "usage"
    text_prompt: bool = True
    generates: bool = True
    echoes: bool = False

    @property
    def counts(self) -> bool:
        """Whether the answer is a tokenizer's."""
        return self.key == "count"


class Meter:
    """Passes everything on and reports what was known from the head alone. The other meters do more.

    `started` is True once a part of the answer has come: the first token of a stream (the role is none), the
    first byte of anything else. `failure` and `failure_text` are set when an answer with status 200 says that
    the call failed: the upstream's type for it (`InternalServerError`, `abort` …) and a sentence of ours;
    `failure_is_the_callers` where it was a mistake of the caller's.
    `fingerprint` is the `system_fingerprint` that came with a hidden usage event: worth remembering by upstream.
    """

    __slots__ = ("_known", "failure", "failure_is_the_callers", "failure_text", "fingerprint", "started")

    def __init__(self, known: Usage = NONE) -> None:
        self._known = known
        self.started = False
        self.failure: str | None = None
        self.failure_text = ""
        self.failure_is_the_callers = False
        self.fingerprint: str | None = None

    def feed(self, chunk: bytes) -> bytes:
        """Takes the response's next bytes; returns what may pass on now, b"" for nothing yet."""
        self.started = True
        return chunk

    def end(self) -> bytes:
        """Called once, when the upstream's body is over, cleanly or not: what was still held back."""
        return b""

    def break_off(self, message: str) -> bytes:
        """What a stream that is broken off ends with in its own dialect, `message` saying why; b"" for nothing."""
        return b""

    @property
    def is_whole(self) -> bool:
        """Whether everything has come that an answer of this kind has to say, its end apart."""
        return self._known.source == "reported"

    def usage(self, request_bytes: int) -> Usage:
        """What the call used, as far as is known now; `request_bytes` is the size of the request's body.

        Call it after `end`. It makes no difference whether the answer came to its end: a usage that was reported
        holds, and without one the estimate holds for what came.
        """
        return self._known

    def _fail(self, failure: Failure | None) -> None:
        if failure and self.failure is None:
            self.failure, self.failure_text, self.failure_is_the_callers = failure


class PlainMeter(Meter):
    """The account of a JSON body. Reported, wherever in the body its usage stands, or unknown."""

    __slots__ = ("_body", "_read", "_shape")

    def __init__(self, shape: Shape) -> None:
        super().__init__(UNKNOWN)
        self._shape = shape
        self._body = Excerpt(shape.key)
        self._read = False

    def feed(self, chunk: bytes) -> bytes:
        self.started = True
        self._body.add(chunk)
        return chunk

    def end(self) -> bytes:
        if not self._read:
            self._read = True
            try:
                self._read_body()
            except Exception:  # noqa: BLE001 - the account may be lost, the call may not
                self._known = UNKNOWN
        return b""

    def usage(self, request_bytes: int) -> Usage:
        self.end()
        if self._known.source == "estimated":
            return replace(self._known, prompt_tokens=estimate_prompt(request_bytes))
        return self._known

    def _read_body(self) -> None:
        whole = self._body.whole
        if whole is not None and (self._shape.generates or self._shape.counts):
            self._read_whole(parse_object(whole))
        else:
            self._read_parts()

    def _read_whole(self, body: dict[str, Any] | None) -> None:
        if body is None:  # cut off, or no JSON
            self._read_parts()
            return
        usage = read_count(body) if self._shape.counts else usage_of(body)
        if usage is None and (generated := count_token_ids(body)):
            usage = Usage(completion_tokens=generated, source="estimated")
        self._known = usage or UNKNOWN
        self._fail(failure_of(body))

    def _read_parts(self) -> None:
        found = self._body.find()
        usage = read_count({"count": found}) if self._shape.counts else read_report(found)
        if usage is None and not self._shape.echoes:
            # Long lists of token ids may follow the usage. Where no object of the client's is repeated, a field of
            # this name with these counts is vLLM's own.
            usage = read_report(self._body.find_in_middle())
        self._known = usage or UNKNOWN
        if self._shape.generates and b'"finish_reason":"abort"' in self._body.ends:
            self._fail(ABORTED)
