"""What several nodes do at the same moment. (SQLite has one writer at a time anyway.)"""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connections
from pytest_django import Settings

from tests.support.patience import PATIENCE
from upstreams.encryption import check_canary
from upstreams.environment_upstream import sync_environment_upstream
from upstreams.models import EncryptionCanary, Upstream
from upstreams.pool import UpstreamPool

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(django_settings.EMBEDDED, reason="needs a database for several writers"),
]


def at_once(act: Callable[[int], Any], nodes: int = 4) -> None:
    """Runs `act` on several threads with connections of their own; fails when one of them fails."""
    failures: list[Exception] = []
    start = threading.Barrier(nodes)

    def node(number: int) -> None:
        try:
            start.wait(PATIENCE)
            act(number)
        except Exception as error:  # noqa: BLE001 - handed to the test
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=node, args=(number,)) for number in range(nodes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def add(number: int) -> None:
    Upstream.objects.create(name=f"upstream {number}", url=f"http://host{number}", is_default=True)


def test_one_default_is_left_when_several_are_added() -> None:
    at_once(add)
    assert Upstream.objects.filter(is_default=True).count() == 1


def test_the_first_upstream_is_made_default_once() -> None:
    at_once(lambda number: Upstream.objects.create(name=f"upstream {number}", url="http://host"))
    assert Upstream.objects.filter(is_default=True).count() == 1


def test_the_upstream_of_the_environment_is_made_once(settings: Settings) -> None:
    settings.UPSTREAM_BASE = "http://my-vllm:8000"
    at_once(lambda _: sync_environment_upstream())
    assert Upstream.objects.count() == 1


def test_the_canary_is_made_once() -> None:
    at_once(lambda _: check_canary())
    assert EncryptionCanary.objects.count() == 1


def test_a_pool_misses_no_write_of_many_writers() -> None:
    pool, stop = UpstreamPool(), threading.Event()

    def node(number: int) -> None:
        if number == 0:
            while not stop.is_set():
                pool.refresh()
            return
        for turn in range(10):
            upstream = Upstream.objects.create(name=f"{number}-{turn}", url=f"http://host-{number}-{turn}")
            upstream.deployments.create(alias="chat")
        if number == 1:
            stop.set()

    at_once(node)
    pool.refresh()
    assert {one.upstream.name for one in pool.candidates("chat")} == set(
        Upstream.objects.values_list("name", flat=True)
    )
