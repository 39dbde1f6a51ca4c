"""Tests of keys.limits."""

import pytest

from keys.counters import MemoryCounters
from keys.errors import LimitExceeded
from keys.identity import ANONYMOUS, MASTER, Identity
from keys.limits import charges_for


@pytest.mark.parametrize("identity", [MASTER, ANONYMOUS, Identity(key_id=1, name=None)])
def test_no_ceiling_means_no_charge(identity):
    assert charges_for(identity) == []


def test_a_key_with_a_ceiling_charges_one_place_of_its_own():
    one, two = (Identity(key_id=key_id, name=None, max_parallel_requests=3) for key_id in (1, 2))
    (charge,) = charges_for(one)
    assert (charge.amount, charge.ceiling) == (1, 3)
    assert charge.counter != charges_for(two)[0].counter


def test_a_ceiling_of_zero_refuses_every_call_in_litellms_words():
    identity = Identity(key_id=1, name=None, masked="sk-...abcd", max_parallel_requests=0)
    with pytest.raises(LimitExceeded) as refusal:
        MemoryCounters().take("call", charges_for(identity))
    assert refusal.value.message == (
        "Rate limit exceeded for api_key: sk-...abcd. Limit type: max_parallel_requests. "
        "Current limit: 0, Remaining: 0."
    )
    assert refusal.value.status_code == 429
    assert refusal.value.type == "throttling_error"
    assert refusal.value.retry_after == 1
