"""A client's leaving is told at once, and early bytes are no leaving."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import gevent.socket
import pytest

from gateway import client_watch
from gateway.client_watch import ClientWatch
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.sockets


@pytest.fixture
def pair() -> Iterator[tuple[gevent.socket.socket, gevent.socket.socket]]:
    ours, theirs = gevent.socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def _told(gone: list[int]) -> None:
    """Waits until it was told, and long enough for it to be told again."""
    with gevent.Timeout(PATIENCE):
        while not gone:
            gevent.sleep(0.01)
    gevent.sleep(0.05)


def _watched(ours: gevent.socket.socket) -> tuple[ClientWatch, list[int]]:
    gone: list[int] = []
    return ClientWatch(ours, lambda: gone.append(1)), gone


@pytest.mark.parametrize("how", ["close", "half"])
def test_leaving_is_told_once(pair: tuple[gevent.socket.socket, ...], how: str) -> None:
    watch, gone = _watched(pair[0])
    if how == "close":
        pair[1].close()
    else:
        pair[1].shutdown(gevent.socket.SHUT_WR)
    _told(gone)
    assert gone == [1]
    watch.stop()
    watch.stop()


def test_nothing_is_told_after_a_stop(pair: tuple[gevent.socket.socket, ...]) -> None:
    watch, gone = _watched(pair[0])
    watch.stop()
    pair[1].close()
    gevent.sleep(0.05)
    assert gone == []


def test_early_bytes_are_left_where_they_are(
    pair: tuple[gevent.socket.socket, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leaving is still seen behind them, at the next look."""
    monkeypatch.setattr(client_watch, "_POLL_SECONDS", 0.05)
    watch, gone = _watched(pair[0])
    pair[1].sendall(b"GET /next")
    gevent.sleep(0.12)
    assert (gone, pair[0].recv(4)) == ([], b"GET ")
    pair[1].close()
    _told(gone)
    assert gone == [1]
    watch.stop()


def test_a_spurious_wake_up_is_nothing(pair: tuple[gevent.socket.socket, ...]) -> None:
    watch, gone = _watched(pair[0])
    watch._readable()
    assert gone == []
    watch.stop()
