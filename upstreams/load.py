"""How busy a vLLM server says it is: four figures out of its `/metrics`. Bytes in, values out."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

# One line of Prometheus text: name, labels (whose values may hold anything but a line end), value.
_LINE = re.compile(
    rb"^vllm:(num_requests_running|num_requests_waiting|kv_cache_usage_perc|gpu_cache_usage_perc)"
    rb"(?:\{.*\})?[ \t]+([^\s]+)",
    re.MULTILINE,
)
_RUNNING, _WAITING = b"num_requests_running", b"num_requests_waiting"
_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Figures:
    """vLLM's own figures: calls that it works on, calls that wait, and use of the KV cache (0 to 1; None: unknown)."""

    running: int
    waiting: int
    kv_cache_use: float | None


def read(text: bytes) -> Figures | None:
    """The figures of a whole server, its engines together; None when the text does not tell them.

    `kv_cache_usage_perc` is, whatever its name says, a share of 1; before vLLM 0.11 it was `gpu_cache_usage_perc`.
    """
    counts: dict[bytes, float] = {}
    shares: list[float] = []
    for name, written in _LINE.findall(text):
        value = _number(written)
        if value is None:
            continue
        if name in (_RUNNING, _WAITING):
            counts[name] = counts.get(name, 0.0) + value
        else:
            shares.append(min(value, 1.0))
    if len(counts) != 2:
        return None
    use = sum(shares) / len(shares) if shares else None
    return Figures(int(min(counts[_RUNNING], _MOST)), int(min(counts[_WAITING], _MOST)), use)


def _number(written: bytes) -> float | None:
    try:
        value = float(written)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
