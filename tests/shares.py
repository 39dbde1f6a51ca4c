"""`--share 1/2`: the tests that start nothing are divided by files, so that shares of them run beside each other.

How long a file takes is remembered from run to run, in pytest's cache; of one that never ran its size tells.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.parts import TESTS, starts_some

BYTES_PER_SECOND = 24_000
"""Of a test file, about."""
ABOUT_A_REPORT = 0.0003
"""What pytest does for a test takes time too; of each test it reports three times."""
MOST_SHARES = 64

_taken: Counter[str] = Counter()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", metavar="1/2", help="only a half of the test files that start nothing, the first")


def pytest_configure(config: pytest.Config) -> None:
    if share := config.getoption("--share"):
        config.pluginmanager.register(Share(*map(int, share.split("/"))), "share")


class Share:
    """One of so many."""

    def __init__(self, which: int, of: int) -> None:
        self._which, self._of = which, of
        self._files: set[Path] = set()

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._files = shares_of(_seconds(session.config), self._of)[self._which - 1]

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        return True if collection_path.is_file() and collection_path not in self._files else None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        _taken[report.nodeid.partition("::")[0]] += report.duration + ABOUT_A_REPORT

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A run of some tests alone tells nothing of their files."""
        config = session.config
        if config.args == config.getini("testpaths") and not config.getoption("keyword") and not session.testsfailed:
            config.cache.set(f"shares/{self._which}", {name: round(taken, 2) for name, taken in _taken.items()})


def _seconds(config: pytest.Config) -> dict[Path, float]:
    """How long each file takes."""
    known: dict[str, Any] = {}
    for number in range(1, MOST_SHARES + 1):
        known |= config.cache.get(f"shares/{number}", {})
    files = [path for path in TESTS.rglob("test_*.py") if not starts_some(path)]
    return {path: known.get(str(path.relative_to(TESTS.parent)), _expected(path)) for path in files}


def _expected(path: Path) -> float:
    return path.stat().st_size / BYTES_PER_SECOND


def shares_of(seconds: dict[Path, float], of: int) -> list[set[Path]]:
    """The files in so many shares that take about as long as each other: the longest first, each to the shortest."""
    shares: list[set[Path]] = [set() for _ in range(of)]
    sums = [0.0] * of
    for path in sorted(seconds, key=lambda path: (-seconds[path], path)):
        shortest = sums.index(min(sums))
        shares[shortest].add(path)
        sums[shortest] += seconds[path]
    return shares
