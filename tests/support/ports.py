"""Ports for what a test starts, and for where nothing is to listen."""

from __future__ import annotations

import functools
import itertools
import random
import socket
from collections.abc import Iterator

_FIRST, _LAST, _BLOCK = 10_000, 32_000, 1_000
_signs: list[socket.socket] = []


def unused_port() -> int:
    """A loopback port on which nothing listens, and which other tests that run beside these do not get.

    Linux, unless it is told otherwise, hands out ports above these: one of its own could go to a connection, or to
    somebody's server, before it is used here.
    """
    return next(port for port in itertools.islice(_ports(), _BLOCK) if _is_free(port))


@functools.cache
def _ports() -> Iterator[int]:
    """The ports of one block, over and over. A socket that ends with this process says that it is taken."""
    starts = list(range(_FIRST, _LAST, _BLOCK))
    random.shuffle(starts)
    for start in starts:
        sign = socket.socket(socket.AF_UNIX)
        try:
            sign.bind(f"\0vllm-gateway-tests-{start}")
        except OSError:
            sign.close()
            continue
        _signs.append(sign)
        return itertools.cycle(range(start, start + _BLOCK))
    raise AssertionError("too many tests run at once")


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
