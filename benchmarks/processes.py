"""What the kernel knows about processes (CPU, memory, children, environment), and starting and ending our own.

Ends a process only by the pid it was started with. Linux only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_TICK = os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Memory:
    """Megabytes (10^6 bytes): resident, and the share of it that is this process's own by PSS."""

    rss: float
    pss: float


def cpu_seconds(pid: int) -> float:
    """CPU used by all threads of a process so far (utime + stime); 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICK


def memory(pid: int) -> Memory:
    """What a process occupies now."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return Memory(0.0, 0.0)
    kilobytes = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
    return Memory(kilobytes["Rss"] * 1024 / 1e6, kilobytes["Pss"] * 1024 / 1e6)


def environment(pid: int) -> dict[str, str]:
    """The environment that a process was started with."""
    try:
        data = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (item.partition("=") for item in data.decode(errors="replace").split("\0"))
    return {name: text for name, _, text in pairs}


def family(root: int) -> dict[int, int]:
    """All living descendants of a process, itself included: pid to parent's pid."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = {root: parents.get(root, 0)}
    grown = True
    while grown:
        more = {pid: parent for pid, parent in parents.items() if parent in found and pid not in found}
        found.update(more)
        grown = bool(more)
    return found


class Child:
    """A process of ours that lives as long as its standard input is open and speaks lines of JSON."""

    def __init__(self, arguments: list[str]) -> None:
        self._process = subprocess.Popen(
            arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.pid = self._process.pid

    def say(self, line: str) -> None:
        """Gives it a line to read."""
        pipe = _pipe(self._process.stdin)
        pipe.write(line + "\n")
        pipe.flush()

    def line(self) -> str:
        """The next line of its output. Raises RuntimeError when it has ended without one."""
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended with status {self._process.wait()}")
        return line

    def end(self) -> None:
        """Ends it. Harmless twice."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                _pipe(pipe).close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def end_family(process: subprocess.Popen[bytes], grace: float) -> None:
    """SIGTERM to a process, SIGKILL after `grace` seconds to whatever is left of it and its descendants."""
    pids = family(process.pid)
    started = {pid: _start_time(pid) for pid in pids}
    if process.poll() is None:
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=grace)
    deadline = time.monotonic() + 2
    while (left := _alive(started)) and time.monotonic() < deadline and process.returncode is not None:
        time.sleep(0.05)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _alive(started: dict[int, str]) -> Iterable[int]:
    return [pid for pid, when in started.items() if when and _start_time(pid) == when]


def _start_time(pid: int) -> str:
    """Tells a process from a later one with the same pid; empty when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
