"""Each plane runs once on a data directory: limits of SQLite are counted in one relay's memory, and two control planes
would take each other's socket away. A start that finds its place taken says so and changes nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from gateway.serving.local_files import take_lock


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
        descriptor = take_lock(directory / f"{plane}.lock")
    except OSError as error:
        raise ImproperlyConfigured(
            f"GATEWAY_DATA_DIR is {directory}, where no lock can be kept: {error.strerror}."
        ) from error
    if descriptor is None:
        raise ImproperlyConfigured(
            f"GATEWAY_DATA_DIR is {directory}, where a gateway's {plane} plane runs already; "
            "stop that one, or give this one a data directory of its own."
        )
    return descriptor
