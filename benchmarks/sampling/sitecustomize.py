"""Samples the stacks of the relay worker while it uses CPU; on the path only with `python -m benchmarks --profile`.

Python imports this module at the start of every process of the gateway; it does something only in the children that
the relay's master forks. One sample for each millisecond of CPU (or kernel tick, if that is longer), written as
collapsed stacks, "outermost;…;innermost count", to `BENCHMARK_PROFILE_DIR/<pid>`.
"""

import os
import signal
from collections import Counter
from pathlib import Path
from types import FrameType

_INTERVAL = 0.001
_SAMPLES_BETWEEN_WRITES = 50
_counts: Counter[tuple[str, ...]] = Counter()


def _name(frame: FrameType) -> str:
    code = frame.f_code
    return f"{'/'.join(code.co_filename.split('/')[-2:])}:{code.co_qualname}"


def _sample(signum: int, frame: FrameType | None) -> None:
    stack = []
    while frame is not None:
        stack.append(_name(frame))
        frame = frame.f_back
    _counts[tuple(reversed(stack))] += 1
    if _counts.total() % _SAMPLES_BETWEEN_WRITES == 0:
        _write()


def _write() -> None:
    lines = [f"{';'.join(stack)} {count}\n" for stack, count in _counts.items()]
    Path(os.environ["BENCHMARK_PROFILE_DIR"], str(os.getpid())).write_text("".join(lines))


def _begin() -> None:
    _counts.clear()
    signal.signal(signal.SIGPROF, _sample)
    signal.siginterrupt(signal.SIGPROF, False)
    signal.setitimer(signal.ITIMER_PROF, _INTERVAL, _INTERVAL)


if os.environ.get("GATEWAY_PLANE") == "relay" and os.environ.get("BENCHMARK_PROFILE_DIR"):
    os.register_at_fork(after_in_child=_begin)
