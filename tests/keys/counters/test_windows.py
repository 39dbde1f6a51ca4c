"""What all keep: windows."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import Any

import pytest

from keys.counters import Charge, Counters, MemoryCounters, Spent, Standing, merged
from keys.counters.shared import SharedCounters
from keys.errors import BudgetExceeded, LimitExceeded
from tests.keys.counters.charges import (
    BUDGET,
    ONE,
    RATE,
    TOKENS,
    is_free,
    settle,
    take,
)
from tests.support.patience import TRIES, wait_for


def test_a_window_says_what_is_used_and_when_it_ends(counters: Counters) -> None:
    began = time.monotonic()
    standings = [take(counters, lease, RATE) for lease in "abc"]
    assert [(one.used, one.taken) for one in standings] == [(1, 1), (2, 1), (3, 1)]
    with pytest.raises(LimitExceeded) as refused:
        counters.take("d", [RATE])
    left = [*(one.seconds_left or 0 for one in standings), refused.value.retry_after or 0]
    assert all(since(began) <= one <= 60 for one in left)
    counters.release("a")
    assert not is_free(counters, RATE)  # the call has been made


def since(began: float) -> float:
    """What is left of a minute at least, in seconds; stores have clocks of their own."""
    return 59.9 - (time.monotonic() - began)


def test_a_window_ends_by_itself(counters: Counters) -> None:
    seconds = 0.1 if isinstance(counters, MemoryCounters) else 0.5  # a store of its own may be late

    def was_full(number: int) -> bool:
        short = replace(RATE, counter=f"key:{number}/rpm", seconds=seconds, ceiling=1)
        counters.take("a", [short])
        is_full = not is_free(counters, short)
        wait_for(lambda: is_free(counters, short))
        return is_full

    assert any(was_full(number) for number in range(TRIES))


def test_tokens_are_reserved_and_then_booked_as_they_were(counters: Counters) -> None:
    assert take(counters, "a", TOKENS).used == 40
    assert take(counters, "b", TOKENS).used == 80
    assert take(counters, "c", TOKENS)[:3:2] == (100, 20)  # what is left
    assert not is_free(counters, TOKENS)
    settle(counters, "a", TOKENS, 10)
    counters.release("b")
    assert take(counters, "d", TOKENS).used == 10 + 20 + 40
    settle(counters, "c", TOKENS, 75)  # more than was reserved
    assert take(counters, "e", replace(TOKENS, enforced=False))[:4:3] == (10 + 75 + 40 + 40, True)


def test_what_is_settled_without_a_lease_counts(counters: Counters) -> None:
    began = time.monotonic()
    settle(counters, "a", TOKENS, 90)
    standing = take(counters, "b", TOKENS)
    assert (standing.used, standing.taken) == (100, 10)
    assert since(began) <= (standing.seconds_left or 0) <= 60


def test_what_is_known_to_have_been_used_counts(counters: Counters) -> None:
    assert take(counters, "a", replace(BUDGET, floor=700)) == Standing(1000, None, 300)
    settle(counters, "a", BUDGET, 100)
    assert take(counters, "b", BUDGET).used == 700 + 100 + 200
    counters.release("b")
    with pytest.raises(BudgetExceeded):
        counters.take("c", [replace(BUDGET, floor=1000)])


def test_a_floor_that_others_have_passed_changes_nothing(counters: Counters) -> None:
    settle(counters, "a", BUDGET, 500)
    assert take(counters, "b", replace(BUDGET, floor=200)).used == 900


def test_a_limit_that_is_not_enforced_counts_on(counters: Counters) -> None:
    shadow = replace(RATE, enforced=False, ceiling=1)
    assert [(one.used, one.exceeded) for one in (take(counters, lease, shadow) for lease in "abc")] == [
        (1, False),
        (2, True),
        (3, True),
    ]


def test_numbers_that_no_store_can_count_are_cut(counters: Counters) -> None:
    huge = replace(TOKENS, amount=10**30, ceiling=10**25, elastic=False)
    with_floor = replace(BUDGET, amount=10**24, ceiling=10**22)
    counters.take("a", [replace(huge, enforced=False), with_floor])
    counters.settle("a", [Spent(huge.counter, 10**30, 60.0), Spent(with_floor.counter, 12_345_678_901_234_567, None)])
    counters.flush()
    assert not counters.is_degraded
    assert not is_free(counters, replace(huge, ceiling=1, amount=1))


@pytest.mark.parametrize(
    "name", ['end_user:"quoted"/rpm', "end_user:back\\slash/rpm", "end_user:{a,b}/rpm", "Zoë 🙂/rpm"]
)
def test_any_name_of_a_counter_will_do(counters: Counters, name: str) -> None:
    odd = replace(TOKENS, counter=name)
    counters.take("a", [odd])
    settle(counters, "a", odd, 90)
    counters.renew(["a"])
    assert take(counters, "b", odd).used == 100


def test_amounts_are_exact_beyond_what_a_script_would_round(counters: Counters) -> None:
    amount = 9_007_199_254_740_993 // 2 + 1  # more digits than Lua writes by itself
    large = replace(BUDGET, amount=amount, ceiling=2 * amount, elastic=False)
    assert take(counters, "a", large).used == amount
    settle(counters, "a", large, amount - 1)
    assert take(counters, "b", replace(large, amount=1)).used == amount


def test_all_stores_come_to_the_same(shared: SharedCounters) -> None:
    """The same calls, in any order, leave the same standings as in memory."""
    chance, memory = random.Random(7), MemoryCounters()
    pool = [replace(ONE, ceiling=3), replace(RATE, ceiling=40), TOKENS, BUDGET, replace(TOKENS, counter="t/tpm")]
    pool += [replace(RATE, counter="t/rpm", enforced=False, ceiling=5), replace(BUDGET, counter="t/usd", floor=300)]
    leases: list[str] = []
    for number in range(300):
        if leases and chance.random() < 0.45:
            lease = leases.pop(chance.randrange(len(leases)))
            booked = [Spent(one.counter, chance.randrange(30), one.seconds) for one in chance.sample(pool[2:5], 2)]
            for counters in (memory, shared):
                counters.settle(lease, booked)
                counters.flush()
            continue
        charges = merged(replace(one, amount=1 if one.amount == 1 else chance.randrange(60)) for one in pool[::2])
        charges = merged([*charges, *chance.sample(pool, 3)])
        found = [_outcome(counters, f"call-{number}", charges) for counters in (memory, shared)]
        assert found[0] == found[1], number
        if isinstance(found[0], list):
            leases.append(f"call-{number}")


def _outcome(counters: Counters, lease: str, charges: list[Charge]) -> Any:
    try:
        return [(one.used, one.taken, one.exceeded) for one in counters.take(lease, charges)]
    except (LimitExceeded, BudgetExceeded) as error:
        return error.message.partition(" Limit resets at")[0]  # each asks its own clock
