"""What /readyz says in each state."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import RequestFactory

from gateway import health, this_relay
from gateway.account.journal import Journal
from gateway.plane import RelayPlane
from keys.counters import Charge, MemoryCounters
from keys.counters.redis import RedisCounters
from keys.errors import LimitsAway
from keys.registry import KeyRegistry
from tests.support.entries import an_entry
from tests.support.ports import unused_port
from upstreams.pool import UpstreamPool

pytestmark = pytest.mark.django_db(transaction=True)
NOW = 1_000_000.0


@pytest.fixture
def plane() -> Iterator[RelayPlane]:
    """A relay's plane without a web server, after one refresh."""
    plane = RelayPlane(KeyRegistry(), UpstreamPool())
    plane.refresher.once()
    plane.refresher.refreshed_at = NOW
    yield plane
    plane.stop()


def _status(plane: RelayPlane, now: float = NOW) -> str:
    return str(health.report(plane, now)["status"])


def test_it_is_healthy_when_all_is_there(plane: RelayPlane) -> None:
    report = health.report(plane, NOW)
    assert (report["status"], report["db"], report["open_calls"]) == ("healthy", "connected", 0)


def test_it_is_starting_before_the_first_refresh(plane: RelayPlane) -> None:
    plane._worker = SimpleNamespace(alive=True)
    plane.refresher.refreshed_at = None
    assert (_status(plane), plane.ready) == ("starting", False)


def test_it_is_draining_before_its_end(plane: RelayPlane) -> None:
    plane.draining = True
    assert (_status(plane), plane.ready) == ("draining", False)


def test_a_database_that_fails_is_degraded(plane: RelayPlane) -> None:
    plane.refresher.error = OSError()
    report = health.report(plane, NOW + 3)
    assert (report["status"], report["db"]) == ("degraded", "Not connected")
    assert report["database"]["last_answer_seconds_ago"] == 3.0
    assert report["upstreams"]["status"] == "unknown"


def test_a_database_that_hangs_is_degraded(plane: RelayPlane) -> None:
    assert _status(plane, NOW + 60) == "degraded"


def test_it_says_where_limits_are_counted(plane: RelayPlane) -> None:
    plane.counters = MemoryCounters()
    assert health.report(plane, NOW)["counters"] == {"status": "ok", "store": "memory"}


@pytest.mark.sockets
@pytest.mark.parametrize(("refuse", "meanwhile"), [(False, "limits hold in each"), (True, "calls with limits are ref")])
def test_a_store_of_the_limits_that_is_away_is_degraded(
    plane: RelayPlane, settings: Any, refuse: bool, meanwhile: str
) -> None:
    settings.REFUSE_WITHOUT_LIMITS = refuse
    plane.counters = RedisCounters(f"redis://127.0.0.1:{unused_port()}")
    with contextlib.suppress(LimitsAway):
        plane.counters.take("a", [Charge("key:1", 1, 1)])
    report = health.report(plane, NOW)
    assert (report["status"], report["counters"]["status"], report["counters"]["store"]) == (
        "degraded",
        "away",
        "redis",
    )
    assert report["counters"]["meanwhile"].startswith(meanwhile)


def test_an_unhealthy_upstream_is_degraded(plane: RelayPlane) -> None:
    plane.upstream_health = {"healthy": 2, "unhealthy": 1}
    report = health.report(plane, NOW)
    assert (report["status"], report["upstreams"]["total"]) == ("degraded", 3)


def test_lost_calls_that_no_file_could_hold_are_told(plane: RelayPlane, tmp_path: Path) -> None:
    directory = tmp_path / "a-file-in-its-place"
    directory.write_text("")
    plane.journal = Journal(directory)
    plane.journal.ended(an_entry())
    report = health.report(plane, NOW)
    assert (report["status"], report["journal"]["status"], report["journal"]["lost_calls"]) == (
        "degraded",
        "trouble",
        1,
    )


@pytest.mark.parametrize("view", [health.alive, health.liveliness])
def test_it_is_alive(view: Any, rf: RequestFactory) -> None:
    assert view(rf.get("/")).status_code == 200


def test_readiness_is_503_only_while_no_calls_are_taken(rf: RequestFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(this_relay.plane, "draining", True)
    assert health.ready(rf.get("/readyz")).status_code == 503
    monkeypatch.setattr(this_relay.plane, "draining", False)
    assert health.ready(rf.get("/readyz")).status_code == 200


def test_the_control_plane_says_whether_its_database_answers(rf: RequestFactory) -> None:
    assert b"healthy" in health.control_ready(rf.get("/readyz")).content
