"""Tests of gateway.chargeback.apportioning: parts that add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chargeback.apportioning import IDLE, apportion, rounded

CENT = 100


def test_it_works() -> None:
    assert apportion(100, [1, 1, 2]) == [25, 25, 50]


def test_what_is_left_goes_to_the_largest_remainders() -> None:
    assert apportion(10, [1, 1, 1]) == [4, 3, 3]
    assert apportion(100, [995, 1, 4]) == [100, 0, 0]
    assert apportion(7, [15, 16, 69]) == [1, 1, 5]


def test_nothing_is_divided_among_nobody() -> None:
    assert (apportion(0, []), apportion(0, [0, 0])) == ([], [0, 0])
    with pytest.raises(ValueError, match="nobody"):
        apportion(1, [0])


@given(st.integers(0, 10**18), st.lists(st.integers(0, 10**12), min_size=1).filter(any))
def test_parts_add_up_and_are_off_by_less_than_one(total: int, weights: list[int]) -> None:
    parts = apportion(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * sum(weights) - total * weight) < sum(weights)


def test_cents_are_those_of_the_sum() -> None:
    """Three thirds of a dollar and a cent."""
    shares = {("a", 1): 3367, ("b", 1): 3367, IDLE: 3366}
    assert rounded(shares, CENT) == {("a", 1): 34, ("b", 1): 34, IDLE: 33}


SHARES = st.dictionaries(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), st.integers(0, 10**9), max_size=20)


@given(SHARES, st.integers(0, 10**9))
def test_a_team_has_the_same_cents_with_its_keys_and_without(shares: dict[tuple[object, ...], int], idle: int) -> None:
    by_key = rounded({**shares, IDLE: idle}, CENT)
    teams: dict[tuple[object, ...], int] = {}
    for group, share in shares.items():
        teams[group[:1]] = teams.get(group[:1], 0) + share
    by_team = rounded({**teams, IDLE: idle}, CENT)
    assert sum(by_key.values()) == sum(by_team.values()) == (sum(shares.values()) + idle + CENT // 2) // CENT
    for team, cents in by_team.items():
        assert sum(part for group, part in by_key.items() if group[:1] == team) == cents
