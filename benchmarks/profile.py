"""Reads the relay's samples (see `sampling/sitecustomize.py`) and lists the functions that cost most."""

from __future__ import annotations

from collections import Counter
from pathlib import Path


def table(folder: Path, rows: int = 30) -> str:
    """The functions with the most CPU of their own and with all they call, in percent of the samples."""
    own: Counter[str] = Counter()
    with_calls: Counter[str] = Counter()
    for line in "".join(path.read_text() for path in folder.iterdir()).splitlines():
        stack, _, count = line.rpartition(" ")
        names = stack.split(";")
        own[names[-1]] += int(count)
        for name in set(names):
            with_calls[name] += int(count)
    total = own.total()
    if not total:
        return "No samples: was the relay forked by a process with GATEWAY_PLANE=relay?"
    parts = [f"{total} samples of the relay worker"]
    for title, counts in (("own", own), ("with calls", with_calls)):
        parts += ["", f"  {title}"]
        parts += [f"  {100 * count / total:5.1f} %  {name}" for name, count in counts.most_common(rows)]
    return "\n".join(parts)
