"""Watches all upstreams, in a thread of the control process: `/health`, models, load, each at its own pace.

Whatever is changed in the database is noticed within a second, so a new upstream is looked at, and its models can be
called, a moment after it was saved, wherever that was.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from django.db import InterfaceError, OperationalError, close_old_connections
from django.utils import timezone

from upstreams import checking, posture
from upstreams.entries import Entry
from upstreams.load import Figures
from upstreams.models import DISABLED, ModelAlias, Routing, Upstream, UpstreamsVersion
from upstreams.observations import prune, record, record_illness, record_loads, record_posture
from upstreams.selection import LowestWaiting
from upstreams.view import View

logger = logging.getLogger(__name__)

AT_ONCE = 16
TICK_SECONDS = 0.25
FOLLOW_SECONDS = 1.0
REWRITE_SECONDS = 6.0
PRUNE_SECONDS = 3600.0
FULL, PULSE, LOAD, POSTURE = "full", "pulse", "load", "posture"


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two looks of a kind. `load` is for upstreams that are chosen by it, `load_else` for others."""

    full: float = 30.0
    pulse: float = 5.0
    load: float = 2.0
    load_else: float = 10.0
    posture: float = 600.0
    jitter: float = 0.2


@dataclass(slots=True)
class _Watched:
    """One upstream, when it is looked at next (the clock's times), and which looks are going on."""

    row: Upstream
    due: dict[str, float] = field(default_factory=dict)
    going_on: dict[str, Future[Any]] = field(default_factory=dict)
    is_ill: bool = False
    written: Figures | None = None
    written_at: float = 0.0
    is_chosen_by_load: bool = False

    def look(self, kind: str) -> Any:
        """Asks the server; in a thread that knows no database."""
        url, credential = self.row.url, self.row.credential
        if kind == FULL:
            return checking.check(url, credential)
        if kind == POSTURE:
            return posture.look(url)
        return checking.pulse(url, credential) if kind == PULSE else checking.figures(url, credential)


class Prober:
    """Looks at every upstream at its pace, and never twice at once in one way. Nothing ends the thread but `stop`."""

    def __init__(
        self,
        pace: Pace = Pace(),
        *,
        rand: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pace, self._rand, self._clock = pace, rand, clock
        self._watched: dict[int, _Watched] = {}
        self._version = -1
        self._follow_at = self._prune_at = clock()
        self._is_away = False
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._probes = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="probe")

    def start(self) -> None:
        """Begins with a look at all of them."""
        self._thread = threading.Thread(target=self.run, name="prober", daemon=True)
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Ends the thread; waits at most `timeout` seconds for it."""
        self._stopped.set()
        if self._thread is None:
            self._end_probes()
        else:
            self._thread.join(timeout)

    def run(self) -> None:
        """Step after step until `stop`; the looks end with it, since only this thread begins any."""
        while not self._stopped.is_set():
            self.step()
            self._stopped.wait(TICK_SECONDS)
        self._end_probes()

    def _end_probes(self) -> None:
        self._probes.shutdown(wait=False, cancel_futures=True)

    def step(self) -> None:
        """Notes what has been seen, follows the database, and begins the looks that are due."""
        try:
            self._note()
            if self._clock() >= self._follow_at:
                self._follow_at = self._clock() + FOLLOW_SECONDS
                self._follow()
            if self._clock() >= self._prune_at:
                self._prune_at = self._clock() + PRUNE_SECONDS
                prune(list(self._watched), timezone.now())
            self._is_away = False
        except (OperationalError, InterfaceError) as error:
            if not self._is_away:  # the next step tries again, and says nothing of it
                logger.warning("The upstreams could not be watched, as the database does not answer: %s", error)
            self._is_away = True
        except Exception:
            logger.exception("The upstreams could not be watched.")
        finally:
            close_old_connections()
        if not self._stopped.is_set():
            self._begin()

    # --- Which upstreams there are

    def _follow(self) -> None:
        version = UpstreamsVersion.current()
        if version == self._version:
            return
        rows = {row.pk: row for row in Upstream.objects.prefetch_related("deployments")}
        chosen = _chosen_by_load(rows.values())
        for pk in set(self._watched) - set(rows):
            del self._watched[pk]
        for pk, row in rows.items():
            self._watch(pk, row, is_chosen_by_load=pk in chosen)
        self._version = version

    def _watch(self, pk: int, row: Upstream, *, is_chosen_by_load: bool) -> None:
        watched, now = self._watched.get(pk), self._clock()
        if watched is None or _place(watched.row) != _place(row):
            watched = self._watched[pk] = _Watched(row)
            first = {FULL: now, PULSE: now + self._spread(self._pace.pulse), LOAD: now}
            watched.due = {FULL: now} if row.state == DISABLED else first
        if is_chosen_by_load and not watched.is_chosen_by_load and LOAD in watched.due:
            watched.due[LOAD] = now
        watched.row, watched.is_chosen_by_load = row, is_chosen_by_load

    # --- Looks

    def _begin(self) -> None:
        now = self._clock()
        for watched in self._watched.values():
            for kind, due in watched.due.items():
                if self._stopped.is_set():
                    return
                if now >= due and kind not in watched.going_on:
                    watched.going_on[kind] = self._probes.submit(watched.look, kind)
                    watched.due[kind] = now + self._spread(self._seconds(watched, kind))

    def _seconds(self, watched: _Watched, kind: str) -> float:
        if kind == LOAD:
            return self._pace.load if watched.is_chosen_by_load else self._pace.load_else
        return {FULL: self._pace.full, PULSE: self._pace.pulse, POSTURE: self._pace.posture}[kind]

    def _spread(self, seconds: float) -> float:
        return seconds * (1 + self._pace.jitter * (2 * self._rand() - 1))

    def _note(self) -> None:
        loads = {}
        for pk, watched in self._watched.items():
            for kind, look in list(watched.going_on.items()):
                if not look.done():
                    continue
                del watched.going_on[kind]
                seen = look.result()
                if kind == POSTURE:
                    if seen is not None:
                        record_posture(watched.row, seen)
                elif kind != LOAD:
                    self._note_health(watched, kind, seen)
                elif seen is not None and self._is_news(watched, seen):
                    loads[pk] = seen
        if loads:
            record_loads(loads)

    def _is_news(self, watched: _Watched, seen: Figures) -> bool:
        """Whether the figures are others than those in the database, or those will soon be too old."""
        if seen == watched.written and self._clock() - watched.written_at < REWRITE_SECONDS:
            return False
        watched.written, watched.written_at = seen, self._clock()
        return True

    def _note_health(self, watched: _Watched, kind: str, seen: checking.Check) -> None:
        was_ill, watched.is_ill = watched.is_ill, not seen.healthy
        if kind == FULL:
            record(watched.row, seen)
            if seen.healthy and watched.row.state != DISABLED:  # what does not answer has no posture
                watched.due.setdefault(POSTURE, self._clock())
        elif watched.is_ill:
            record_illness(watched.row, seen)
        elif was_ill:  # it is back, perhaps with other models
            watched.due[FULL] = self._clock()


def _place(row: Upstream) -> tuple[str, str, str]:
    """What must be looked at anew when it changes."""
    return row.url, row.credential.stored, "" if row.state != DISABLED else DISABLED


def _chosen_by_load(rows: Collection[Upstream]) -> set[int]:
    """The upstreams that a strategy may choose by their load: those need fresh figures."""
    entries = {row.pk: Entry.of(row) for row in rows}
    routing, aliases = Routing.current(), list(ModelAlias.objects.all())
    if routing.strategy == LowestWaiting.name:
        return set(entries)
    view = View.of(0, entries, aliases, routing)
    places = [view.places(alias.name) for alias in aliases if alias.strategy == LowestWaiting.name]
    targets = {place.entry.target for some in places for place in some}
    return {target.id for target in targets if target is not None and target.id is not None}
