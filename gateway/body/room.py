"""How much of all bodies on their way may be held at once, in memory and on disk; what comes beyond is refused.

Two bounds, so that nobody who sends large bodies keeps the small ones (a log-in, a new key) out. Knows no request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Room:
    """Room for `memory` bytes of bodies of at most `small` bytes each, and for `disk` bytes of larger ones.

    Shared by greenlets, which switch only where they wait: no step here does, so none needs a lock.
    """

    def __init__(self, *, memory: int, disk: int, small: int) -> None:
        self._most = (memory, disk)
        self._held = [0, 0]
        self._small = small

    @property
    def held(self) -> tuple[int, int]:
        """Bytes in memory and on disk."""
        return self._held[0], self._held[1]

    @contextmanager
    def place(self, full: type[Exception]) -> Iterator[Callable[[int], None]]:
        """Gives what one body tells how many of its bytes have come so far; it raises `full` beyond the bounds."""
        kind = held = 0

        def grow(total: int) -> None:
            nonlocal kind, held
            self._held[kind] -= held
            kind, held = int(total > self._small), total
            self._held[kind] += held
            if self._held[kind] > self._most[kind]:
                raise full

        try:
            yield grow
        finally:
            self._held[kind] -= held
