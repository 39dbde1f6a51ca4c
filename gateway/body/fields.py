"""What is read from a request body, where it stands, and how the scanners are fed. Knows no format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

LIMIT = 65_536
"""Bytes that a wanted value (and any one token between them) may have; beyond it the body is not readable."""

BLOCK = 65_536
"""Bytes that are gathered before they are looked at, so that tiny pieces cost no more than large ones."""

MORE = -1
"""What a step returns when it cannot go on without further bytes."""

Span = tuple[int, int]

_TRUE = frozenset(("true", "t", "yes", "y", "on", "1"))


class Irregular(Exception):
    """The body is not one that vLLM and we would surely read alike."""


def is_true(value: object) -> bool:
    """Whether vLLM (pydantic's lax mode) takes a field's value for true: true, 1, 1.0, "true", "on", "yes" …"""
    if isinstance(value, str):
        return value.lower() in _TRUE
    return isinstance(value, int | float) and value == 1


@dataclass(frozen=True, slots=True)
class Fields:
    """The few top-level fields of a request body.

    Nothing is known when `readable` is false (no object at the top level, not well-formed there, too deep, a `model`
    that is not text …). A field that is missing or null is None, and so is a `user` that is not text, or empty in JSON.
    `model` may be "", which vLLM takes for none. `user` is whom the caller says the call is for; `max_tokens` and
    `choices` are what may be written at most, and how often. Spans are (start, end) in bytes of the whole body: of the
    value as written.
    `after_brace` is the offset after the opening `{`; `empty` tells that nothing stands between it and the `}`.
    """

    readable: bool
    kind: str = "json"
    duplicate_model: bool = False
    model: str | None = None
    stream: object = None
    user: str | None = None
    max_tokens: int | None = None
    choices: int = 1
    stream_options: object = None
    stream_include_usage: object = None
    model_span: Span | None = None
    stream_options_span: Span | None = None
    after_brace: int | None = None
    empty: bool = False

    @property
    def streaming(self) -> bool:
        """Whether vLLM will answer with a stream, where the route can."""
        return is_true(self.stream)

    @property
    def include_usage(self) -> bool:
        """Whether the caller asked for a stream's usage."""
        options = self.stream_options
        return is_true(self.stream_include_usage) or (
            isinstance(options, dict) and is_true(options.get("include_usage"))
        )


UNREADABLE = Fields(readable=False)


class Scanner:
    """Feeds a body to steps, piece by piece, holding no more of it than the token that is being read.

    A step takes the bytes at hand and a position and returns the new one, MORE, or raises Irregular; it names the
    next step in `_step`. `_base` is the offset of the bytes at hand in the whole body.
    """

    def __init__(self) -> None:
        self._step: Callable[[bytes, int], int]
        self._base = 0
        self._pieces: list[bytes] = []
        self._held = 0
        self._wanted = BLOCK
        self._irregular = False

    def feed(self, chunk: bytes) -> None:
        """Takes the next piece of the body, of any size. Never raises."""
        if self._irregular:
            return
        self._pieces.append(chunk)
        self._held += len(chunk)
        if self._held >= self._wanted:
            self._run()
            if self._held > LIMIT:
                self._give_up()

    def _run(self) -> None:
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        position = 0
        try:
            while position < len(data):
                reached = self._step(data, position)
                if reached < 0:
                    break
                position = reached
        except Irregular:
            self._give_up()
            return
        self._base += position
        self._pieces = [data[position:]] if position else [data]
        self._held = len(data) - position
        self._wanted = self._held + BLOCK

    def _give_up(self) -> None:
        self._irregular = True
        self._pieces = []
        self._held = 0
