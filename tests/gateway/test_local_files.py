"""Secrets that are made once, by whoever comes first."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gateway.serving.local_files import private_directory, read_or_create


def test_what_was_made_stays(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret"
    assert read_or_create(path, lambda: "first") == "first"
    assert read_or_create(path, lambda: "second") == "first"


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    read_or_create(tmp_path / "new" / "secret", lambda: "s")
    assert (tmp_path / "new" / "secret").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_all_that_start_at_once_read_the_same(tmp_path: Path) -> None:
    together, seen = threading.Barrier(8), []

    def start(number: int) -> None:
        def make() -> str:
            together.wait()
            return str(number)

        seen.append(read_or_create(tmp_path / "secret", make))

    threads = [threading.Thread(target=start, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]


def test_nothing_is_left_when_it_cannot_be_made(tmp_path: Path) -> None:
    def fail() -> str:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        read_or_create(tmp_path / "secret", fail)
    assert not list(tmp_path.iterdir())


def test_a_directory_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert private_directory(tmp_path) == tmp_path
    assert tmp_path.stat().st_mode & 0o777 == 0o755
