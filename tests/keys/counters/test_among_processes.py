"""What processes count together."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from keys.counters import PostgresCounters
from keys.counters.redis import RedisCounters
from keys.models import Counter, Lease
from tests.keys.counters.charges import (
    BUDGET,
    ONE,
    RATE,
    TOKENS,
    Make,
    is_free,
    postgresql,
    settle,
    take,
)
from tests.support import redis_server
from tests.support.patience import TRIES, wait_for
from tests.support.redis_server import RedisServer


def test_places_and_windows_are_shared_between_processes(make: Make) -> None:
    here, there = make(), make()
    here.take("a", [ONE, RATE, TOKENS])
    assert not is_free(there, ONE)
    assert take(there, "b", RATE).used == 2
    settle(here, "a", TOKENS, 70)
    assert take(there, "c", TOKENS)[:3:2] == (100, 30)


def test_what_a_killed_process_held_becomes_free_by_itself(make: Make) -> None:
    def was_held() -> bool:
        make(lifetime=0.5).take("a", [ONE, replace(TOKENS, amount=100)])
        is_held = not is_free(make(), ONE)
        wait_for(lambda: is_free(make(), ONE, TOKENS))
        return is_held

    assert any(was_held() for _ in range(TRIES))


def test_a_renewed_place_stays_taken(make: Make) -> None:
    def stayed() -> bool:
        counters = make(lifetime=1)
        counters.take("a", [ONE])
        for _ in range(3):
            time.sleep(0.4)
            counters.renew(["a"])
        is_held = not is_free(make(), ONE)
        wait_for(lambda: is_free(make(), ONE))
        return is_held

    assert any(stayed() for _ in range(TRIES))


def test_some_places_run_out_while_others_stay(make: Make) -> None:
    charge = replace(ONE, ceiling=3)

    def used() -> int:
        dead, alive, last = make(lifetime=1), make(lifetime=1), make()
        dead.take("a", [charge])
        alive.take("b", [charge])
        dead.take("c", [charge])
        time.sleep(0.6)
        alive.renew(["b"])
        time.sleep(0.5)
        with_last = take(last, "d", charge).used
        last.release("d")
        wait_for(lambda: is_free(make(), ONE))
        return with_last

    assert any(used() == 2 for _ in range(TRIES))


def test_renewing_brings_back_what_the_store_has_lost(make: Make, request: pytest.FixtureRequest) -> None:
    counters = make()
    counters.take("a", [ONE, TOKENS])
    counters.take("b", [replace(TOKENS, enforced=False)])
    if isinstance(counters, RedisCounters):
        request.getfixturevalue("redis").client().flushall()
    else:
        Lease.objects.all().delete()
    assert is_free(make(), ONE)
    counters.settle("b", [])
    counters.renew(["a", "b"])
    assert not is_free(make(), ONE)
    assert take(make(), "c", TOKENS).used == 80
    counters.release("a")
    assert is_free(make(), ONE)


@pytest.mark.sockets
@redis_server.needed
def test_redis_keeps_nothing_for_ever(redis: RedisServer) -> None:
    counters = RedisCounters(redis.url)
    for charge in (ONE, RATE, TOKENS, BUDGET):
        counters.take("a", [charge])
    settle(counters, "a", BUDGET, 1)
    counters.take("b", [ONE, TOKENS])
    client = redis.client()
    names = client.keys()
    assert len(names) == 5  # a rate, a budget, two counters' leases, a batch
    assert all(name.startswith("vgw:{limits}:") for name in names)
    assert all(client.ttl(name) > 0 for name in names)
    counters.release("b")
    assert client.keys("*:held:*") == []


@postgresql
@pytest.mark.django_db
def test_renewing_clears_away_what_ended_long_ago() -> None:
    counters = PostgresCounters()
    counters.take("a", [ONE, RATE])
    PostgresCounters().renew([])
    assert Lease.objects.exists()
    assert Counter.objects.exists()
    Lease.objects.update(expires_at=timezone.now() - timedelta(hours=2))
    Counter.objects.update(ends_at=timezone.now() - timedelta(hours=2))
    PostgresCounters().renew([])
    assert not Lease.objects.exists()
    assert not Counter.objects.exists()
