"""Histograms of times in milliseconds, in fixed buckets, so that they add up.

Each bucket is twice as wide as the one before. Bucket n counts the times up to bound n and above the one before
it; the last counts all that are longer. Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

TTFT_BOUNDS_MS = tuple(10.0 * 2**n for n in range(14))  # 10 ms to 82 s
DURATION_BOUNDS_MS = tuple(50.0 * 2**n for n in range(16))  # 50 ms to 27 minutes

TTFT_COLUMNS = tuple(f"ttft_bucket_{n:02}" for n in range(len(TTFT_BOUNDS_MS) + 1))
DURATION_COLUMNS = tuple(f"duration_bucket_{n:02}" for n in range(len(DURATION_BOUNDS_MS) + 1))


def bucket_of(bounds: Sequence[float], milliseconds: float) -> int:
    """The number of the bucket that a time belongs to."""
    return bisect_left(bounds, milliseconds)


def percentile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """The time in milliseconds that `share` (0 to 1) of the calls did not exceed; None without calls.

    Read off linearly within its bucket, so it is at most a factor of two away; a time in the last bucket,
    which is open, is reported as its lower bound.
    """
    total = sum(counts)
    if not total:
        return None
    wanted, seen = share * total, 0
    for number, count in enumerate(counts[: len(bounds)]):
        if count and seen + count >= wanted:
            lower = bounds[number - 1] if number else 0.0
            return lower + (bounds[number] - lower) * max(wanted - seen, 0) / count
        seen += count
    return bounds[-1]
