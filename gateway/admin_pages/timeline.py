"""The timeline of a call, as bars of a drawing: moments in, positions out. Pure.

Older rows know the moments from the upstream's head on; newer ones also what came before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

WIDTH = 1000
THINNEST = 3.0

_WORDS = {
    "auth": "Key and head checked",
    "body": "Body received",
    "choice": "Limits taken, upstream chosen",
    "queue": "Waited for a place",
    "connect": "Connected",
    "upstream head": "Until the upstream's head",
    "first token": "Until the first token",
    "end": "Until the end",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One stretch of a call. `x` and `width` are parts of WIDTH; times in milliseconds from the call's beginning."""

    name: str
    kind: str
    start_ms: float
    length_ms: float
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """What the call did from one moment to the next, in milliseconds; `kind` is a key of the words, or `failed`."""

    kind: str
    start: float
    end: float
    name: str = ""


def bars(moments: Sequence[tuple[str, float]]) -> list[Bar]:
    """The stretches between a call's moments (name, milliseconds since the first), which are in order."""
    return drawn([Stretch(name, start, end) for (_, start), (name, end) in pairwise(moments)])


def drawn(stretches: Sequence[Stretch]) -> list[Bar]:
    """The stretches to scale, the first of which begins where the call does."""
    if not stretches:
        return []
    first = stretches[0].start
    whole = max(one.end for one in stretches) - first or 1.0
    found = []
    for one in stretches:
        width = max(THINNEST, (one.end - one.start) / whole * WIDTH)
        x = min((one.start - first) / whole * WIDTH, WIDTH - width)
        found.append(
            Bar(
                name=one.name or _WORDS.get(one.kind, one.kind),
                kind=one.kind.replace(" ", "-"),
                start_ms=one.start - first,
                length_ms=one.end - one.start,
                x=round(x, 1),
                width=round(width, 1),
            )
        )
    return found


def stretches_of(
    moments: Sequence[tuple[str, float]],
    at: Mapping[str, float],
    tried: Sequence[Sequence[Any]] = (),
    queue_ms: float | None = None,
) -> list[Stretch]:
    """All that is known of a call's time.

    `moments` are the row's own, as for `bars`; `at` and `tried` are what its `decisions` noted, all in milliseconds
    from receiving it (`gateway.account.decisions`).
    """
    if not at:
        return [Stretch(name, start, end) for (_, start), (name, end) in pairwise(moments)]
    found = list(_before(at, tried, queue_ms))
    reached = found[-1].end if found else at.get("began", 0.0)
    for name, end in moments[1:]:
        if end >= reached:
            found.append(Stretch(name, reached, end))
            reached = end
    return found


def _before(at: Mapping[str, float], tried: Sequence[Sequence[Any]], queue_ms: float | None) -> Iterator[Stretch]:
    """What came before the last upstream's head."""
    reached = at.get("began", 0.0)
    for kind, name in (("auth", "checked"), ("body", "body")):
        if name in at:
            yield Stretch(kind, reached, at[name])
            reached = at[name]
    for name, asked, ended, end in tried:
        if asked >= reached:
            yield Stretch("choice", reached, asked)
            yield Stretch("failed", asked, ended, f"{name}: {str(end).replace('_', ' ')}")
            reached = ended
    asked = at.get("asked", 0.0)
    if asked >= reached and "asked" in at:
        waited = min(queue_ms or 0.0, asked - reached)
        yield Stretch("choice", reached, asked - waited)
        if waited:
            yield Stretch("queue", asked - waited, asked)
        reached = asked
    if at.get("connected", 0.0) >= reached and "connected" in at:
        yield Stretch("connect", reached, at["connected"])
