"""The relay's side of the account: one line when a call is admitted, one when it has ended, in a local file.

A line survives the death of the process, not of the machine: nothing is synced to the disk call by call. Knows
neither the database nor the meaning of a line, and never raises into the call that it accounts for.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import mmap
import os
import re
import struct
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.fast_json import encoded
from gateway.account.entry import ADMITTED_FIELDS, FIELDS
from gateway.account.journal_files import ADMITTED, ENDED, LOCK, STATUS, JournalStatus, Segment, journal_status
from gateway.serving.local_files import private_directory

__all__ = ["Journal", "JournalStatus", "journal_status"]

logger = logging.getLogger(__name__)

SEGMENT_BYTES = 8_000_000
_CHECK_SECONDS = 1.0
_MOST_UNWRITTEN = 2_000
_REWRITTEN_AT_ONCE = 50

_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


class Journal:
    """This process's journal in `directory`, which is made when missing. Files are opened by `open`, at the latest with
    the first line.

    A line that cannot be written is counted as a lost call where other processes see it (`journal_status`), kept
    in memory (the last 2,000), and written when the disk takes lines again, which takes the count back.
    """

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self._lost = _LostCount()
        self._files: _Files | None = None
        self._unwritten: dict[Any, bytes] = {}
        _journals.add(self)

    @property
    def lost(self) -> int:
        """Calls of this process that are not in its journal."""
        return self._lost.value

    def admitted(self, entry: Mapping[str, Any]) -> None:
        """Notes that a call has begun, with what is known of it (`ADMITTED_FIELDS`); should the process die, this
        line becomes the call's row."""
        self._append(ADMITTED, ADMITTED_FIELDS, entry)

    def ended(self, entry: Mapping[str, Any]) -> None:
        """Notes how a call ended: the whole entry."""
        self._append(ENDED, FIELDS, entry)

    def open(self) -> None:
        """Opens the files. Before the first call, since a disk that is full by then leaves no room for the count that
        other processes see. Never raises: `catch_up` tries again."""
        with self._lock:
            try:
                self._open_files()
            except OSError as error:
                logger.error("The journal cannot be written: %s", error)  # noqa: TRY400 - nothing is to be debugged

    def catch_up(self) -> bool:
        """Writes a few of the lines that could not be written before. To be called once a second, and again at once
        while it returns true: there are more, and the disk takes them. Never raises."""
        with self._lock:
            try:
                if self._files is None:
                    self._open_files()
                self._lost.show()
                return self._write_waiting(_REWRITTEN_AT_ONCE)
            except OSError:
                return False

    def close(self) -> None:
        """Writes what waits, if the disk takes it now, and gives up the files. Calls that were admitted and have not
        ended become rows with the outcome lost."""
        with self._lock:
            with contextlib.suppress(OSError):
                self._write_waiting(_MOST_UNWRITTEN)
            if self._lost.value:
                logger.error("Calls that are not in the journal and will have no row: %d", self._lost.value)
            self._close_files()
            self._lost.close()

    def _append(self, kind: str, fields: tuple[str, ...], entry: Mapping[str, Any]) -> None:
        line = b""
        try:
            line = encoded([kind, *map(entry.get, fields)]) + b"\n"
            with self._lock:
                self._open_files().write(line)
                if self._unwritten:
                    self._recover(entry.get("call_id") if kind == ENDED else None)
        except Exception as error:  # noqa: BLE001 - the account must never end a call
            self._failed(entry.get("call_id"), line if kind == ENDED else b"", error)

    def _open_files(self) -> _Files:
        files = self._files
        if files is not None:
            if not files.is_due_for_check():
                return files
            vanished = files.lines_that_vanished()
            if vanished is None:
                return files
            self._close_files()
            self._lost.add(vanished)
        private_directory(self._directory)
        self._files = _Files(self._directory, self._segment_bytes)
        self._lost.show_in(self._files.status_path)
        return self._files

    def _close_files(self) -> None:
        if self._files is not None:
            self._files.close()
            self._files = None

    def _failed(self, call_id: Any, line: bytes, error: Exception) -> None:
        with self._lock:
            if not self._unwritten:
                logger.error("The journal cannot be written: %s", error)
            if call_id not in self._unwritten:
                self._lost.add(1)
                if len(self._unwritten) >= _MOST_UNWRITTEN:
                    del self._unwritten[next(iter(self._unwritten))]
            self._unwritten[call_id] = line

    def _recover(self, ended: Any) -> None:
        """Goes on with what could not be written before. An admission is not made good, as the call's end says all
        that it did."""
        if self._unwritten.pop(ended, None) is not None:
            self._lost.add(-1)
        with contextlib.suppress(OSError):
            self._write_waiting(_REWRITTEN_AT_ONCE)

    def _write_waiting(self, most: int) -> bool:
        """Writes at most so many of the lines in memory; whether there are more. Raises OSError."""
        waiting = [(call_id, line) for call_id, line in self._unwritten.items() if line]
        for call_id, line in waiting[:most]:
            self._open_files().write(line)
            del self._unwritten[call_id]
            self._lost.add(-1)
        return len(waiting) > most

    def _forget(self) -> None:
        """In a forked child: the files, and their lock, are the parent's."""
        self._lock = threading.Lock()
        self._close_files()
        self._lost.close()
        self._lost, self._unwritten = _LostCount(), {}


class _Files:
    """The open files of a journal. Raises OSError when they cannot be made or a line cannot be written whole."""

    def __init__(self, directory: Path, segment_bytes: int) -> None:
        host = re.sub(r"[^A-Za-z0-9-]", "-", os.uname().nodename)
        self._process = f"{host}-{os.getpid()}-{time.time_ns()}"
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._number = 0
        self._segment = -1
        self._size = 0
        self._torn = False
        self._unchecked = 0
        self._next_check = time.monotonic() + _CHECK_SECONDS
        self.status_path = directory / f"{self._process}{STATUS}"
        self._owner = self._own()
        try:
            self._start_segment()
        except OSError:
            os.close(self._owner)
            (directory / f"{self._process}{LOCK}").unlink(missing_ok=True)
            raise

    def _own(self) -> int:
        """Makes the lock file under another name, and gives it its own once it is locked: nobody finds it free."""
        draft = self._directory / f".{self._process}{LOCK}"
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(self._directory / f"{self._process}{LOCK}")
        except OSError:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            raise
        return descriptor

    def _start_segment(self) -> None:
        path = self._directory / Segment(self._process, self._number + 1).file_name
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if self._segment >= 0:
            os.close(self._segment)
        self._segment, self._size, self._torn = opened, 0, False
        self._number += 1

    def write(self, line: bytes) -> None:
        """Appends the line, in a new segment when this one is full or has failed."""
        if self._size >= self._segment_bytes or self._torn:
            self._start_segment()
        try:
            written = os.write(self._segment, line)
        except OSError:
            self._torn = self._size > 0  # a new segment may do better; an empty one would be as bad
            raise
        if written != len(line):
            self._take_back(written)
            raise OSError(f"{written} of {len(line)} bytes were written")
        self._size += written
        self._unchecked += 1

    def _take_back(self, written: int) -> None:
        """After a short write: cuts the piece off, or else leaves it as the end of this segment."""
        self._torn = True
        try:
            os.ftruncate(self._segment, self._size)
            self._torn = self._size > 0
        except OSError:
            self._size += written

    def is_due_for_check(self) -> bool:
        """Whether a second has passed since somebody looked if the files are still there."""
        return time.monotonic() >= self._next_check

    def lines_that_vanished(self) -> int | None:
        """None if the files are still in their directory. Else how many lines were written since the last check:
        at most so many were lost that the recorder had not read."""
        if os.fstat(self._segment).st_nlink and os.fstat(self._owner).st_nlink:
            self._next_check = time.monotonic() + _CHECK_SECONDS
            self._unchecked = 0
            return None
        return self._unchecked

    def close(self) -> None:
        os.close(self._segment)
        os.close(self._owner)


class _LostCount:
    """A number in a small file whose page is already there, so that it can be raised when the disk is full."""

    def __init__(self) -> None:
        self.value = 0
        self._path: Path | None = None
        self._page: mmap.mmap | None = None

    def show_in(self, path: Path) -> None:
        """Counts in this file from now on; as soon as it can be made, if the disk is full already."""
        self.close()
        self._path = path
        self.add(0)

    def show(self) -> None:
        """Makes the file, if the disk had no room for it before."""
        if self._page is None:
            self.add(0)

    def _make(self, path: Path) -> None:
        with contextlib.suppress(OSError, ValueError), path.open("w+b", buffering=0) as file:
            file.write(bytes(mmap.PAGESIZE))
            self._page = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def add(self, calls: int) -> None:
        self.value += calls
        if self._page is None and self._path is not None:
            self._make(self._path)
        if self._page is not None:
            struct.pack_into("<q", self._page, 0, self.value)

    def close(self) -> None:
        if self._page is not None:
            self._page.close()
            self._page = None


def _forget_in_child() -> None:
    for journal in list(_journals):
        journal._forget()


os.register_at_fork(after_in_child=_forget_in_child)
