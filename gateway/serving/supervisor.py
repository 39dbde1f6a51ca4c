"""Starts the planes as processes of their own and keeps them: the parent of everything, which serves no call.

A control plane that dies is started again, later each time, while calls go on. A relay that dies ends everything
with its status. SIGTERM and SIGINT end everything in order: calls first, then their account, then this process.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

logger = logging.getLogger(__name__)

RELAY = "relay"
CONTROL = "control"
POLL_SECONDS = 0.2
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
STEADY_SECONDS = 60.0  # a control plane that lived this long starts again at once


class Plane:
    """One child process: gunicorn with the configuration of its plane."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.pause = FIRST_PAUSE
        self.restart_at: float | None = None  # while it is down and is to start again

    def start(self) -> None:
        """Starts the process."""
        command = [sys.executable, "-m", "gunicorn", "-c", f"python:gateway.serving.gunicorn_{self.name}"]
        environment = {**os.environ, "GATEWAY_PLANE": self.name}
        # A process group of its own: Ctrl-C in a terminal is for the supervisor, which ends all in order.
        self.process = subprocess.Popen([*command, "gateway.wsgi:application"], env=environment, process_group=0)  # noqa: S603
        self.started_at = time.monotonic()

    def status(self) -> int | None:
        """The exit status, None while the process lives."""
        return None if self.process is None else self.process.poll()

    def signal(self, number: int) -> None:
        """Sends a signal if the process lives."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def stop(self, patience: float) -> int:
        """Asks the process to end, waits `patience` seconds, then insists. Returns its status."""
        if self.process is None:
            return 0
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            logger.warning("The %s plane did not end in time and is killed.", self.name)
            self.process.kill()
            return self.process.wait()


class Supervisor:
    """Runs planes until told to stop. `account` runs beside them and is told to finish after the last call."""

    def __init__(
        self,
        planes: list[str],
        *,
        grace: float,
        account: Callable[[threading.Event], None] | None = None,
    ) -> None:
        """`planes` from RELAY and CONTROL; `grace` seconds that open calls have at the end."""
        self._planes = [Plane(name) for name in planes]
        self._grace = grace
        self._is_to_stop = False
        self._calls_over = threading.Event()
        self._account = account

    def run(self) -> int:
        """Returns the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked_to_stop)
        thread = self._start_account()
        for plane in self._planes:
            plane.start()
        status = self._watch()
        for plane in sorted(self._planes, key=lambda plane: plane.name != RELAY):
            plane.stop(self._grace + 5 if plane.name == RELAY else 10)
        self._calls_over.set()
        if thread is not None:
            thread.join(30)
        return status

    def _asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        """Takes no lock, as an Event would: the thread that it interrupts may hold it, and would wait for itself."""
        self._is_to_stop = True

    def _start_account(self) -> threading.Thread | None:
        if self._account is None:
            return None
        thread = threading.Thread(target=self._account, args=(self._calls_over,), name="account", daemon=True)
        thread.start()
        return thread

    def _watch(self) -> int:
        while not self._is_to_stop:
            for plane in self._planes:
                status = plane.status()
                if status is None:
                    continue
                if plane.name == RELAY or len(self._planes) == 1:
                    logger.error("The %s plane ended with status %s.", plane.name, status)
                    return _as_exit_status(status) or 1
                self._look_after(plane, status)
            time.sleep(POLL_SECONDS)
        return 0

    def _look_after(self, plane: Plane, status: int) -> None:
        """Nobody waits here for the pause to pass: the relay is watched meanwhile."""
        if plane.restart_at is None:
            if time.monotonic() - plane.started_at > STEADY_SECONDS:
                plane.pause = FIRST_PAUSE
            plane.restart_at = time.monotonic() + plane.pause
            text = "The %s plane ended with status %s; it starts again in %s s. Calls go on."
            logger.error(text, plane.name, status, plane.pause)
            plane.pause = min(plane.pause * 2, LONGEST_PAUSE)
        elif time.monotonic() >= plane.restart_at:
            plane.restart_at = None
            plane.start()


def _as_exit_status(status: int) -> int:
    """A shell's exit status: death by signal N is 128 + N."""
    return 128 - status if status < 0 else status
