"""gunicorn's configuration of the control plane."""

import contextlib
import os
from typing import Any

from gateway import settings
from gateway.serving.control_address import listen_address
from gateway.serving.processes import end_with_parent

bind = [listen_address(settings)]
umask = 0o077
workers = 1
worker_class = "gthread"
threads = 8
keepalive = 15
timeout = 120
graceful_timeout = 5
forwarded_allow_ips = "*"
control_socket_disable = True
accesslog = None
loglevel = "warning"
proc_name = "vllm-gateway-control"

PROBER_ENDS_WITHIN = 2.0  # seconds; a step of it writes to the database


def on_starting(server: Any) -> None:
    """In the master: it ends when the supervisor does. People see pages before calls are late."""
    end_with_parent()
    with contextlib.suppress(OSError):
        os.nice(5)


def post_worker_init(worker: Any) -> None:
    """In the worker, once the application is loaded: the prober starts."""
    from upstreams.prober import Prober

    worker.prober = Prober()
    worker.prober.start()


def worker_exit(server: Any, worker: Any) -> None:
    """In the worker, at its end: the prober's thread ends before the interpreter, which takes no new work then."""
    prober = getattr(worker, "prober", None)
    if prober is not None:
        prober.stop(PROBER_ENDS_WITHIN)
