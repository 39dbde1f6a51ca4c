"""The account of tokens of every relayed call: a meter sees each byte string of a response before it passes on.

A meter changes no byte but one thing: the usage event that the gateway asked for on the client's behalf is taken
out again. It never breaks a stream: whatever goes wrong in it, the bytes pass. Pure: no sockets, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.answers import (
    Failure,
    carries_token,
    count_token_ids,
    failure_of,
    finish_reasons,
    is_extra_usage,
    usage_of,
)
from gateway.excerpt import KEPT_WHOLE, Excerpt
from gateway.sse import Cutter, add_field, data_of, parse_object
from gateway.usage import NONE, UNKNOWN, Usage, estimate_prompt, read_count, read_report, sum_of


@dataclass(frozen=True, slots=True)
class Shape:
    """How the answers of one kind of route tell their usage.

    `mark` ends the line that every event with a token has (a JSON string cannot hold the line's end, so no
    content forges it); `key` is the top-level field that holds the account in a plain body; `text_prompt` is
    whether the request's size says something about its tokens; `generates` whether the model writes an answer,
    which can be broken off.
    """

    mark: bytes = b"}"
    key: str = "usage"
    text_prompt: bool = True
    generates: bool = True


_CHOICES = Shape()
_POOLING = Shape(generates=False)
_SPEECH = Shape(text_prompt=False)
_COUNT = Shape(key="count", generates=False)

METERS: Mapping[str, Shape] = {
    "chat": _CHOICES,
    "completions": _CHOICES,
    "responses": Shape(mark=b".delta"),
    "messages": Shape(mark=b"content_block_delta"),
    "generate": _CHOICES,
    "cohere": _CHOICES,
    "invocations": _CHOICES,
    "transcriptions": _SPEECH,
    "translations": _SPEECH,
    "embeddings": _POOLING,
    "v2_embed": Shape(key="meta", generates=False),
    "score": _POOLING,
    "rerank": _POOLING,
    "classify": _POOLING,
    "pooling": _POOLING,
    "generative_scoring": _POOLING,
    "tokenize": _COUNT,
    "detokenize": _COUNT,
}


class Meter:
    """Passes everything on and reports what was known from the head alone. The other meters do more.

    `started` is True once a part of the answer has come: the first token of a stream (the role is none), the
    first byte of anything else. `failure` and `failure_text` are set when an answer with status 200 says that
    the call failed: the upstream's type for it (`InternalServerError`, `abort` …) and its sentence.
    `fingerprint` is the `system_fingerprint` that came with a hidden usage event: worth remembering by upstream.
    """

    __slots__ = ("_known", "failure", "failure_text", "fingerprint", "started")

    def __init__(self, known: Usage = NONE) -> None:
        self._known = known
        self.started = False
        self.failure: str | None = None
        self.failure_text = ""
        self.fingerprint: str | None = None

    def feed(self, chunk: bytes) -> bytes:
        """Takes the response's next bytes; returns what may pass on now, b"" for nothing yet."""
        self.started = True
        return chunk

    def end(self) -> bytes:
        """Called once, when the upstream's body is over, cleanly or not: what was still held back."""
        return b""

    def usage(self, request_bytes: int) -> Usage:
        """What the call used, as far as is known now; `request_bytes` is the size of the request's body.

        Call it after `end`. It makes no difference whether the answer came to its end: a usage that was reported
        holds, and without one the estimate holds for what came.
        """
        return self._known

    def _fail(self, failure: Failure | None) -> None:
        if failure and self.failure is None:
            self.failure, self.failure_text = failure


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
            whole = self._body.whole
            if whole is not None and (self._shape.generates or self._shape is _COUNT):
                self._read_whole(parse_object(whole))
            else:
                self._read_parts()
        return b""

    def usage(self, request_bytes: int) -> Usage:
        self.end()
        if self._known.source == "estimated":
            return replace(self._known, prompt_tokens=estimate_prompt(request_bytes))
        return self._known

    def _read_whole(self, body: dict[str, Any] | None) -> None:
        if body is None:  # cut off, or no JSON
            self._read_parts()
            return
        usage = read_count(body) if self._shape is _COUNT else usage_of(body)
        if usage is None and (generated := count_token_ids(body)):
            usage = Usage(completion_tokens=generated, source="estimated")
        self._known = usage or UNKNOWN
        self._fail(failure_of(body))

    def _read_parts(self) -> None:
        found = self._body.find()
        usage = read_count({"count": found}) if self._shape is _COUNT else read_report(found)
        if usage is None and self._shape is _CHOICES:
            # Long lists of token ids may follow the usage. Nothing in these answers echoes what a client sent,
            # so a field of this name with these counts is vLLM's own.
            usage = read_report(self._body.find_in_middle())
        self._known = usage or UNKNOWN
        if self._shape.generates and b'"finish_reason":"abort"' in self._body.ends:
            self._fail(Failure("abort"))


class StreamMeter(Meter):
    """The account of a stream of events that passes untouched.

    JSON is parsed only for events that matter: those before the first token, and those with final usage, an error
    or the end of a choice. All others are counted as one token each, which is what vLLM sends when its client
    keeps up, and too little when it does not. Of counts that run along with the choices
    (`continuous_usage_stats`) the latest of each choice is kept and read at the end.
    """

    __slots__ = ("_broken", "_careful", "_cutter", "_early", "_event", "_latest", "_line", "_shape", "_tokens")

    def __init__(self, shape: Shape) -> None:
        super().__init__(UNKNOWN)
        self._shape = shape
        self._line = shape.mark + b"\n"
        self._cutter = Cutter()
        self._event = Excerpt()  # what has come of an event that is not over
        self._careful = True  # before the first token, and while anything is unfinished
        self._broken = False
        self._tokens = 0
        self._early: Usage | None = None  # the prompt, from message_start
        self._latest: dict[bytes, bytes] = {}  # by choice: the last event that counted it

    def feed(self, chunk: bytes) -> bytes:
        # The relay's hot loop: 25,000 times a second this must end in the last two lines. `rfind` costs half as
        # much as `in`. The quotes make these fields of the JSON: inside a string they would be escaped.
        if (
            self._careful
            or chunk[-2:] != b"\n\n"
            or chunk.rfind(b'"usage":') >= 0
            or chunk.rfind(b'"finish_reason":"') >= 0
            or chunk.rfind(b'"error"') >= 0
        ):
            return self._guarded(self._look, chunk)
        self._tokens += chunk.count(self._line)
        return chunk

    def end(self) -> bytes:
        return self._guarded(self._look_last, b"")

    def usage(self, request_bytes: int) -> Usage:
        """Reported when the stream said so, else estimated; a call that failed before its first token: unknown.

        With `continuous_usage_stats` the last counts of each choice stand in for the final ones.
        """
        if self._known.source == "reported":
            return self._known
        if self._latest:
            return sum_of(usage_of(parse_object(data_of(event)) or {}) or UNKNOWN for event in self._latest.values())
        if self.failure and not self.started:
            return UNKNOWN
        early = self._early or Usage(estimate_prompt(request_bytes) if self._shape.text_prompt else None)
        return replace(early, completion_tokens=self._tokens, source="estimated")

    def _guarded(self, look: Callable[[bytes], bytes], chunk: bytes) -> bytes:
        if self._broken:
            return chunk
        held = self._held_back()
        try:
            return look(chunk)
        except Exception:  # noqa: BLE001 - the account may be lost, the stream may not
            self._broken = self._careful = True
            return held + chunk

    def _held_back(self) -> bytes:
        return b""

    def _look(self, chunk: bytes) -> bytes:
        for piece, whole in self._cutter.cut(chunk):
            if not whole:
                self._event.add(piece)
            elif self._event.size:
                self._end_event(piece)
            else:
                self._read_event(piece)
        self._careful = not self.started or self._event.size > 0
        return chunk

    def _look_last(self, nothing: bytes) -> bytes:
        """Reads an event that the stream's end left without its blank line."""
        if self._event.size:
            self._end_event(nothing)
        return nothing

    def _end_event(self, piece: bytes) -> dict[str, Any] | None:
        """Reads an event that came in several pieces, of which this is the last."""
        self._event.add(piece)
        event, self._event = self._event, Excerpt()
        if (whole := event.whole) is not None:
            return self._read_event(whole)
        self._read_long(event)
        return None

    def _read_event(self, event: bytes) -> dict[str, Any] | None:
        """Takes from one event what it says. Returns its JSON when it was worth parsing."""
        counts = event.count(b'"usage":') > event.count(b'"usage":null')
        running = counts and b'"choices":[{' in event
        if running:
            self._latest[_choice_in(event)] = event
        ends = b'"finish_reason":"' in event or b'"error"' in event
        if self.started and not ends and (running or not counts):
            self._count(event)
            return None
        answer = parse_object(data_of(event))
        if answer is not None:
            self._learn(answer)
        return answer

    def _count(self, event: bytes) -> None:
        mark = self._shape.mark
        self._tokens += event.count(self._line) or event.count(mark + b"\r") or event.endswith(mark)

    def _learn(self, answer: dict[str, Any]) -> None:
        self._fail(failure_of(answer))
        if carries_token(answer):
            self.started = True
            self._tokens += 1
        usage = usage_of(answer)
        if usage is None or answer.get("choices"):
            return
        if answer.get("type") == "message_start":
            self._early = usage
        else:
            self._known = usage

    def _read_long(self, event: Excerpt) -> None:
        """An event over 64 kB: a whole answer at the end of a response, or the prompt's token ids at the start."""
        ends = event.ends
        if self.started:
            self._count(ends)
        if b'"choices":[{' not in ends:
            found = event.find(within="response") or event.find()
            self._known = read_report(found) or self._known


class HidingMeter(StreamMeter):
    """The account of a chat or completions stream for whose usage the gateway asked, and not the client.

    Without `include_usage` vLLM writes `system_fingerprint` into the event that ends a choice, with it into the
    usage event. So the end of a choice waits for the event after it, which comes in the same instant when it is
    the usage event; this one is taken out, and its fingerprint put where a direct call has it. When another
    choice's event comes first, the fingerprint last seen from this upstream is put in at once.

    An event that a read has cut waits for its own end, at most 64 kB: what is longer passes as it comes.
    """

    __slots__ = ("_fallback", "_finish", "_passes")

    def __init__(self, shape: Shape, fingerprint: str | None = None) -> None:
        super().__init__(shape)
        self._fallback = fingerprint
        self._finish = b""  # the event that ended a choice
        self._passes = False  # whether the beginning of an event that is not over has passed already

    def _held_back(self) -> bytes:
        return self._finish + (b"" if self._passes else self._event.whole or b"")

    def _look(self, chunk: bytes) -> bytes:
        out: list[bytes] = []
        for piece, whole in self._cutter.cut(chunk):
            if self._passes or self._event.size + len(piece) > KEPT_WHOLE:
                self._pass_on(piece, out, whole=whole)
            elif whole:
                self._settle(piece, out)
            else:
                self._event.add(piece)
        self._careful = not self.started or self._event.size > 0 or bool(self._finish)
        passed = b"".join(out)
        return chunk if passed == chunk else passed

    def _look_last(self, nothing: bytes) -> bytes:
        out: list[bytes] = []
        if self._passes:
            self._pass_on(nothing, out, whole=True)
        elif self._event.size:
            self._settle(nothing, out)
        return b"".join([*out, *self._take_finish(self._fallback)])

    def _pass_on(self, piece: bytes, out: list[bytes], *, whole: bool) -> None:
        """A long event is read in passing, and not held."""
        out += (*self._take_finish(self._fallback), self._held_back(), piece)
        self._passes = not whole
        if whole:
            self._end_event(piece)
        else:
            self._event.add(piece)

    def _settle(self, piece: bytes, out: list[bytes]) -> None:
        """Decides about the event that this piece ends, and about the end of a choice that waited for it."""
        event = piece
        if self._event.size:
            event = (self._event.whole or b"") + piece
            self._event = Excerpt()
        answer = self._read_event(event) or {}
        # Counts that run along were not asked for: the server was started with --enable-force-include-usage, and
        # a direct call gets them too, and the extra event.
        hides = not self._latest
        if hides and is_extra_usage(answer):
            self.fingerprint = _text_or_none(answer.get("system_fingerprint"))
            out += self._take_finish(self.fingerprint)
            return
        out += self._take_finish(self._fallback)
        if hides and finish_reasons(answer) and "system_fingerprint" not in answer:
            self._finish = event
        else:
            out.append(event)

    def _take_finish(self, fingerprint: str | None) -> list[bytes]:
        finish, self._finish = self._finish, b""
        if finish and fingerprint:
            finish = add_field(finish, "system_fingerprint", fingerprint)
        return [finish] if finish else []


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _choice_in(event: bytes) -> bytes:
    """What tells the choices of a stream apart: the beginning of the first choice, where vLLM writes its index."""
    start = event.index(b'"choices":[{') + 12
    return event[start : start + 10]


def make_meter(
    name: str | None,
    *,
    streaming: bool,
    hide_usage: bool,
    status: int,
    content_type: str,
    headers: Mapping[str, str] | None = None,
    fingerprint: str | None = None,
) -> Meter:
    """The meter for one response.

    `name` is a key of METERS, or None for a route without an account; `streaming` whether the response is
    `text/event-stream`; `hide_usage` whether the gateway put `include_usage` into the request of a client that
    had not; `headers` the response's, names in any case; `fingerprint` the last one that a meter of this
    upstream had. A call that was refused (status 300 and above) used nothing that anybody knows: source "none".
    """
    shape = METERS.get(name or "")
    if shape is None or not 200 <= status < 300:
        return Meter(NONE)
    fields = {field.lower(): value for field, value in (headers or {}).items()}
    if fields.get("content-encoding", "identity").lower() not in ("", "identity"):
        return Meter(UNKNOWN)
    if streaming:
        return HidingMeter(shape, fingerprint) if hide_usage else StreamMeter(shape)
    if content_type and "json" not in content_type.lower():
        return Meter(_from_metadata(fields.get("metadata", "")))
    return PlainMeter(shape)


def _from_metadata(metadata: str) -> Usage:
    """The usage of an embeddings body in bytes, which vLLM tells in a header (`encoding_format` is "bytes")."""
    return usage_of(parse_object(metadata.encode(errors="replace")) or {}) or UNKNOWN
