"""Each plane runs once on a data directory: limits of SQLite are counted in one relay's memory, and two control planes
would take each other's socket away. A start that finds its place taken says so and changes nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


@contextlib.contextmanager
def held(directory: Path, planes: Iterable[str]) -> Iterator[None]:
    """Holds the lock of each plane inside. The system frees it when the process ends, however it ends.

    Python hands no open file to the processes that it starts: what a killed start leaves behind holds no lock.
    Raises ImproperlyConfigured when another process runs one of the planes here.
    """
    with contextlib.ExitStack() as stack:
        for plane in planes:
            stack.callback(os.close, _lock(directory, plane))
        yield


def _lock(directory: Path, plane: str) -> int:
    try:
        descriptor = os.open(directory / f"{plane}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ImproperlyConfigured(
            f"GATEWAY_DATA_DIR is {directory}, where nothing can be kept: {error.strerror}."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise ImproperlyConfigured(
                f"GATEWAY_DATA_DIR is {directory}, where a gateway's {plane} plane runs already; "
                "stop that one, or give this one a data directory of its own."
            ) from error
        raise ImproperlyConfigured(
            f"GATEWAY_DATA_DIR is {directory}, where no file can be locked: {error.strerror}."
        ) from error
    return descriptor
