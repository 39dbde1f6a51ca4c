"""The account of a stream of events, which passes as it came or without the usage event that only we asked for.

It never breaks a stream: whatever goes wrong in here, the bytes pass. Pure: no sockets, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.metering.answers import carries_token, failure_of, finish_reasons, is_extra_usage, usage_of
from gateway.metering.excerpt import KEPT_WHOLE, Excerpt
from gateway.metering.plain_meter import Meter, Shape
from gateway.metering.sse import Cutter, add_field, data_of, parse_object
from gateway.metering.usage import UNKNOWN, Usage, estimate_prompt, read_report, sum_of

_INDEX = re.compile(rb'"choices":\[\{"index":(\d+)')


class StreamMeter(Meter):
    """The account of a stream of events that passes untouched.

    JSON is parsed only for events that matter: those before the first token, and those with final usage, an error
    or the end of a choice. All others are counted as one token each, which is what vLLM sends when its client
    keeps up, and too little when it does not. Of counts that run along with the choices
    (`continuous_usage_stats`) the latest of each choice is kept and read at the end.
    """

    __slots__ = ("_broken", "_careful", "_cutter", "_early", "_event", "_latest", "_mark", "_shape", "_tokens")

    def __init__(self, shape: Shape) -> None:
        super().__init__(UNKNOWN)
        self._shape = shape
        self._mark = shape.mark
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
        self._tokens += chunk.count(self._mark)
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
        mark = self._mark
        self._tokens += (
            event.count(mark) or event.count(mark.replace(b"\n", b"\r")) or event.endswith(mark.removesuffix(b"\n"))
        )

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
    """What tells the choices of a stream apart; empty where there is only one (transcriptions)."""
    index = _INDEX.search(event)
    return index[1] if index else b""
