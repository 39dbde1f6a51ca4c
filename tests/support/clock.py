"""A time that only passes when a test says so."""

from __future__ import annotations


class Clock:
    """Stands in for `time.time` or `time.monotonic`: set `now`, in seconds."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
