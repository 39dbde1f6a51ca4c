"""One process's journal as its reader sees it: what is new in it, which calls are open, what can be removed.

Moves on only when told that a block is safe (`commit`). Knows not where the entries go.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.account.entry import Entry, Outcome, UsageSource
from gateway.account.journal_files import ADMITTED, Segment, read_line

_BLOCK_BYTES = 400_000
_KILLED = "The gateway was stopped while this call was open."


@dataclass
class Block:
    """Some whole lines of a segment, up to the byte `end`."""

    segment: Segment
    end: int
    admitted: list[Entry] = field(default_factory=list)
    ended: list[Entry] = field(default_factory=list)
    unreadable: list[bytes] = field(default_factory=list)


class ProcessJournal:
    """Reads the segments of one process, each from the byte that was committed for it before this reader began."""

    def __init__(self, directory: Path, committed: Mapping[str, int]) -> None:
        self._directory = directory
        self._committed = committed
        self._at: dict[Segment, int] = {}
        self._open: dict[str, tuple[Segment, Entry]] = {}

    def read(self, segment: Segment) -> Block | None:
        """The next block, or None when no whole line is there. The same again until it is committed."""
        if segment not in self._at:
            self._retrace(segment)
        return self._read(segment, _BLOCK_BYTES)

    def commit(self, block: Block) -> None:
        """What the block holds is safe."""
        for entry in block.admitted:
            self._open[entry["call_id"]] = (block.segment, entry)
        for entry in block.ended:
            self._open.pop(entry["call_id"], None)
        self._at[block.segment] = block.end

    def tail(self, segment: Segment) -> bytes:
        """What follows the last whole line: of a segment that is complete, a line that was torn."""
        return self._bytes(segment, self._at.get(segment, 0), -1)

    def skip_tail(self, segment: Segment) -> None:
        """Leaves the torn line alone from now on."""
        self._at[segment] = self._size(segment)

    def is_read(self, segment: Segment) -> bool:
        """Whether every byte of it is committed."""
        return self._at.get(segment, 0) >= self._size(segment)

    def lost(self) -> list[Entry]:
        """For each call that was admitted and has not ended: its entry, if the process is dead."""
        ending = {
            "outcome": Outcome.LOST.value,
            "usage_source": UsageSource.UNKNOWN.value,
            "error_text": _KILLED,
        }
        return [{**entry, **ending} for _, entry in self._open.values()]

    def forget_open(self) -> None:
        """The lost calls are safe."""
        self._open.clear()

    def is_needed(self, segment: Segment) -> bool:
        """Whether it holds something that is not yet safe: unread bytes, or the admission of an open call."""
        return not self.is_read(segment) or any(where == segment for where, _ in self._open.values())

    def remove(self, segment: Segment) -> None:
        """Deletes the file. Raises OSError."""
        self._path(segment).unlink(missing_ok=True)
        self._at.pop(segment, None)

    def at(self) -> dict[str, int]:
        """The committed bytes by file name."""
        return {segment.file_name: end for segment, end in self._at.items()}

    def _path(self, segment: Segment) -> Path:
        return self._directory / segment.file_name

    def _size(self, segment: Segment) -> int:
        try:
            return self._path(segment).stat().st_size
        except FileNotFoundError:
            return 0

    def _bytes(self, segment: Segment, start: int, length: int) -> bytes:
        try:
            with self._path(segment).open("rb") as file:
                file.seek(start)
                return file.read(length)
        except FileNotFoundError:
            return b""

    def _retrace(self, segment: Segment) -> None:
        """Follows the open calls through what an earlier reader committed. Its rows may be pruned by now, so they
        are not stored again."""
        self._at[segment] = 0
        committed = self._committed.get(segment.file_name, 0)
        while (left := committed - self._at[segment]) > 0:
            block = self._read(segment, min(left, _BLOCK_BYTES))
            if block is None:
                break
            self.commit(block)

    def _read(self, segment: Segment, length: int) -> Block | None:
        start = self._at[segment]
        if self._size(segment) <= start:
            return None
        data = self._bytes(segment, start, length)
        whole = data.rfind(b"\n") + 1
        if not whole and len(data) < _BLOCK_BYTES:
            return None
        data = data[:whole] if whole else data  # a line of 400 kB is none of ours
        return _parse(Block(segment, start + len(data)), data)


def _parse(block: Block, data: bytes) -> Block:
    for line in data.split(b"\n"):
        try:
            kind, entry = _rescue(line)
        except ValueError:
            if line:
                block.unreadable.append(line)
            continue
        (block.admitted if kind == ADMITTED else block.ended).append(entry)
    return block


def _rescue(line: bytes) -> tuple[str, Entry]:
    """Reads the line, also when the beginning of a torn one stands before it. Raises ValueError."""
    try:
        return read_line(line)
    except ValueError:
        for start in _beginnings(line):
            with contextlib.suppress(ValueError):
                return read_line(line[start:])
        raise


def _beginnings(line: bytes) -> Iterator[int]:
    start = line.find(b'["', 1)
    while start > 0:
        yield start
        start = line.find(b'["', start + 1)
