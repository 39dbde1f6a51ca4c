"""What our processes ask of the operating system."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys

import pytest

from gateway.serving import processes
from tests.support.gateway import is_alive
from tests.support.patience import wait_for

_PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", '''
from gateway.serving.processes import end_with_parent
end_with_parent()
print("ready", flush=True)
import time
time.sleep(60)
'''], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.sockets
def test_a_process_ends_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.kill()
    wait_for(lambda: not is_alive(child))


def test_a_parent_that_is_gone_already_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    parents, signals = iter([100, 1]), []
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(os, "kill", lambda pid, number: signals.append(number))
    monkeypatch.setattr(processes.ctypes, "CDLL", lambda name: _Library())
    processes.end_with_parent()
    assert signals == [signal.SIGTERM]


class _Library:
    @staticmethod
    def prctl(option: int, number: int) -> int:
        return 0


def test_elsewhere_than_on_linux_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    processes.end_with_parent()


def test_the_limit_of_open_files_is_raised_to_what_is_allowed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard, 512), hard))
    try:
        assert processes.allow_many_files() == hard
        assert processes.allow_many_files() == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
