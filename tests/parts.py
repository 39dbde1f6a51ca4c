"""Which tests run: all, or one of two parts.

A test that opens sockets to talk over them or starts a process is marked `sockets`, or it fails: what is left without
them needs nothing but a core and a database of its own. `make quick` runs those.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
WITH_PROCESSES = tuple(TESTS / name for name in ("benchmarks", "browser", "clients", "sockets"))
_seen: list[str] = []
"""What the test did that only one that is marked does."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--part",
        choices=("quick", "processes"),
        help="only the tests that start no process of ours, or only the others",
    )


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
    part, starts = config.getoption("--part"), starts_some(collection_path)
    if part == "quick" and starts:
        return True
    return True if part == "processes" and collection_path.is_file() and not starts else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is of the other part and collected all the same, because its file is named."""
    part = config.getoption("--part")
    others = [item for item in items if part and starts_some(item.path) != (part == "processes")]
    if others:
        items[:] = [item for item in items if starts_some(item.path) == (part == "processes")]
        config.hook.pytest_deselected(items=others)


def starts_some(path: Path) -> bool:
    return any(folder in (path, *path.parents) for folder in WITH_PROCESSES)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup() -> Generator[None]:
    _seen.clear()
    yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    yield
    if _seen and item.get_closest_marker("sockets") is None and not starts_some(item.path):
        pytest.fail(f"Mark it with pytest.mark.sockets: {_seen[0]}.", pytrace=False)
