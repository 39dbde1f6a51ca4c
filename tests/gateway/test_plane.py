"""What the relay's plane does beside the calls."""

from __future__ import annotations

import threading

import gevent
import pytest
from django.db import OperationalError
from pytest_django import Settings

from gateway.plane import RelayPlane, _runner
from keys.registry import KeyRegistry
from tests.support.patience import PATIENCE
from upstreams.pool import UpstreamPool


@pytest.fixture(autouse=True)
def in_a_thread(settings: Settings) -> None:
    """SQLite's locks would stop gevent's loop."""
    settings.EMBEDDED, settings.PLANE = True, "relay"


def test_what_fails_in_the_store_s_thread_fails_where_it_is_waited_for_and_prints_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def act() -> None:
        raise OperationalError("database or disk is full")

    with pytest.raises(OperationalError, match="disk is full"):
        _runner()(act)
    assert capfd.readouterr().err == ""


def test_the_store_s_thread_does_what_it_is_told() -> None:
    done: list[int] = []
    _runner()(lambda: done.append(1))
    assert done == [1]


def test_the_registries_are_refreshed_while_what_a_call_writes_waits_for_the_database() -> None:
    """SQLite has one writer, for which a write may wait long; a blocked key is to be refused within a second."""
    plane, free = RelayPlane(KeyRegistry(), UpstreamPool()), threading.Event()
    writer = gevent.spawn(plane.run_in_store, free.wait)
    gevent.sleep(0)
    try:
        with gevent.Timeout(PATIENCE):
            plane.refresher.once()
        assert not writer.ready()
    finally:
        free.set()
        writer.join()
        plane.stop()
