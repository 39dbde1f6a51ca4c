"""Keeps the registries in memory up to date, twice a second, and at once when a call meets an unknown key."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

INTERVAL_SECONDS = 0.5
LOOK_SECONDS = 5.0

logger = logging.getLogger(__name__)


class Refresher:
    """Runs `refresh` in a background loop. All waiting is cooperative under gevent.

    `run` calls a function where it may wait (a native thread for SQLite, whose locks would stop gevent's loop);
    `then` is called after each refresh, in the loop itself.
    """

    def __init__(
        self,
        refresh: Callable[[], None],
        *,
        run: Callable[[Callable[[], None]], None],
        then: Callable[[], None] = lambda: None,
    ) -> None:
        self._refresh = refresh
        self._run = run
        self._then = then
        self._changed = threading.Condition()
        self._begun = 0
        self._done = 0
        self._wanted = False
        self._stopped = False
        self.error: Exception | None = None
        self.refreshed_at: float | None = None

    @property
    def ready(self) -> bool:
        """At least one refresh has succeeded: the registries hold what the database held."""
        return self.refreshed_at is not None

    def loop(self) -> None:
        """Refreshes until `stop`."""
        while not self._stopped:
            self.once()
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._stopped, timeout=INTERVAL_SECONDS)

    def stop(self) -> None:
        """Ends the loop."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def once(self) -> None:
        """One refresh. Never raises; `error` says how it went."""
        with self._changed:
            self._wanted = False
            self._begun += 1
            number = self._begun
        try:
            self._run(self._refresh)
        except Exception as error:  # noqa: BLE001 - the loop must go on, whatever the database says
            self._failed(error)
        else:
            if self.error is not None:
                logger.warning("The database answers again.")
            self.error = None
            self.refreshed_at = time.time()
        self._then()
        with self._changed:
            self._done = number
            self._changed.notify_all()

    def _failed(self, error: Exception) -> None:
        if self.error is None:
            logger.warning("The database does not answer (%s); known keys go on working.", type(error).__name__)
        self.error = error

    def look(self) -> bool:
        """Waits for a refresh that began after this moment; all that wait share one. True if it succeeded."""
        with self._changed:
            target = self._begun + 1
            self._wanted = True
            self._changed.notify_all()
            finished = self._changed.wait_for(lambda: self._done >= target, timeout=LOOK_SECONDS)
        return finished and self.error is None
