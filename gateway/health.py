"""What the relay says of itself: alive, ready, and what is away. Public: it names nothing and nobody."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections
from django.http import HttpRequest, JsonResponse

from gateway.account.journal import journal_status
from gateway.plane import RelayPlane

LATE_SECONDS = 5.0
BACKLOG_BYTES = 50_000_000


def alive(request: HttpRequest) -> JsonResponse:
    """`/healthz`: this process answers."""
    return JsonResponse({"status": "ok"})


def liveliness(request: HttpRequest) -> JsonResponse:
    """LiteLLM's `/health/liveliness` and `/health/liveness`."""
    return JsonResponse("I'm alive!", safe=False)


def ready(request: HttpRequest) -> JsonResponse:
    """`/readyz` and LiteLLM's `/health/readiness`: 503 only while starting or draining.

    A database, a store of limits or an upstream that is away is `degraded`, with status 200: calls go on without it.
    """
    from gateway.this_relay import plane  # the control plane, which has this file too, has none

    detail = report(plane, time.time())
    return JsonResponse(detail, status=200 if plane.ready else 503)


def report(plane: RelayPlane, now: float) -> dict[str, Any]:
    """The detail of `/readyz`. `now` is in unix seconds."""
    database = _database(plane, now)
    upstreams = _upstreams(plane)
    journal = _journal(plane)
    counters = _counters(plane)
    troubles = [part["status"] != "ok" for part in (database, counters, upstreams, journal)]
    if not plane.ready:
        status = "draining" if plane.draining else "starting"
    else:
        status = "degraded" if any(troubles) else "healthy"
    return {
        "status": status,
        "db": "connected" if database["status"] == "ok" else "Not connected",
        "database": database,
        "counters": counters,
        "upstreams": upstreams,
        "journal": journal,
        "open_calls": len(plane.open_calls),
        "unknown_keys": plane.unlisted.unknown_keys,
    }


def _database(plane: RelayPlane, now: float) -> dict[str, Any]:
    at = plane.refresher.refreshed_at
    if plane.refresher.error is not None or (at is not None and now - at > LATE_SECONDS):
        return {"status": "away", "last_answer_seconds_ago": None if at is None else round(now - at, 1)}
    return {"status": "ok"}


def _counters(plane: RelayPlane) -> dict[str, Any]:
    """Where limits are counted; while that store is away, what that means."""
    store = plane.counters.store
    if not plane.counters.is_degraded:
        return {"status": "ok", "store": store}
    then = "calls with limits are refused" if settings.REFUSE_WITHOUT_LIMITS else "limits hold in each process"
    return {"status": "away", "store": store, "meanwhile": then}


def _upstreams(plane: RelayPlane) -> dict[str, Any]:
    if plane.refresher.error is not None:
        return {"status": "unknown"}
    counts = plane.upstream_health
    return {"status": "unhealthy" if counts.get("unhealthy") else "ok", "total": sum(counts.values()), **counts}


def _journal(plane: RelayPlane) -> dict[str, Any]:
    status = journal_status(settings.DATA_DIR / "journal")
    lost = max(status.lost, plane.journal.lost)  # a disk that was full from the start holds no count
    trouble = lost or status.quarantined or status.backlog_bytes > BACKLOG_BYTES
    return {
        "status": "trouble" if trouble else "ok",
        "lost_calls": lost,
        "quarantined_lines": status.quarantined,
        "backlog_bytes": status.backlog_bytes,
    }


def control_ready(request: HttpRequest) -> JsonResponse:
    """The same address on the control plane alone: whether its database answers."""
    try:
        connections["default"].ensure_connection()
    except (DatabaseError, InterfaceError):
        return JsonResponse({"status": "degraded", "db": "Not connected"})
    return JsonResponse({"status": "healthy", "db": "connected"})
