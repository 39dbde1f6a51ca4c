"""Many calls at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from django.db import connection

from keys.counters import Counters, MemoryCounters, PostgresCounters, Spent, merged
from keys.counters.redis import RedisCounters
from keys.counters.shared import SharedCounters
from keys.errors import LimitExceeded
from keys.models import Lease
from tests.keys.counters.charges import (
    BUDGET,
    ONE,
    OTHER,
    postgresql,
)
from tests.support import redis_server
from tests.support.redis_server import RedisServer


def outcomes_of_simultaneous_takes(counters: Counters, threads: int = 8) -> list[bool]:
    def attempt(number: int) -> bool:
        try:
            counters.take(f"call-{number}", merged([OTHER, ONE] if number % 2 else [ONE, OTHER]))
        except LimitExceeded:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(attempt, range(threads)))


def test_one_of_eight_simultaneous_takes_succeeds_in_memory() -> None:
    assert outcomes_of_simultaneous_takes(MemoryCounters()).count(True) == 1


@pytest.mark.sockets
@redis_server.needed
def test_one_of_eight_simultaneous_takes_succeeds_in_redis(redis: RedisServer) -> None:
    assert outcomes_of_simultaneous_takes(RedisCounters(redis.url)).count(True) == 1


@postgresql
@pytest.mark.django_db(transaction=True)
def test_one_of_eight_simultaneous_takes_succeeds_in_postgresql() -> None:
    for _ in range(5):
        assert outcomes_of_simultaneous_takes(PostgresCounters()).count(True) == 1
        Lease.objects.all().delete()


def spent_by_calls_that_overlap(counters: SharedCounters) -> int:
    """What stands in the end after four threads took and settled, 50 times each, on two counters of mixed names."""
    # The order of these is another one in most locales than among code points.
    budgets = [replace(BUDGET, counter=name, ceiling=10**9) for name in ("key:Z/usd", "key:a/usd", "key:_/usd")]

    def work(number: int) -> None:
        try:
            for n in range(50):
                lease = f"{number}-{n}"
                counters.take(lease, merged(budgets))
                counters.settle(lease, [Spent(one.counter, 1, None) for one in reversed(budgets)])
                counters.flush()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert not counters.is_degraded
    return min(standing.used - 400 for standing in counters.take("end", merged(budgets)))


@pytest.mark.sockets
@redis_server.needed
def test_nothing_that_is_settled_is_lost_in_redis(redis: RedisServer) -> None:
    assert spent_by_calls_that_overlap(RedisCounters(redis.url)) == 200


@postgresql
@pytest.mark.django_db(transaction=True)
def test_nothing_that_is_settled_is_lost_in_postgresql() -> None:
    assert spent_by_calls_that_overlap(PostgresCounters()) == 200


@postgresql
@pytest.mark.django_db(transaction=True)
def test_no_connection_is_held_after_a_take() -> None:
    PostgresCounters().take("a", [ONE])
    assert connection.connection is None
