"""What the suite says of a test that opens sockets and is not marked, and how it divides files into shares."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import TESTS
from tests.shares import shares_of

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


def test_every_file_is_in_one_share_and_the_longest_are_apart() -> None:
    seconds = {Path(f"test_{number}.py"): float(number) for number in range(1, 12)}
    shares = shares_of(seconds, 3)
    assert sorted(path for share in shares for path in share) == sorted(seconds)
    assert [sum(seconds[path] for path in share) for share in shares] == [22.0, 22.0, 22.0]
    assert [max(seconds[path] for path in share) for share in shares] == [11.0, 10.0, 9.0]
