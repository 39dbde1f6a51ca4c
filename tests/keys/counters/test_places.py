"""What all keep: places."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keys.counters import Charge, Counters, MemoryCounters, PostgresCounters, Spent, make_counters, merged
from keys.counters.redis import RedisCounters
from keys.errors import BudgetExceeded, LimitExceeded
from tests.keys.counters.charges import (
    ONE,
    OTHER,
    RATE,
    is_free,
)


def test_a_place_is_taken_once(counters: Counters) -> None:
    counters.take("a", [ONE])
    with pytest.raises(LimitExceeded, match=r"api_key: laptop\. .* Current limit: 1, Remaining: 0\."):
        counters.take("b", [ONE])


def test_a_refusal_tells_how_its_limit_stood(counters: Counters) -> None:
    rate = replace(RATE, ceiling=1, limit="rpm_limit")
    counters.take("a", [ONE, rate])
    for charge, told in (
        (ONE, ("max_parallel_requests", None, None, 1, 1, 1)),
        (rate, ("rpm_limit", None, None, 1, 1, 1)),
    ):
        with pytest.raises(LimitExceeded) as refused:
            counters.take("b", [OTHER, charge])
        kind, *found, left, enforced, exceeded = refused.value.told["limit"]
        assert (kind, *found, enforced, exceeded) == ("key", *told, True, True)
        assert left is None if charge is ONE else 0 < left <= 60


def test_a_released_place_is_free_again(counters: Counters) -> None:
    counters.take("a", [ONE])
    counters.release("a")
    assert is_free(counters, ONE)


def test_all_charges_are_taken_or_none(counters: Counters) -> None:
    counters.take("a", [OTHER])
    assert not is_free(counters, ONE, OTHER)
    assert is_free(counters, ONE)


def test_of_two_charges_on_one_counter_the_stricter_counts() -> None:
    strict, lax = replace(ONE, ceiling=1), replace(ONE, ceiling=5)
    assert merged([lax, OTHER, strict]) == [strict, OTHER]


def test_what_is_used_of_a_counter_is_used_once(counters: Counters) -> None:
    shadow = replace(ONE, enforced=False, ceiling=0)
    assert [one.taken for one in counters.take("a", merged([shadow, ONE]))] == [1, 0]
    counters.release("a")
    assert is_free(counters, ONE)


def test_of_a_rate_in_shadow_beside_one_that_is_not_each_call_counts_once(counters: Counters) -> None:
    charges = merged([replace(RATE, enforced=False, ceiling=1), RATE])
    found = [[(one.used, one.exceeded) for one in counters.take(lease, charges)] for lease in "ab"]
    assert found == [[(1, False), (0, False)], [(2, False), (1, True)]]


def test_a_lease_that_takes_more_keeps_what_it_has(counters: Counters) -> None:
    counters.take("a", [ONE])
    counters.take("a", [OTHER])
    with pytest.raises(LimitExceeded):
        counters.take("a", [ONE])
    assert not is_free(counters, ONE)
    counters.release("a")
    assert is_free(counters, ONE, OTHER)


def test_a_lease_may_take_of_one_counter_twice(counters: Counters) -> None:
    two = replace(ONE, ceiling=2)
    counters.take("a", [two])
    counters.take("a", [two])
    assert not is_free(counters, two)
    counters.release("a")
    assert is_free(counters, replace(two, amount=2))


def test_releasing_and_renewing_what_was_never_taken_is_harmless(counters: Counters) -> None:
    counters.take("a", [])
    counters.release("a")
    counters.release("b")
    counters.renew(["a", "b"])
    counters.flush()
    assert is_free(counters, ONE)
    assert not counters.is_degraded


def test_the_counters_fit_the_settings(settings: Any) -> None:
    settings.EMBEDDED, settings.REDIS_URL = True, "redis://127.0.0.1"
    assert isinstance(make_counters(), MemoryCounters)
    settings.EMBEDDED = False
    assert isinstance(make_counters(), RedisCounters)
    settings.REDIS_URL = ""
    assert isinstance(make_counters(), PostgresCounters)


def test_each_kind_says_where_it_counts() -> None:
    kinds = (MemoryCounters(), PostgresCounters(), RedisCounters("redis://127.0.0.1:1"))
    assert [one.store for one in kinds] == ["memory", "postgresql", "redis"]


def test_sums_stop_before_they_are_too_large(counters):
    counter = "key:1/usd//0/0"
    for _ in range(3):
        for number in range(400):
            counters.settle(f"call-{number}", [Spent(counter, 2**53, None)])
        counters.flush()
    charge = Charge(counter, 1, 2**60, seconds=None, elastic=True, counts="budget", unit="usd")
    with pytest.raises(BudgetExceeded):
        counters.take("last", [charge])
    assert not counters.is_degraded
