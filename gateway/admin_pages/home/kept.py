"""What was found for somebody, kept for a while: whoever watches a page asks for the same again every few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Found = TypeVar("Found")


def always(found: object) -> bool:
    """Every finding is kept."""
    return True


class Kept(Generic[Found]):
    """Keeps each finding that is `worth` it for so many seconds. `clock` gives seconds. Used by several threads."""

    def __init__(
        self, seconds: float, worth: Callable[[Found], bool] = always, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._worth = worth
        self._clock = clock
        self._found: dict[Hashable, tuple[float, Found]] = {}
        self._lock = threading.Lock()

    def of(self, asked: Hashable, look: Callable[[], Found]) -> Found:
        """What was found last for what is asked; looks when that is too old, and then drops all that is."""
        now = self._clock()
        with self._lock:
            known = self._found.get(asked)
        if known is not None and now - known[0] < self._seconds:
            return known[1]
        found = look()
        with self._lock:
            self._found = {key: kept for key, kept in self._found.items() if now - kept[0] < self._seconds}
            if self._worth(found):
                self._found[asked] = (now, found)
        return found

    def __len__(self) -> int:
        return len(self._found)

    def forget(self) -> None:
        """Looks anew."""
        with self._lock:
            self._found.clear()
