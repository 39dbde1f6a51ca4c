"""Ports that nobody else gets."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ports
from tests.support.ports import unused_port

pytestmark = pytest.mark.sockets


def test_the_kernel_hands_out_none_of_them() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if lowest < ports._LAST:
        pytest.skip("it hands out these, too, on this machine")
    assert ports._FIRST <= unused_port() < lowest


def test_one_that_is_taken_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port, free = taken.getsockname()[1], unused_port()
        monkeypatch.setattr(ports, "_ports", lambda: iter([port, free]))
        assert unused_port() == free


def test_another_process_gets_others() -> None:
    ours = unused_port() // 1000
    code = "from tests.support.ports import unused_port; print(unused_port())"
    theirs = {int(subprocess.check_output([sys.executable, "-c", code], text=True)) for _ in range(3)}
    assert ours not in {port // 1000 for port in theirs}
