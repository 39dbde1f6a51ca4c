"""The parent of the planes: what it does when one of them ends, or does not. With small processes in their place."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from gateway.serving import supervisor
from gateway.serving.supervisor import CONTROL, RELAY, Plane, Supervisor
from tests.support.patience import PATIENCE, wait_for

pytestmark = pytest.mark.sockets

LIVES = "import time; time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"


class Scripted(Plane):
    """A plane whose processes run these lines of Python in turn, and the last one from then on."""

    def __init__(self, name: str, *lines: str) -> None:
        super().__init__(name)
        self.lines = list(lines)
        self.starts = 0

    def start(self) -> None:
        line = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        self.process = subprocess.Popen([sys.executable, "-c", line], stdout=subprocess.DEVNULL)
        self.started_at = time.monotonic()
        self.starts += 1


@pytest.fixture(autouse=True)
def quick_and_tidy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Short pauses; and the test process gets its own signal handlers back."""
    monkeypatch.setattr(supervisor, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.01)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _run(
    *planes: Plane,
    account: Callable[[threading.Event], None] | None = None,
    stop_when: Callable[[], bool] | None = None,
) -> int:
    """Runs a supervisor over the planes; SIGTERM to this process when it is time, if ever."""
    running = Supervisor([], grace=PATIENCE, account=account)
    running._planes = list(planes)
    if stop_when:
        handler = signal.getsignal(signal.SIGTERM)
        is_time = stop_when

        def stop() -> None:
            wait_for(lambda: signal.getsignal(signal.SIGTERM) != handler and is_time())
            os.kill(os.getpid(), signal.SIGTERM)

        stopping = threading.Thread(target=stop)
        stopping.start()
    status = running.run()
    if stop_when:
        stopping.join()
    assert all(plane.status() is not None for plane in planes)
    return status


def _run_all(*planes: Plane) -> bool:
    return all(plane.process is not None and plane.status() is None for plane in planes)


def test_a_plane_that_never_ran_has_nothing_to_stop() -> None:
    plane = Plane(RELAY)
    plane.signal(signal.SIGTERM)
    assert (plane.status(), plane.stop(1)) == (None, 0)


def test_a_plane_that_does_not_end_is_killed(caplog: pytest.LogCaptureFixture) -> None:
    plane = Scripted(RELAY, STUBBORN)
    plane.process = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE)
    assert plane.process.stdout
    with plane.process.stdout as output:
        output.readline()
    assert plane.stop(0.1) == -signal.SIGKILL
    assert "is killed" in caplog.text


def test_sigterm_ends_all_planes_with_status_0() -> None:
    planes = Scripted(CONTROL, LIVES), Scripted(RELAY, LIVES)
    assert _run(*planes, stop_when=lambda: _run_all(*planes)) == 0


def test_sigterm_is_heard_whatever_it_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    """An Event that is set by who interrupts its wait would wait for itself."""
    monkeypatch.setattr(supervisor, "POLL_SECONDS", 0)
    for step in range(50):
        assert _run_until_step(step) == 0


def _run_until_step(number: int) -> int:
    """Runs a supervisor that gets SIGTERM at one of the steps of its watch: a call or a return of whatever runs."""
    steps, is_watching = itertools.count(), False

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal is_watching
        is_watching = is_watching or frame.f_code.co_name == "_watch"
        if is_watching and next(steps) == number:
            os.kill(os.getpid(), signal.SIGTERM)

    sys.setprofile(profile)
    try:
        return Supervisor([], grace=PATIENCE).run()
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("raise SystemExit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", 137),
        ("pass", 1),  # it should not have ended at all
    ],
)
def test_a_relay_that_ends_ends_everything_with_its_status(line: str, status: int) -> None:
    assert _run(Scripted(CONTROL, LIVES), Scripted(RELAY, line)) == status


def test_a_control_plane_that_ends_is_started_again_later_each_time() -> None:
    control = Scripted(CONTROL, "raise SystemExit(1)", "raise SystemExit(1)", LIVES)
    assert _run(control, Scripted(RELAY, LIVES), stop_when=lambda: control.starts == 3) == 0
    assert (control.starts, control.pause) == (3, 0.04)


def test_a_control_plane_that_lived_long_starts_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "STEADY_SECONDS", 0.0)
    control = Scripted(CONTROL, "raise SystemExit(1)", "raise SystemExit(1)", LIVES)
    assert _run(control, Scripted(RELAY, LIVES), stop_when=lambda: control.starts == 3) == 0
    assert control.pause == 0.02


def test_a_control_plane_alone_is_not_started_again() -> None:
    assert _run(Scripted(CONTROL, "raise SystemExit(5)")) == 5


def test_a_stop_during_the_pause_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 30.0)
    control = Scripted(CONTROL, "raise SystemExit(1)")
    looks = itertools.count()
    relay = Scripted(RELAY, LIVES)
    assert _run(control, relay, stop_when=lambda: control.restart_at is not None and next(looks) > 10) == 0
    assert control.starts == 1


def test_a_relay_that_ends_during_the_pause_ends_everything_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 30.0)
    relay, began = Scripted(RELAY, "import time; time.sleep(0.5); raise SystemExit(3)"), time.monotonic()
    assert _run(Scripted(CONTROL, "raise SystemExit(1)"), relay) == 3
    assert time.monotonic() - began < 15


def test_the_account_finishes_after_the_last_call() -> None:
    relay, ended = Scripted(RELAY, LIVES), []

    def account(calls_over: threading.Event) -> None:
        calls_over.wait()
        ended.append(relay.status())

    assert _run(relay, account=account, stop_when=lambda: _run_all(relay)) == 0
    assert ended == [-signal.SIGTERM]
