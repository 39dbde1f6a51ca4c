"""Which tests run: one of two parts, and of that one of several shares that run beside each other.

A test that opens sockets to talk over them or starts a process is marked `sockets`, or it fails: what is left without
them needs nothing but a core and a database of its own. `make quick` runs those.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
WITH_PROCESSES = tuple(TESTS / name for name in ("benchmarks", "browser", "clients", "sockets"))
HEAVY = {"test_reach.py": 12}
"""How many times as long as others of their size files take, where it is many."""

_seen: list[str] = []
"""What the test did that only one that is marked does."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--part",
        choices=("quick", "processes"),
        help="only the tests that start no process of ours, or only the others",
    )
    parser.addoption("--share", metavar="1/2", type=_share, help="only a half of the test files, the first")


def _share(text: str) -> tuple[int, int]:
    which, _, of = text.partition("/")
    return int(which), int(of)


def pytest_configure() -> None:
    """Notes what is done with sockets and processes; an audit hook would hear of everything else, too."""
    bind, pair, begin = socket.socket.bind, socket.socketpair, subprocess.Popen.__init__

    def noted_bind(self: Any, *args: Any) -> None:
        _seen.append("it binds a socket")
        bind(self, *args)

    def noted_pair(*args: Any, **kwargs: Any) -> tuple[socket.socket, socket.socket]:
        _seen.append("it opens a pair of sockets")
        return pair(*args, **kwargs)

    def noted_begin(self: Any, *args: Any, **kwargs: Any) -> None:
        _seen.append("it starts a process")
        begin(self, *args, **kwargs)

    socket.socket.bind = noted_bind
    socket.socketpair = noted_pair
    subprocess.Popen.__init__ = noted_begin
    os.register_at_fork(before=lambda: _seen.append("it forks"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    share, part = config.getoption("--share"), config.getoption("--part")
    if share is not None and collection_path.is_file() and collection_path not in _files_of(*share):
        return True
    starts_some = _starts_some(collection_path)
    if part == "quick" and starts_some:
        return True
    return True if part == "processes" and collection_path.is_file() and not starts_some else None


@cache
def _files_of(which: int, of: int) -> set[Path]:
    """Of the files that start nothing a share: its tests take about as long as those of the others."""
    shares: list[set[Path]] = [set() for _ in range(of)]
    weights = [0] * of
    files = {path: _weight(path) for path in TESTS.rglob("test_*.py") if not _starts_some(path)}
    for path in sorted(files, key=lambda path: (-files[path], path)):
        lightest = weights.index(min(weights))
        shares[lightest].add(path)
        weights[lightest] += files[path]
    return shares[which - 1]


def _weight(path: Path) -> int:
    return path.stat().st_size * HEAVY.get(path.name, 1)


def _starts_some(path: Path) -> bool:
    return any(folder in (path, *path.parents) for folder in WITH_PROCESSES)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup() -> Generator[None]:
    _seen.clear()
    yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    yield
    if _seen and item.get_closest_marker("sockets") is None and not _starts_some(item.path):
        pytest.fail(f"Mark it with pytest.mark.sockets: {_seen[0]}.", pytrace=False)
