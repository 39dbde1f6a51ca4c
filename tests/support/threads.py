"""Threads for the tests' own servers, which no tracer follows.

A tracer of greenlets keeps something of every thread until that is gone, and has been seen to stop the whole process
while it cleaned up after thousands of them.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from typing import Any


class Thread:
    """Runs a function beside the tests, and does not keep the process from ending. Starts at once."""

    def __init__(self, target: Callable[..., None], *args: Any) -> None:
        self._ended = threading.Event()

        def run() -> None:
            try:
                target(*args)
            finally:
                self._ended.set()

        _thread.start_new_thread(run, ())

    def join(self, timeout: float | None = None) -> None:
        """Waits for its end, at most so many seconds."""
        self._ended.wait(timeout)
