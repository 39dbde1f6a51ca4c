"""Which files of tests run beside each other: divided once, before the shares begin, which all read the same plan.

How long a file took in the last runs is remembered; of one that never ran its size tells. What that does not foresee
evens out at the end: some files that need no database are for whichever share comes to them first.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

from tests.parts import TESTS, starts_some

KEPT = TESTS.parent / ".pytest_cache" / "last_runs.json"
"""How long files took in the last runs, in seconds, the newest last."""
BYTES_PER_SECOND = 24_000
"""Of a test file, about."""
SMALL_FOLDER = 0.05
"""Of all that the files take: those of a folder that takes less stay together. They import the same."""
WORTH_A_CLAIM = 0.1
"""Seconds: a shorter file is not worth being collected in every share."""
RUNS = 3
"""Of so many the shortest counts: a file that was the first to use something took the time of that, too."""
PLAN, TAKEN = "plan.json", "taken-*.json"
"""What is in the folder that the shares have in common."""

Known = dict[str, list[float]]


def plan(folder: Path, of: int) -> None:
    """Divides the files, for so many shares that are told of the folder."""
    seconds = _seconds(_known())
    units = units_of(seconds)
    for_all = for_whoever_comes_first(seconds, units)
    taken: Counter[Path] = Counter()
    for path in seconds:
        if path not in for_all:
            taken[units[path]] += seconds[path]
    shares = [sorted(str(path) for path in seconds if units[path] in share) for share in shares_of(taken, of)]
    (folder / PLAN).write_text(json.dumps({"shares": shares, "for_all": [str(path) for path in for_all]}))


def remember(folder: Path) -> None:
    """How long files took, as the shares have told in the folder; of files that are gone nothing is kept."""
    known = _known()
    for told in sorted(folder.glob(TAKEN)):
        for name, taken in json.loads(told.read_text()).items():
            known[name] = [*known.get(name, ()), taken][-RUNS:]
    KEPT.parent.mkdir(exist_ok=True)
    unfinished = KEPT.with_suffix(f".{os.getpid()}")
    unfinished.write_text(json.dumps({name: runs for name, runs in known.items() if (TESTS.parent / name).exists()}))
    unfinished.replace(KEPT)


def _known() -> Known:
    try:
        known: Known = json.loads(KEPT.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return known


def _seconds(known: Known) -> dict[Path, float]:
    """How long each file takes."""
    files = sorted(path for path in TESTS.rglob("test_*.py") if not starts_some(path))
    names = {path: str(path.relative_to(TESTS.parent)) for path in files}
    return {path: min(known[name]) if name in known else _expected(path) for path, name in names.items()}


def _expected(path: Path) -> float:
    return path.stat().st_size / BYTES_PER_SECOND


def units_of(seconds: dict[Path, float]) -> dict[Path, Path]:
    """What each file stays together with: its folder, where that is small, else itself alone."""
    folders: Counter[Path] = Counter()
    for path, taken in seconds.items():
        folders[path.parent] += taken
    large = SMALL_FOLDER * sum(seconds.values())
    return {path: path if folders[path.parent] > large else path.parent for path in seconds}


def for_whoever_comes_first(seconds: dict[Path, float], units: dict[Path, Path]) -> list[Path]:
    """The longest first. Without a database: tests with one run before others that commit, which run before these."""
    alone = [path for path, taken in seconds.items() if units[path] == path and taken >= WORTH_A_CLAIM]
    return sorted((one for one in alone if "db" not in one.read_text()), key=lambda path: (-seconds[path], path))


def shares_of(seconds: dict[Path, float], of: int) -> list[set[Path]]:
    """Files or folders in so many shares that take about as long as each other: the longest first, each to the
    shortest."""
    shares: list[set[Path]] = [set() for _ in range(of)]
    sums = [0.0] * of
    for path in sorted(seconds, key=lambda path: (-seconds[path], path)):
        shortest = sums.index(min(sums))
        shares[shortest].add(path)
        sums[shortest] += seconds[path]
    return shares
