"""While the store is away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError, connection, connections

from keys.counters import PostgresCounters, Spent
from keys.counters import shared as shared_module
from keys.counters.redis import RedisCounters
from keys.counters.shared import SharedCounters
from keys.errors import LimitExceeded, LimitsAway
from tests.keys.counters.charges import (
    BUDGET,
    ONE,
    OTHER,
    STORES,
    TOKENS,
    is_free,
    postgresql,
    take,
)
from tests.support.clock import Clock
from tests.support.redis_server import RedisServer


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Away:
    """A store that a test may take away and bring back."""

    def __init__(self, request: pytest.FixtureRequest, name: str, clock: Clock) -> None:
        self.is_redis = name == "redis"
        if self.is_redis:
            self._server = RedisServer()
            request.addfinalizer(lambda: self._server.__exit__(None, None, None))
            self._server.start()
            self.counters: SharedCounters = RedisCounters(self._server.url, clock=clock)
        else:
            request.addfinalizer(lambda: vars(connections["default"]).pop("connect", None))
            self.counters = PostgresCounters(clock=clock)

    def leave(self) -> None:
        if self.is_redis:
            self._server.kill()
            return
        connection.close()
        connection.connect = _refuse  # type: ignore[method-assign]

    def come_back(self) -> None:
        if self.is_redis:
            self._server.start()
        else:
            del connection.connect


def _refuse() -> None:
    raise OperationalError("connection refused")


COMMITTING = pytest.param("postgresql", marks=[postgresql, pytest.mark.django_db(transaction=True)])


@pytest.fixture(params=[COMMITTING, STORES[1]])
def away(request: pytest.FixtureRequest, clock: Clock) -> Away:
    return Away(request, request.param, clock)


def test_without_the_store_limits_hold_within_the_process(away: Away) -> None:
    away.leave()
    counters = away.counters
    counters.take("a", [ONE])
    assert counters.is_degraded
    assert not is_free(counters, ONE)
    counters.release("a")
    counters.renew(["a"])
    assert is_free(counters, ONE)
    away.come_back()


def test_without_the_store_calls_may_be_refused(away: Away, settings: Any) -> None:
    settings.REFUSE_WITHOUT_LIMITS = True
    away.counters.take("a", [ONE])
    away.leave()
    for _ in range(2):
        with pytest.raises(LimitsAway) as refused:
            away.counters.take("b", [OTHER])
        assert refused.value.status_code == 503
    away.come_back()


def test_the_store_is_asked_again_after_a_second_and_by_no_call(away: Away, clock: Clock) -> None:
    counters = away.counters
    away.leave()
    counters.take("a", [ONE])
    away.come_back()
    counters.flush()
    assert counters.is_degraded  # too early
    clock.now = 1.5
    counters.take("b", [OTHER])
    assert counters.is_degraded
    counters.flush()
    assert not counters.is_degraded
    counters.renew(["a", "b"])  # what was taken meanwhile holds among all processes from now on
    with pytest.raises(LimitExceeded):
        counters.take("c", [ONE])


def test_what_was_settled_meanwhile_is_sent_before_anybody_takes(away: Away, clock: Clock) -> None:
    counters = away.counters
    counters.take("a", [BUDGET, replace(TOKENS, counter="old", amount=100)])
    away.leave()
    counters.take("b", [ONE])
    counters.settle("a", [Spent(BUDGET.counter, 300, None), Spent("old", 100, 60.0)])
    counters.settle("b", [Spent(BUDGET.counter, 50, None)])
    counters.flush()
    assert counters.is_degraded
    away.come_back()
    clock.now = 70.0
    counters.flush()
    assert not counters.is_degraded
    assert take(counters, "c", BUDGET).used == 350 + 400
    assert take(counters, "d", replace(TOKENS, counter="old")).used == 40  # that minute is over
    assert is_free(counters, ONE)


def test_what_cannot_be_released_now_is_released_later(away: Away, clock: Clock) -> None:
    if away.is_redis:
        pytest.skip("a Redis that comes back here is empty")
    away.counters.take("a", [ONE])
    away.leave()
    away.counters.release("a")
    away.come_back()
    clock.now = 1.5
    away.counters.flush()
    assert is_free(PostgresCounters(), ONE)


def test_a_queue_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_module, "MOST_UNSENT", 3)
    counters = RedisCounters("redis://127.0.0.1:1")
    for number in range(10):
        counters.settle(f"call-{number}", [Spent("counter", 1, None)])
    assert [call.lease_id for call in counters._unsent] == ["call-7", "call-8", "call-9"]
