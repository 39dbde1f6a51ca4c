"""Looks at the beginning of a stream: is the engine at work, or has it failed? Pure.

vLLM sends the head of a stream with status 200 before its engine has produced anything (`docs/pass-through.md`), so
only an event shows whether the call goes well. Until one does, another upstream can still be asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from gateway.metering.answers import carries_token, finish_reasons, status_of
from gateway.metering.sse import Cutter, data_of, parse_object

MOST_BYTES = 65_536
"""What is held back at most; then the stream passes, whatever it is."""

_LIFECYCLE = {
    "message_start",
    "ping",
    "content_block_start",
    "message-start",
    "response.created",
    "response.queued",
    "response.in_progress",
}


class Verdict(Enum):
    """What the beginning of a stream says."""

    WAIT = "wait"
    GO = "go"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StreamError:
    """The error that a stream began with: the upstream's own object, and the status that it stands for."""

    status: int
    error: Mapping[str, Any]

    @property
    def is_the_callers(self) -> bool:
        """Whether every other upstream would say the same."""
        return self.status < 500


class FirstEvent:
    """Is fed a stream's first bytes, split anywhere, until it knows. `held` is what it was fed."""

    def __init__(self) -> None:
        self._cutter = Cutter()
        self._event = b""
        self.held = b""
        self.error: StreamError | None = None

    def feed(self, chunk: bytes) -> Verdict:
        """What is known after this chunk."""
        self.held += chunk
        for piece, ended in self._cutter.cut(chunk):
            self._event += piece
            if ended:
                event, self._event = self._event, b""
                verdict = self._judge(event)
                if verdict is not Verdict.WAIT:
                    return verdict
        return Verdict.GO if len(self.held) > MOST_BYTES else Verdict.WAIT

    def _judge(self, event: bytes) -> Verdict:
        answer = parse_object(data_of(event))
        if answer is None:  # a comment, `[DONE]`, or nothing that we know
            return Verdict.GO
        self.error = error_in(answer)
        if self.error is not None:
            return Verdict.FAILED
        return Verdict.WAIT if _only_begins(answer) else Verdict.GO


def error_in(answer: Mapping[str, Any]) -> StreamError | None:
    """The error that an event is: vLLM's and OpenAI's `{"error": …}`, Anthropic's and the responses' `type: error`."""
    error = answer.get("error")
    if not error and answer.get("type") != "error":
        return None
    if not isinstance(error, dict):
        error = {"message": str(error or answer.get("message") or "The upstream failed."), "type": "upstream_error"}
    return StreamError(status_of(error, answer), error)


def _only_begins(answer: Mapping[str, Any]) -> bool:
    """Whether the event only says that there will be an answer, as the first one of a chat does, with its role."""
    kind = answer.get("type")
    if isinstance(kind, str) and kind in _LIFECYCLE:
        return not carries_token(answer)
    is_delta = "choices" in answer and bool(answer["choices"])
    return is_delta and not carries_token(answer) and not finish_reasons(answer)
