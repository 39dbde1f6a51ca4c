"""Counters of every kind: in memory, in PostgreSQL and in Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from keys.counters import Counters, MemoryCounters, PostgresCounters
from keys.counters.redis import RedisCounters
from keys.counters.shared import SharedCounters
from tests.keys.counters.charges import (
    STORES,
    Make,
)
from tests.support.redis_server import RedisServer


@pytest.fixture(scope="module")
def standing_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis(request: pytest.FixtureRequest) -> RedisServer:
    """An empty one."""
    server: RedisServer = request.getfixturevalue("standing_redis")
    server.client().flushall()
    return server


@pytest.fixture(params=STORES)
def make(request: pytest.FixtureRequest) -> Make:
    """Makes counters of another process, as it were, in an empty store."""
    if request.param == "redis":
        url = request.getfixturevalue("redis").url
        return lambda **options: RedisCounters(url, **options)
    return PostgresCounters


@pytest.fixture
def shared(make: Make) -> SharedCounters:
    return make()


@pytest.fixture(params=["memory", *STORES])
def counters(request: pytest.FixtureRequest) -> Counters:
    if request.param == "memory":
        return MemoryCounters()
    if request.param == "redis":
        return RedisCounters(request.getfixturevalue("redis").url)
    return PostgresCounters()
