"""What was seen of an upstream, as its page draws it: stretches of health, and load in even steps. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

WIDTH = 1000
THINNEST = 3.0
MOST_STEPS = 288
SHORTEST_STEP = 30
AWAITED = 60
"""Seconds."""

Change = tuple[datetime, str]
Sample = tuple[datetime, int, int, float | None]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time of one health. `x` and `width` are parts of WIDTH."""

    health: str
    start: datetime
    end: datetime
    x: float
    width: float


def stretches(changes: Sequence[Change], start: datetime, end: datetime, *, before: str) -> list[Stretch]:
    """The times of one health each from `start` to `end`; `changes` in order, `before` the health at the start."""
    whole = (end - start).total_seconds()
    moments = [(start, before), *((at, health) for at, health in changes if start < at < end)]
    found = []
    for number, (at, health) in enumerate(moments):
        until = moments[number + 1][0] if number + 1 < len(moments) else end
        width = max(THINNEST, (until - at).total_seconds() / whole * WIDTH)
        x = min((at - start).total_seconds() / whole * WIDTH, WIDTH - width)
        found.append(Stretch(health, at, until, round(x, 1), round(width, 1)))
    return found


def share(found: Iterable[Stretch], health: str, *, of: Iterable[str]) -> float | None:
    """How much of the time in any of the healths `of` was spent in one; None when there was no such time."""
    seconds = dict.fromkeys(of, 0.0)
    for stretch in found:
        if stretch.health in seconds:
            seconds[stretch.health] += (stretch.end - stretch.start).total_seconds()
    whole = sum(seconds.values())
    return seconds.get(health, 0.0) / whole if whole else None


def load_chart(samples: Iterable[Sample], start: datetime, end: datetime) -> dict[str, Any]:
    """A chart (as `{% chart %}` takes it) of the calls that run and wait, and of the KV cache in per cent.

    Steps are even, so a time without a sample is a gap, also one that lasts until now; of several samples in a step the
    highest counts.
    """
    first, last = int(start.timestamp()), int(end.timestamp())
    step = max(SHORTEST_STEP, -(-(last - first) // MOST_STEPS))
    highest: dict[int, list[float | None]] = {}
    for at, running, waiting, use in samples:
        told = (running, waiting, None if use is None else round(use * 100, 1))
        known = highest.setdefault((int(at.timestamp()) - first) // step, [None, None, None])
        for place, value in enumerate(told):
            if value is not None:
                known[place] = max(value, known[place] or 0)
    current = (last - first - AWAITED) // step  # the sample of this moment may still come
    steps = range(min(highest), max(current, *highest) + 1) if highest else range(0)
    none: list[float | None] = [None, None, None]
    named = (("running", "calls"), ("waiting", "calls"), ("KV-cache use", "%"))
    return {
        "x": [first + one * step for one in steps],
        "series": [
            {"name": name, "unit": unit, "values": [highest.get(one, none)[place] for one in steps]}
            for place, (name, unit) in enumerate(named)
        ],
        "stacked": False,
        "kind": "line",
    }


def lasted(length: timedelta) -> str:
    """A length of time in its two greatest units."""
    seconds = int(length.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3600} h"
