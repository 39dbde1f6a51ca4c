"""gunicorn's configuration of the relay plane."""

from gevent import monkey

monkey.patch_all()  # before Django, requests or psycopg are imported: they bind what they find

from typing import Any  # noqa: E402

from gateway import settings  # noqa: E402
from gateway.serving.processes import end_with_parent  # noqa: E402

bind = [f"[{settings.HOST}]:{settings.PORT}" if ":" in settings.HOST else f"{settings.HOST}:{settings.PORT}"]
workers = settings.RELAY_WORKERS
worker_class = "gateway.serving.server.RelayWorker"
worker_connections = 10_000
backlog = 2048
keepalive = 15  # also the time in which a request's head must arrive
timeout = 60
graceful_timeout = int(settings.GRACE_SECONDS) + 2
limit_request_line = 8190
limit_request_field_size = 32_768
# Whom we believe what it says of clients is GATEWAY_TRUSTED_PROXIES alone; gunicorn would believe whoever is local.
forwarded_allow_ips = ""
control_socket_disable = True
accesslog = None
loglevel = "warning"
proc_name = "vllm-gateway-relay"


def on_starting(server: Any) -> None:
    """In the master: it ends when the supervisor does."""
    end_with_parent()


def post_worker_init(worker: Any) -> None:
    """In the worker, once the application is loaded: what runs beside the calls starts."""
    from gateway.this_relay import plane

    plane.start(worker)


def worker_exit(server: Any, worker: Any) -> None:
    """In the worker, at its end."""
    from gateway.this_relay import plane

    plane.stop()
