"""Moves the journals of all processes in a directory into the database, and removes what has arrived there.

Safe to stop or kill at any moment, and to run in several processes: what comes twice is stored once. Knows nothing
of the calls but what their entries say.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.db import Error, connection

from gateway.account.entry import Entry
from gateway.account.journal_files import (
    LOCK,
    QUARANTINE,
    RECORDER_LOCK,
    STATUS,
    Progress,
    Segment,
    journal_status,
    living,
    lost_calls,
    processes_in,
    segments_in,
)
from gateway.account.journal_reader import Block, ProcessJournal
from gateway.account.log_store import MOST_ROWS_AT_ONCE, LogStore
from gateway.account.retention import Pruner
from gateway.serving.local_files import private_directory, take_lock
from keys.models import Secret, VirtualKey

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 10.0
_BLOCKS_A_PASS = 64  # of one process, before the next has its turn: 25 MB
_MOST_QUARANTINED_BYTES = 50_000_000
_LOSS_SHOWN_SECONDS = 7 * 86_400


class _Work(NamedTuple):
    """The journal of one process: no line will be added to its `complete` segments, nor to any if it is dead."""

    process: str
    segments: list[Segment]
    dead: bool

    @property
    def complete(self) -> list[Segment]:
        return self.segments if self.dead else self.segments[:-1]


class Recorder:
    """Records the journals in `directory`; while another recorder is at work there, does nothing.

    `clock` gives Unix seconds. `pruner` gets a turn after each pass of `run`; without one, rows are kept for
    `settings.LOG_RETENTION_DAYS`.
    """

    def __init__(
        self, directory: Path, *, clock: Callable[[], float] = time.time, pruner: Pruner | None = None
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._pruner = pruner or Pruner(settings.LOG_RETENTION_DAYS)
        self._store = LogStore()
        self._leadership: int | None = None
        self._progress = Progress()
        self._saved = Progress()
        self._journals: dict[str, ProcessJournal] = {}
        self._used_keys: set[int] = set()
        self._used_secrets: set[int] = set()

    def run(self, stop: threading.Event) -> None:
        """Records every half second until `stop` is set, then once more. Outlives every error."""
        wait = INTERVAL_SECONDS
        try:
            while not stop.wait(wait):
                wait = self._turn(wait)
            self._turn(wait)
        finally:
            self.close()
            connection.close()

    def _turn(self, waited: float) -> float:
        """One pass. Returns how long to wait before the next: twice as long after each failure."""
        try:
            rows = self.run_once()
            self._pruner.turn()
        except Exception as error:  # noqa: BLE001 - a recorder that has ended records nothing
            logger.warning("The journal cannot be recorded now: %s", error)
            with contextlib.suppress(Error):
                connection.close()
            return min(max(waited, INTERVAL_SECONDS) * 2, LONGEST_WAIT_SECONDS)
        return 0.0 if rows >= MOST_ROWS_AT_ONCE else INTERVAL_SECONDS

    def run_once(self) -> int:
        """One pass over all journals; returns the number of new rows. Raises `django.db.Error` when the database
        is away, and OSError when the directory is: nothing is lost by either, the next pass goes on there."""
        if not self._leads():
            return 0
        try:
            rows = sum(map(self._record, self._work()))
        finally:
            self._save_progress()
        self._touch_keys()
        return rows

    def pending(self) -> int:
        """Bytes that are written and not yet in the database."""
        return journal_status(self._directory).backlog_bytes

    def close(self) -> None:
        """Lets another recorder take over."""
        if self._leadership is not None:
            os.close(self._leadership)
            self._leadership = None

    def _leads(self) -> bool:
        if self._leadership is not None and not os.fstat(self._leadership).st_nlink:
            self.close()  # the directory was removed
        if self._leadership is None:
            self._leadership = take_lock(private_directory(self._directory) / RECORDER_LOCK)
            if self._leadership is not None:
                self._progress = Progress.load(self._directory)
                self._journals.clear()
        return self._leadership is not None

    def _work(self) -> Iterator[_Work]:
        """What each process left. Deaths are noted before the segments are listed, so that of a dead process none
        is missed."""
        present = processes_in(self._directory)
        alive = {process for process in present if living(self._directory, process)}
        segments = groupby(segments_in(self._directory), key=attrgetter("process"))
        of = {process: list(group) for process, group in segments}
        for process in sorted(present | of.keys()):
            yield _Work(process, of.get(process, []), process in present and process not in alive)

    def _record(self, work: _Work) -> int:
        journal = self._journals.get(work.process)
        if journal is None:
            journal = self._journals[work.process] = ProcessJournal(self._directory, self._progress.offsets)
        try:
            rows = self._read(journal, work)
            if work.dead and all(map(journal.is_read, work.segments)):
                rows += self._put(journal.lost())
                journal.forget_open()
            for segment in work.complete:
                if not journal.is_needed(segment):
                    journal.remove(segment)
        finally:
            self._note_progress(work.process, journal)
        if work.dead and not any(map(journal.is_needed, work.segments)):
            self._bury(work.process)
        return rows

    def _read(self, journal: ProcessJournal, work: _Work) -> int:
        rows, blocks = 0, 0
        for segment in work.segments:
            while (block := journal.read(segment)) is not None:
                if blocks == _BLOCKS_A_PASS:
                    return rows
                rows += self._take(journal, block)
                blocks += 1
            if segment in work.complete and (tail := journal.tail(segment)):
                self._quarantine(tail.decode("utf-8", "replace"), "torn")
                journal.skip_tail(segment)
        return rows

    def _take(self, journal: ProcessJournal, block: Block) -> int:
        rows = self._put(block.ended)
        for line in block.unreadable:
            self._quarantine(line.decode("utf-8", "replace"), "not a line of a journal")
        journal.commit(block)
        return rows

    def _put(self, entries: list[Entry]) -> int:
        rows = 0
        for start in range(0, len(entries), MOST_ROWS_AT_ONCE):
            new = self._store.store(entries[start : start + MOST_ROWS_AT_ONCE], self._reject)
            self._used_keys.update(entry["key_id"] for entry in new if entry.get("key_id"))
            self._used_secrets.update(entry["secret_id"] for entry in new if entry.get("secret_id"))
            rows += len(new)
        return rows

    def _touch_keys(self) -> None:
        """Notes the last use of keys and secrets, to within a pass. Only convenience: a failure fails nothing."""
        if self._used_keys:
            now = datetime.fromtimestamp(self._clock(), tz=UTC)
            with contextlib.suppress(Error):
                VirtualKey.objects.touch(self._used_keys, now)
                Secret.objects.touch(self._used_secrets, now)
                self._used_keys, self._used_secrets = set(), set()

    def _reject(self, entry: Entry, error: Exception) -> None:
        self._quarantine(json.dumps(entry, default=str), f"{type(error).__name__}: {error}")

    def _quarantine(self, line: str, reason: str) -> None:
        """Keeps a line that cannot become a row, while the file is small enough, and counts it until somebody has
        taken the file away."""
        logger.error("A line of the journal cannot become a row: %s", reason)
        path = self._directory / QUARANTINE
        self._progress.quarantined = (self._progress.quarantined if path.exists() else 0) + 1
        record = json.dumps({"at": self._clock(), "reason": reason, "line": line})
        with contextlib.suppress(OSError), open(path, "a", opener=_private) as file:
            if file.tell() < _MOST_QUARANTINED_BYTES:
                file.write(f"{record}\n")

    def _note_progress(self, process: str, journal: ProcessJournal) -> None:
        offsets = self._progress.offsets
        for name in [name for name in offsets if name.startswith(f"{process}.")]:
            del offsets[name]
        offsets.update(journal.at())

    def _save_progress(self) -> None:
        if self._progress != self._saved:
            with contextlib.suppress(OSError):  # when the disk is full; the next pass tries again
                self._progress.save(self._directory)
                self._saved = Progress(dict(self._progress.offsets), self._progress.quarantined)

    def _bury(self, process: str) -> None:
        """Removes what else a dead process left. Its count of lost calls is shown for a week."""
        status = self._directory / f"{process}{STATUS}"
        if not lost_calls(status) or self._clock() - status.stat().st_mtime > _LOSS_SHOWN_SECONDS:
            status.unlink(missing_ok=True)
        (self._directory / f"{process}{LOCK}").unlink(missing_ok=True)
        self._journals.pop(process, None)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
