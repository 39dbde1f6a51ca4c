"""A call's timeline as bars on one scale. Pure: times in, positions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

WIDTH = 1000
THINNEST = 3.0

_WORDS = {
    "upstream head": "Until the upstream's head",
    "first token": "Until the first token",
    "end": "Until the end",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One stretch of a call. `x` and `width` are parts of WIDTH; times in milliseconds from receiving it."""

    name: str
    kind: str
    start_ms: float
    length_ms: float
    x: float
    width: float


def bars(moments: Sequence[tuple[str, float]]) -> list[Bar]:
    """The stretches between a call's moments (name, milliseconds since the first), which are in order."""
    whole = max((at for _, at in moments), default=0.0) or 1.0
    found = []
    for (_, start), (name, end) in pairwise(moments):
        width = max(THINNEST, (end - start) / whole * WIDTH)
        x = min(start / whole * WIDTH, WIDTH - width)
        kind = name.replace(" ", "-")
        found.append(Bar(_WORDS.get(name, name), kind, start, end - start, round(x, 1), round(width, 1)))
    return found
