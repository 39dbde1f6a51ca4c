"""Call ids: UUIDs of version 7 (RFC 9562), which sort by the time at which they were made.

Knows nothing of calls or tables.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from common.short_lock import short_lock

_FRACTION_BITS = 12
_RANDOM_BITS = 62
_LARGEST_MS = (1 << 48) - 1


class CallIds:
    """Makes call ids that grow strictly within this process, also when the clock stands still or goes back.

    The 12 bits after the milliseconds are a fraction of one (RFC 9562, section 6.2, method 3), so that ids of
    several processes sort to about a quarter of a microsecond.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], int] = time.time_ns,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._clock = clock
        self._random_bytes = random_bytes
        self._last = -1
        self._lock = short_lock()

    def new(self) -> str:
        """The next id as 32 hexadecimal digits."""
        ms, rest = divmod(self._clock(), 1_000_000)
        ticks = (ms << _FRACTION_BITS) | ((rest << _FRACTION_BITS) // 1_000_000)
        with self._lock:
            ticks = self._last = max(ticks, self._last + 1)
        return f"{_assemble(ticks, int.from_bytes(self._random_bytes(8), 'big')):032x}"


def _assemble(ticks: int, random: int) -> int:
    ms, fraction = ticks >> _FRACTION_BITS, ticks & ((1 << _FRACTION_BITS) - 1)
    noise = random & ((1 << _RANDOM_BITS) - 1)
    return (ms << 80) | (7 << 76) | (fraction << 64) | (2 << 62) | noise


def first_at(moment: datetime) -> UUID:
    """The lowest UUID of this moment, in whole milliseconds; only ids made before it are smaller."""
    ms = int(moment.timestamp() * 1000)
    return UUID(int=min(max(ms, 0), _LARGEST_MS) << 80)


new_call_id = CallIds().new
