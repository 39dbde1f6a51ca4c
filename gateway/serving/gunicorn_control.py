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


def on_starting(server: Any) -> None:
    """In the master: it ends when the supervisor does. People see pages before calls are late."""
    end_with_parent()
    with contextlib.suppress(OSError):
        os.nice(5)


def post_worker_init(worker: Any) -> None:
    """In the worker, once the application is loaded: the prober starts."""
    from upstreams.prober import Prober

    Prober().start()
