"""Tells at once when a client leaves, in whatever phase its call is.

An event of gevent's loop on the client's socket, not a greenlet: it costs nothing while nothing happens.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Any

import gevent
from gevent import monkey

_READ = 1
_POLL_SECONDS = 0.5
_poll = monkey.get_original("select", "poll")
_HUNG_UP = getattr(select, "POLLRDHUP", select.POLLHUP)


class ClientWatch:
    """Calls `on_gone` (in the hub: it must not wait) when the client has closed its side, wholly or by half.

    A half-close counts as leaving, as in vLLM. Bytes of a next request that came too early would wake the event
    for ever; after them the socket's state is looked at twice a second instead.
    """

    __slots__ = ("_io", "_on_gone", "_socket", "_timer")

    def __init__(self, client: Any, on_gone: Callable[[], None]) -> None:
        self._socket: socket.socket = client._sock  # the plain one: the hub must not wait
        self._on_gone = on_gone
        self._timer: Any = None
        self._io: Any = gevent.get_hub().loop.io(client.fileno(), _READ)
        self._io.start(self._readable)

    def stop(self) -> None:
        """No more events; may be called twice."""
        for event in (self._io, self._timer):
            if event is not None:
                event.stop()
                event.close()
        self._io = self._timer = None

    def _readable(self) -> None:
        try:
            early = self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            early = b""
        if not early:
            self._gone()
            return
        self._io.stop()
        self._timer = gevent.get_hub().loop.timer(_POLL_SECONDS, _POLL_SECONDS)
        self._timer.start(self._look)

    def _look(self) -> None:
        if self._socket.fileno() < 0:  # closed on our side meanwhile
            self.stop()
            return
        poll = _poll()
        poll.register(self._socket.fileno(), _HUNG_UP)
        if poll.poll(0):
            self._gone()

    def _gone(self) -> None:
        self.stop()
        self._on_gone()
