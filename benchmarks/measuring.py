"""Carries one load out and reads what it cost. Knows no goals."""

from __future__ import annotations

import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks import gateway, load, processes
from benchmarks.load import Plan, Result
from benchmarks.processes import Child, Memory

GENERATOR, UPSTREAM = "load generator", "upstream"
_HEAD_START = 0.05  # seconds until all generators have their plans


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile (`share` between 0 and 1); NaN of nothing."""
    if not sorted_values:
        return math.nan
    return sorted_values[max(0, math.ceil(share * len(sorted_values)) - 1)]


@dataclass
class Measurement:
    """One load, made directly or through the gateway. Times in ms, CPU in seconds of the window, by role.

    `p50`, `p99` and `worst` are of the latency of short calls, or of the lag of chunks.
    """

    through: str
    seconds: float
    offered: float  # calls or chunks a second; NaN where each call waits for the one before
    reached: float
    count: int
    completed: int
    failed: int
    errors: dict[str, int]
    p50: float
    p99: float
    worst: float
    ttft_p50: float
    ttft_p99: float
    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, list[Memory]] = field(default_factory=dict)

    def cpu_each(self, *roles: str) -> float:
        """CPU seconds of these roles for each call or chunk of the window."""
        return sum(self.cpu.get(role, 0.0) for role in roles) / self.count if self.count else math.nan

    @property
    def relay_cpu_each(self) -> float:
        """CPU seconds of the relay workers for each call or chunk."""
        return self.cpu_each(gateway.RELAY) if self.cpu.get(gateway.RELAY) else math.nan

    @property
    def relay_rss(self) -> float:
        """MB of the largest relay worker at the end of the window."""
        return max((memory.rss for memory in self.memory.get(gateway.RELAY, [])), default=math.nan)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Target:
    """Where a load goes: a port, the path of chat completions there, a key, and whose CPU and memory it costs."""

    through: str
    port: int
    path: str
    key: str
    roles: Callable[[], dict[int, str]]
    log_in: Callable[[], None] | None = None  # one log-in to the admin, where there is one


def measure(
    target: Target,
    *,
    kind: str,
    slots: int,
    rate: float,
    ramp: float,
    seconds: float,
    generators: int = 1,
    log_ins: int = 0,
) -> Measurement:
    """Runs `generators` load generators side by side and ends them, whatever happens.

    `log_ins` are spread over the window, for a target that has an admin.
    """
    children: list[Child] = []
    try:
        for _ in range(generators):
            children.append(load.started())  # noqa: PERF401 - those before are ended when one fails to start
        start_at = time.monotonic() + _HEAD_START
        window = (start_at + ramp, start_at + ramp + seconds)
        for number, child in enumerate(children):
            share = slots // generators + (number < slots % generators)
            plan = Plan(kind, target.port, target.path, share, start_at, *window, rate=rate, key=target.key)  # type: ignore[arg-type]
            load.begin(child, plan)
        roles = {**target.roles(), **{child.pid: GENERATOR for child in children}}
        with _busy(target.log_in, log_ins, window[0], seconds):
            used, occupied = _watch(roles, *window)
        result = Result()
        for child in children:
            result.add(Result.load(child.line()))
    finally:
        for child in children:
            child.end()
    return _measurement(target.through, kind, seconds, slots * rate or math.nan, result, used, occupied)


@contextlib.contextmanager
def _busy(log_in: Callable[[], None] | None, count: int, window_from: float, seconds: float) -> Iterator[None]:
    """Logs in `count` times meanwhile."""
    if log_in is None or not count:
        yield
        return

    def run() -> None:
        for number in range(count):
            time.sleep(max(0.0, window_from + number * seconds / count - time.monotonic()))
            log_in()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(run)
        yield
    done.result()


def _watch(
    roles: dict[int, str], window_from: float, window_to: float
) -> tuple[dict[str, float], dict[str, list[Memory]]]:
    """The CPU that each role uses in the window, and each process's memory at its end."""
    time.sleep(max(0.0, window_from - time.monotonic()))
    before = {pid: processes.cpu_seconds(pid) for pid in roles}
    time.sleep(max(0.0, window_to - time.monotonic()))
    used: dict[str, float] = defaultdict(float)
    for pid, role in roles.items():
        used[role] += processes.cpu_seconds(pid) - before[pid]
    occupied: dict[str, list[Memory]] = defaultdict(list)
    for pid, role in roles.items():
        occupied[role].append(processes.memory(pid))
    return dict(used), dict(occupied)


def _measurement(
    through: str,
    kind: str,
    seconds: float,
    offered: float,
    result: Result,
    used: dict[str, float],
    occupied: dict[str, list[Memory]],
) -> Measurement:
    times = sorted(result.latency_ms if kind == "calls" else result.lag_ms)
    ttft = sorted(result.ttft_ms)
    return Measurement(
        through=through,
        seconds=seconds,
        offered=offered,
        reached=result.in_window / seconds,
        count=result.in_window,
        completed=result.completed,
        failed=result.errors.total(),
        errors=dict(result.errors),
        p50=percentile(times, 0.5),
        p99=percentile(times, 0.99),
        worst=times[-1] if times else math.nan,
        ttft_p50=percentile(ttft, 0.5),
        ttft_p99=percentile(ttft, 0.99),
        cpu=used,
        memory=occupied,
    )
