"""What the suite says of a test that opens sockets and is not marked, and how it divides files into shares."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import TESTS, starts_some
from tests.planning import PLAN, for_whoever_comes_first, plan, shares_of, units_of
from tests.shares import Claims

TRIED = """
import os, socket, subprocess, sys
import pytest

def test_it_binds():
    with socket.create_server(("127.0.0.1", 0)):
        pass

def test_it_has_a_pair():
    for one in socket.socketpair():
        one.close()

def test_it_starts_a_process():
    subprocess.run([sys.executable, "-c", ""], check=True)

@pytest.mark.sockets
def test_it_is_marked():
    subprocess.run([sys.executable, "-c", ""], check=True)

def test_it_does_nothing():
    pass
"""


@pytest.mark.sockets
def test_who_opens_sockets_or_starts_a_process_has_to_be_marked(tmp_path: Path) -> None:
    file = tmp_path / "test_tried.py"
    file.write_text(TRIED)
    settings, alone = str(TESTS.parent / "pyproject.toml"), {**os.environ, "TEST_DATABASE": "", "TEST_DATABASE_URL": ""}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", settings, "--tb=line", str(file)]
    done = subprocess.run(command, cwd=TESTS.parent, env=alone, capture_output=True, text=True, check=False)
    assert "3 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    for said in ("it binds a socket", "it opens a pair of sockets", "it starts a process"):
        assert f"Mark it with pytest.mark.sockets: {said}." in done.stdout


@pytest.mark.sockets
@pytest.mark.parametrize(("part", "status"), [("quick", 0), ("processes", pytest.ExitCode.NO_TESTS_COLLECTED)])
def test_a_file_that_is_named_runs_in_its_own_part_only(part: str, status: int) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--part", part, "--co", "tests/test_docs.py"]
    alone = {**os.environ, "TEST_DATABASE": "", "TEST_DATABASE_URL": ""}
    assert subprocess.run(command, cwd=TESTS.parent, env=alone, capture_output=True, check=False).returncode == status


def test_every_file_is_in_one_share_and_the_longest_are_apart() -> None:
    seconds = {Path(f"test_{number}.py"): float(number) for number in range(1, 12)}
    shares = shares_of(seconds, 3)
    assert sorted(path for share in shares for path in share) == sorted(seconds)
    assert [sum(seconds[path] for path in share) for share in shares] == [22.0, 22.0, 22.0]
    assert [max(seconds[path] for path in share) for share in shares] == [11.0, 10.0, 9.0]


def test_the_files_of_a_small_folder_stay_together() -> None:
    large, small = Path("large"), Path("small")
    units = units_of({large / "a.py": 60.0, large / "b.py": 39.0, small / "c.py": 0.5, small / "d.py": 0.5})
    assert units == {
        large / "a.py": large / "a.py",
        large / "b.py": large / "b.py",
        small / "c.py": small,
        small / "d.py": small,
    }


def test_who_comes_first_takes_files_that_are_alone_long_enough_and_need_no_database(tmp_path: Path) -> None:
    texts = {"a.py": ("", 0.2), "b.py": ("", 0.3), "short.py": ("", 0.05), "rows.py": ("pytest.mark.django_db", 0.4)}
    seconds = {}
    for name, (text, taken) in texts.items():
        (tmp_path / name).write_text(text)
        seconds[tmp_path / name] = taken
    alone = {path: path for path in seconds}
    assert for_whoever_comes_first(seconds, alone) == [tmp_path / "b.py", tmp_path / "a.py"]
    assert for_whoever_comes_first(seconds, dict.fromkeys(seconds, tmp_path)) == []


def test_a_claim_is_made_by_one(tmp_path: Path) -> None:
    first, second = Claims(tmp_path), Claims(tmp_path)
    assert [first.made(1), second.made(1), second.made(2), first.made(2)] == [True, False, True, False]
    assert [first.made(1), second.made(1)] == [True, False]


def test_a_plan_holds_every_file_once(tmp_path: Path) -> None:
    plan(tmp_path, 3)
    planned = json.loads((tmp_path / PLAN).read_text())
    files = [name for share in planned["shares"] for name in share] + planned["for_all"]
    assert sorted(files) == sorted(str(path) for path in TESTS.rglob("test_*.py") if not starts_some(path))
