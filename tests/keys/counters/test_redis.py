"""What can only go wrong with Redis."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from keys.counters import Spent
from keys.counters.redis import RedisCounters
from tests.keys.counters.charges import (
    BUDGET,
    ONE,
    OTHER,
    RATE,
    is_free,
    take,
)
from tests.support import redis_server
from tests.support.clock import Clock
from tests.support.patience import TRIES, kept_within
from tests.support.ports import unused_port
from tests.support.redis_server import RedisServer
from tests.support.tls import self_signed


@pytest.mark.sockets
def test_a_redis_that_refuses_connections_is_away_and_its_password_stays_untold(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counters = RedisCounters(f"redis://:hush-hush@127.0.0.1:{unused_port()}")
    counters.take("a", [ONE])
    assert counters.is_degraded
    assert "Redis does not answer (ConnectionError): limits hold in each process." in caplog.text
    assert "hush" not in caplog.text


@pytest.mark.sockets
@redis_server.needed
def test_a_redis_that_hangs_holds_nobody_up_for_long() -> None:
    with RedisServer() as server:

        def once() -> float:
            """As long as one answer is waited for, and not two."""
            counters = RedisCounters(server.url, timeout=0.6)
            counters.take("a", [OTHER])
            was_slow = counters.is_degraded
            server.freeze()
            try:
                began = time.monotonic()
                counters.take("b", [ONE])
                counters.take("c", [RATE])
                took = time.monotonic() - began
            finally:
                server.thaw()
            assert counters.is_degraded
            assert was_slow or took > 0.5
            return took

        kept_within(1.1, once)


@pytest.mark.sockets
@redis_server.needed
def test_a_batch_whose_answer_was_lost_is_booked_once() -> None:
    with RedisServer() as server:

        def booked() -> int:
            """What is booked; 0 when the server was slow at another moment than it is to be."""
            server.client().flushall()
            clock = Clock()
            counters = RedisCounters(server.url, timeout=1, clock=clock)
            counters.take("a", [BUDGET])
            if counters.is_degraded:
                return 0
            server.freeze()
            counters.settle("a", [Spent(BUDGET.counter, 300, None)])
            counters.flush()  # it is read when the server goes on
            assert counters.is_degraded
            server.thaw()
            clock.now = 1.5
            counters.flush()
            return 0 if counters.is_degraded else take(counters, "b", replace(BUDGET, amount=0)).used

        assert next(filter(None, (booked() for _ in range(TRIES)))) == 300


@pytest.mark.sockets
@redis_server.needed
def test_scripts_that_redis_forgot_are_told_again(redis: RedisServer) -> None:
    counters = RedisCounters(redis.url)
    counters.take("a", [ONE])
    redis.client().script_flush()
    counters.release("a")
    assert is_free(counters, ONE)
    assert not counters.is_degraded


@pytest.mark.sockets
@redis_server.needed
def test_connections_that_redis_closed_are_opened_again(redis: RedisServer) -> None:
    counters = RedisCounters(redis.url)
    counters.take("a", [ONE])
    redis.client().client_kill_filter(_type="normal", skipme=True)
    counters.release("a")
    assert not counters.is_degraded


@pytest.mark.sockets
@redis_server.needed
def test_redis_with_a_password_over_tls(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with RedisServer(password="hush/hush", certificate=self_signed(tmp_path)) as server:
        counters = RedisCounters(server.url)
        counters.take("a", [ONE])
        assert not is_free(counters, ONE)
        assert not counters.is_degraded
        untrusting = RedisCounters(server.url.partition("?")[0])
        untrusting.take("a", [ONE])
        assert untrusting.is_degraded
        wrong = RedisCounters(server.url.replace("hush%2Fhush", "wrong-word"))
        wrong.take("a", [ONE])
        assert wrong.is_degraded
        for one in (counters, untrusting, wrong):
            one._redis.connection_pool.disconnect()
    assert "AuthenticationError" in caplog.text
    assert "hush" not in caplog.text
    assert "wrong-word" not in caplog.text


@pytest.mark.sockets
@redis_server.needed
def test_a_redis_that_takes_no_writes_is_away(redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    client = redis.client()
    client.config_set("maxmemory", "1")
    try:
        counters = RedisCounters(redis.url)
        counters.take("a", [ONE])
        assert counters.is_degraded
        assert "OutOfMemoryError" in caplog.text
    finally:
        client.config_set("maxmemory", "0")
