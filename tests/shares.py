"""One of the shares that `tests.quick` runs beside each other, as they are planned in the folder of all."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.planning import PLAN, TAKEN

ABOUT_A_REPORT = 0.0003
"""Seconds. What pytest does for a test takes time too; of each test it reports three times."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", metavar="NUMBER", type=int, help="only the test files of this share, the first is 1")
    parser.addoption("--shares", metavar="FOLDER", type=Path, help="where it is planned what the shares are")


def pytest_configure(config: pytest.Config) -> None:
    if number := config.getoption("--share"):
        config.pluginmanager.register(Share(number, config.getoption("--shares")), "share")


class Claims:
    """What shares have begun, told to each other by files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[int, bool] = {}

    def made(self, number: int) -> bool:
        """Whether it is ours: nobody else was first to claim what has this number."""
        if number not in self._made:
            try:
                os.close(os.open(self._folder / f"claim-{number}", os.O_CREAT | os.O_EXCL))
                self._made[number] = True
            except FileExistsError:
                self._made[number] = False
        return self._made[number]


class Share:
    """The first is number 1."""

    def __init__(self, number: int, folder: Path) -> None:
        planned: dict[str, Any] = json.loads((folder / PLAN).read_text())
        self._tell = folder / TAKEN.replace("*", str(number))
        self._claims = Claims(folder)
        self._turns = {Path(name): turn for turn, name in enumerate(planned["for_all"], start=1)}
        self._files = {*map(Path, planned["shares"][number - 1]), *self._turns}
        self._taken: Counter[str] = Counter()

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        return True if collection_path.is_file() and collection_path not in self._files else None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self._turns.get(item.path, 0))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        turn = self._turns.get(item.path)
        if turn is None or self._claims.made(turn):
            return None
        item.session._setupstate.teardown_exact(nextitem)  # what was left standing for a test that does not run here
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._taken[report.nodeid.partition("::")[0]] += report.duration + ABOUT_A_REPORT

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A run of some tests alone tells nothing of their files."""
        config = session.config
        if config.args == config.getini("testpaths") and not config.getoption("keyword") and not session.testsfailed:
            self._tell.write_text(json.dumps({name: round(taken, 2) for name, taken in self._taken.items()}))
