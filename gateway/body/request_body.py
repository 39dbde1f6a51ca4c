"""A request's body: received piece by piece, held while small, spooled to disk when large, never twice in memory."""

from __future__ import annotations

import contextlib
import errno
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from common.errors import GatewayError, InvalidRequest
from gateway.cuts import client_gone
from gateway.errors import BodyTooLarge, NoRoomForBody
from gateway.turns import let_others_go

logger = logging.getLogger(__name__)

IN_MEMORY_BYTES = 1_000_000
STEP_BYTES = 16_384
PIECE_BYTES = 65_536
YIELD_BYTES = 65_536  # what costs most to scan takes 20 ms

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

Segment = bytes | tuple[int, int]


class Scanner(Protocol):
    """What looks at the pieces as they arrive."""

    def feed(self, chunk: bytes) -> None: ...


def announced_length(environ: Mapping[str, Any]) -> int | None:
    """The body's length in bytes; 0 when there is none, None when it is chunked. gunicorn has judged the framing."""
    if environ.get("HTTP_TRANSFER_ENCODING"):
        return None
    return int(environ.get("CONTENT_LENGTH") or 0)


class RequestBody:
    """A body that has arrived wholly. Close it when the call ends."""

    def __init__(self, file: IO[bytes] | None = None, data: bytes = b"", length: int = 0) -> None:
        self._file = file
        self._data = data
        self.length = len(data) if file is None else length

    @property
    def held(self) -> bytes | None:
        """The bytes, unless they were spooled."""
        return self._data if self._file is None else None

    def segments(self, segments: Iterable[Segment]) -> Segments:
        """This body with some stretches replaced: ranges of it, and new bytes, in order."""
        return Segments(self, list(segments))

    def whole(self) -> bytes | Segments | None:
        """What is sent when nothing is replaced; None when there is no body."""
        if self._file is None:
            return self._data or None
        return Segments(self, [(0, self.length)])

    def read_range(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` to before `end`, in pieces."""
        if self._file is None:
            yield self._data[start:end]
            return
        self._file.seek(start)
        while start < end and (piece := self._file.read(min(PIECE_BYTES, end - start))):
            start += len(piece)
            yield piece

    def in_turns(self) -> Iterator[bytes]:
        """All of it in pieces, between two of which others go first: for who looks at each byte, which may take
        seconds."""
        for start in range(0, self.length, PIECE_BYTES):
            if start:
                let_others_go()
            yield from self.read_range(start, min(start + PIECE_BYTES, self.length))

    def close(self) -> None:
        """Frees the disk space."""
        if self._file is not None:
            self._file.close()


class Segments:
    """A body made of ranges of another and of new bytes; it can be sent again from its beginning."""

    def __init__(self, body: RequestBody, segments: list[Segment]) -> None:
        self._body = body
        self._segments = segments

    def __iter__(self) -> Iterator[bytes]:
        for segment in self._segments:
            if isinstance(segment, bytes):
                yield segment
            else:
                yield from self._body.read_range(*segment)

    def __len__(self) -> int:
        """The length in bytes."""
        return sum(len(s) if isinstance(s, bytes) else s[1] - s[0] for s in self._segments)

    def __bool__(self) -> bool:
        return True


def receive(
    stream: Any,
    *,
    length: int | None,
    limit: int,
    spool: Path,
    in_memory: int = IN_MEMORY_BYTES,
    scanners: Iterable[Scanner] = (),
    on_bytes: Callable[[int], None],
) -> RequestBody:
    """Reads the body from `wsgi.input`.

    `length` as `announced_length` tells; `limit` in bytes, and `in_memory`, beyond which it is spooled; `on_bytes` is
    told how many bytes have come so far.
    Raises BodyTooLarge, NoRoomForBody (the disk is full), InvalidRequest (broken framing), the cut of a client that
    left in the middle, or OSError (the spool fails otherwise: a fault of the gateway's).
    """
    if length is not None and length > limit:
        raise BodyTooLarge(limit)
    if length == 0:
        return RequestBody()
    try:
        return _kept(_pieces(stream, length, limit, on_bytes), tuple(scanners), spool, in_memory)
    except OSError as error:  # the spool's: what the client's socket raises is one of ours by now
        if error.errno not in _NO_ROOM:
            raise
        logger.warning("A request body cannot be spooled: %s", error.strerror)
        raise NoRoomForBody from error


def _kept(pieces: Iterable[bytes], scanners: tuple[Scanner, ...], spool: Path, in_memory: int) -> RequestBody:
    """The whole body, in memory or on disk. Raises OSError when the disk does not take it."""
    held: list[bytes] = []
    total = 0
    file: IO[bytes] | None = None
    try:
        for piece in pieces:
            total += len(piece)
            for scanner in scanners:
                scanner.feed(piece)
            if file is None and total > in_memory:
                file = tempfile.TemporaryFile(dir=spool)  # noqa: SIM115 - closed with the body
                file.writelines(held)
                held.clear()
            if file is None:
                held.append(piece)
            else:
                file.write(piece)
        if file is not None:
            file.flush()  # a disk that is full shall say so now, and not while the body goes upstream
    except BaseException:
        if file is not None:
            with contextlib.suppress(OSError):  # closing writes what is left, and closes in any case
                file.close()
        raise
    return RequestBody(data=b"".join(held)) if file is None else RequestBody(file, length=total)


def _pieces(stream: Any, length: int | None, limit: int, on_bytes: Callable[[int], None]) -> Iterator[bytes]:
    total, yielded_at = 0, 0
    while length is None or total < length:
        step = STEP_BYTES if length is None else min(STEP_BYTES, length - total)
        piece = _read(stream, step)
        if not piece:
            break
        total += len(piece)
        on_bytes(total)
        if total > limit:
            raise BodyTooLarge(limit)
        if total - yielded_at >= YIELD_BYTES:
            yielded_at = total
            let_others_go()  # others' streams come before the rest of a large body
        yield piece
    if length is not None and total < length:
        raise client_gone()


def _read(stream: Any, size: int) -> bytes:
    try:
        return bytes(stream.read(size))
    except OSError as error:
        raise client_gone() from error
    except GatewayError:
        raise  # a time-out of ours
    except Exception as error:
        # gunicorn's parser found the chunked framing broken; its sentences name bytes of the body.
        raise InvalidRequest("The request body's framing is not valid.") from error
