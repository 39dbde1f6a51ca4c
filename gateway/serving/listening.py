"""Whether a server could listen somewhere, found out before it is started, so that a sentence can say why not."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def port_trouble(host: str, port: int) -> str | None:
    """Why nobody could listen there now, in the system's words; None when one could."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or type(error).__name__
    return None


def socket_trouble(path: Path) -> str | None:
    """The same of a unix socket. What a killed process has left there is in nobody's way.

    Never waits: a listener that is stopped, with a full backlog, is one that has the address (EAGAIN in unix(7)).
    """
    if not path.parent.is_dir():
        return "There is no such directory"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return "Permission denied"
    if path.exists() and not path.is_socket():
        return "There is something else than a socket"
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return "Address already in use"
        except OSError:
            return None
    return "Address already in use"
