"""`--share 1/2`: the tests that start nothing are divided by files, so that shares of them run beside each other.

How long a file took in the last runs is remembered, in pytest's cache; of one that never ran its size tells. What that
does not foresee evens out at the end: with `--claims=FOLDER`, the same for all shares, some files that need no database
are in all of them, come last, and run where one is first to claim them by a file in that folder.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.parts import TESTS, starts_some

BYTES_PER_SECOND = 24_000
"""Of a test file, about."""
ABOUT_A_REPORT = 0.0003
"""What pytest does for a test takes time too; of each test it reports three times."""
SMALL_FOLDER = 0.05
"""Of all that the files take: those of a folder that takes less stay together. They import the same."""
WORTH_A_CLAIM = 0.1
"""Seconds: a shorter file is not worth being collected in every share."""
MOST_SHARES = 64
RUNS = 3
"""Of so many the shortest counts: a file that was the first to use something took the time of that, too."""

_taken: Counter[str] = Counter()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", metavar="1/2", help="only a half of the test files that start nothing, the first")
    parser.addoption("--claims", metavar="FOLDER", type=Path, help="where shares tell each other what they have begun")


def pytest_configure(config: pytest.Config) -> None:
    if share := config.getoption("--share"):
        config.pluginmanager.register(Share(*map(int, share.split("/")), config.getoption("--claims")), "share")


class Claims:
    """What shares have begun, told to each other by files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[int, bool] = {}

    def made(self, number: int) -> bool:
        """Whether it is ours: nobody else was first to claim what has this number."""
        if number not in self._made:
            try:
                os.close(os.open(self._folder / str(number), os.O_CREAT | os.O_EXCL))
                self._made[number] = True
            except FileExistsError:
                self._made[number] = False
        return self._made[number]


class Share:
    """One of so many."""

    def __init__(self, which: int, of: int, claims: Path | None) -> None:
        self._which, self._of, self._claims = which, of, Claims(claims) if claims else None
        self._known: dict[str, list[float]] = {}
        self._files: set[Path] = set()
        self._turns: dict[Path, int] = {}

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._known = _known(session.config)
        seconds = _seconds(self._known)
        units = units_of(seconds)
        shared = for_whoever_comes_first(seconds, units) if self._claims else []
        taken: Counter[Path] = Counter()
        for path in seconds.keys() - set(shared):
            taken[units[path]] += seconds[path]
        own = shares_of(taken, self._of)[self._which - 1]
        self._turns = {path: turn for turn, path in enumerate(shared, start=1)}
        self._files = {path for path, unit in units.items() if unit in own or path in self._turns}

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        return True if collection_path.is_file() and collection_path not in self._files else None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self._turns.get(item.path, 0))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        turn = self._turns.get(item.path)
        if turn is None or self._claims is None or self._claims.made(turn):
            return None
        item.session._setupstate.teardown_exact(nextitem)  # what was left standing for a test that does not run here
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        _taken[report.nodeid.partition("::")[0]] += report.duration + ABOUT_A_REPORT

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A run of some tests alone tells nothing of their files."""
        config = session.config
        if config.args == config.getini("testpaths") and not config.getoption("keyword") and not session.testsfailed:
            last = {name: [*self._known.get(name, ()), round(taken, 2)][-RUNS:] for name, taken in _taken.items()}
            config.cache.set(f"last_runs/{self._which}", last)


def _known(config: pytest.Config) -> dict[str, list[float]]:
    """How long files took in the last runs, the newest last."""
    known: dict[str, list[float]] = {}
    for number in range(1, MOST_SHARES + 1):
        known |= config.cache.get(f"last_runs/{number}", {})
    return known


def _seconds(known: dict[str, list[float]]) -> dict[Path, float]:
    """How long each file takes."""
    files = [path for path in TESTS.rglob("test_*.py") if not starts_some(path)]
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
