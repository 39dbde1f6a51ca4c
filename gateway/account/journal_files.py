"""The journal's directory: what its files are called, whose they are, and whether their owners live.

    <process>.lock            locked for as long as the process lives
    <process>.<n>.jsonl       its segments; all but the last are complete
    <process>.status          how many calls it could not write
    recorder.lock             locked by the one recorder at work here
    recorder.json             how far the recorder is
    quarantine.jsonl          lines that cannot become rows

A line is a JSON array: its kind, then the values of an entry in the order of `gateway.account.entry`. Knows neither
what they mean nor the database.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from common.fast_json import decoded
from gateway.account.entry import ADMITTED_FIELDS, FIELDS, Entry

LOCK, STATUS, SEGMENT = ".lock", ".status", ".jsonl"
ADMITTED, ENDED = "a", "e"  # the first value of a line
RECORDER_LOCK, PROGRESS, QUARANTINE = "recorder.lock", "recorder.json", "quarantine.jsonl"

_FIELDS = {ADMITTED: ADMITTED_FIELDS, ENDED: FIELDS}
_LOST = struct.Struct("<q")
_SEGMENT_NAME = re.compile(r"(?P<process>.+)\.(?P<number>\d+)\.jsonl")


class Segment(NamedTuple):
    """One file of a process's journal. Sorts by process and number."""

    process: str
    number: int

    @property
    def file_name(self) -> str:
        return f"{self.process}.{self.number:06}{SEGMENT}"


def segments_in(directory: Path) -> list[Segment]:
    """All segments, sorted; none when there is no such directory."""
    names = (_SEGMENT_NAME.fullmatch(name) for name in _names(directory))
    return sorted(Segment(match["process"], int(match["number"])) for match in names if match)


def read_line(line: bytes) -> tuple[str, Entry]:
    """The line's kind (`ADMITTED` or `ENDED`) and its entry. Raises ValueError when it is neither."""
    values = decoded(line)
    fields = _FIELDS.get(values[0]) if isinstance(values, list) and values else None
    if fields is None or len(values) < 2 or not isinstance(values[1], str):
        raise ValueError("This is not a line of a journal.")
    return values[0], dict(zip(fields, values[1:], strict=False))


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208 - names are all that is wanted, twice a second
    except FileNotFoundError:
        return []


def processes_in(directory: Path) -> set[str]:
    """The processes that have any file here."""
    endings = (LOCK, STATUS)
    named = {
        name.rpartition(".")[0]
        for name in _names(directory)
        if name.endswith(endings) and name != RECORDER_LOCK and not name.startswith(".")
    }
    return named | {segment.process for segment in segments_in(directory)}


def living(directory: Path, process: str) -> bool:
    """Whether the process holds its lock; it has it before its first segment has a name."""
    try:
        descriptor = os.open(directory / f"{process}{LOCK}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who look at the same moment do not take each other for the owner.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@dataclass
class Progress:
    """How far the recorder is: committed bytes by segment's file name, and lines put into quarantine so far."""

    offsets: dict[str, int] = field(default_factory=dict)
    quarantined: int = 0

    @classmethod
    def load(cls, directory: Path) -> Progress:
        """What was saved last; nothing when there is no such file or it cannot be read."""
        try:
            saved = json.loads((directory / PROGRESS).read_bytes())
            return cls({str(name): int(at) for name, at in saved["offsets"].items()}, int(saved["quarantined"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def save(self, directory: Path) -> None:
        """Replaces the saved one. Raises OSError."""
        draft = directory / f".{PROGRESS}.draft"
        draft.write_text(json.dumps({"offsets": self.offsets, "quarantined": self.quarantined}))
        draft.replace(directory / PROGRESS)


@dataclass(frozen=True)
class JournalStatus:
    """What a page or a probe tells of the journal.

    `lost`: calls that could not be written (disk full), the last week's included. `quarantined`: lines that cannot
    become rows, as long as the file that keeps them is there. `backlog_bytes`: written, not yet in the database.
    `oldest`: when the first call of the backlog was received (Unix seconds).
    """

    lost: int = 0
    quarantined: int = 0
    backlog_bytes: int = 0
    oldest: float | None = None


def journal_status(directory: Path) -> JournalStatus:
    """The state of all processes' journals in the directory, as of the recorder's last pass. Raises OSError."""
    progress = Progress.load(directory)
    waiting = list(_backlog(directory, progress))
    times = [at for _, at in waiting if at is not None]
    return JournalStatus(
        lost=sum(lost_calls(directory / name) for name in _names(directory) if name.endswith(STATUS)),
        quarantined=progress.quarantined if (directory / QUARANTINE).exists() else 0,
        backlog_bytes=sum(size for size, _ in waiting),
        oldest=min(times, default=None),
    )


def lost_calls(path: Path) -> int:
    """The count in a status file; 0 when it is gone or not yet written."""
    try:
        return int(_LOST.unpack_from(path.read_bytes())[0])
    except (FileNotFoundError, struct.error):
        return 0


def _backlog(directory: Path, progress: Progress) -> Iterator[tuple[int, float | None]]:
    """For each segment with lines that are not in the database: their bytes, and when the first was received."""
    for segment in segments_in(directory):
        done = progress.offsets.get(segment.file_name, 0)
        try:
            with (directory / segment.file_name).open("rb") as file:
                size = file.seek(0, os.SEEK_END) - done
                if size > 0:
                    file.seek(done)
                    yield size, _received_at(file.readline(65_536))
        except FileNotFoundError:
            continue


def _received_at(line: bytes) -> float | None:
    try:
        return float(read_line(line)[1]["received_at"])
    except (ValueError, KeyError, TypeError):
        return None
