"""A greenlet that lets others go lets those go first that wait for their sockets."""

import gevent
from gevent import socket

from gateway.turns import let_others_go


def test_who_waits_for_a_socket_comes_first() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reader = gevent.spawn(ours.recv, 1)
        gevent.sleep(0.01)  # it waits now
        theirs.send(b"x")
        for _ in range(3):
            let_others_go()
        assert reader.ready()
        assert reader.get() == b"x"
