"""Tests of gateway.chargeback.hours: one hour of a server, split over its calls."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.money import USD
from gateway.chargeback.apportioning import IDLE, Group
from gateway.chargeback.hours import HOUR, SECOND, Call, Ledger, Period, Share, Slice, Weights, slices

MINUTE = 60 * SECOND
A, B = ("a",), ("b",)


def a_slice(minutes: int = 60, price: int = 6 * USD) -> Slice:
    return Slice(1, price, 0, minutes * MINUTE)


def call(start: float, end: float, weight: int = 1000, group: Group = A) -> Call:
    """From one minute to another."""
    return Call(int(start * MINUTE), int(end * MINUTE), 1, weight, group)


def split(*calls: Call, minutes: int = 60) -> dict[Group, tuple[Decimal, float]]:
    """Dollars and minutes of each."""
    one = a_slice(minutes)
    for each in calls:
        one.add(each)
    return {group: (Decimal(money) / USD, time / MINUTE) for group, (money, time) in one.split().items()}


# --- Weights ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "weight"),
    [
        ((10, None, 5), 30),
        ((10, 4, 5), 26.4),
        ((10, 99, 0), 1),
        ((None, None, 2), 8),
        ((3, None, None), 3),
        ((0, 0, 0), 0),
        ((None, None, None), 1),
    ],
)
def test_tokens_weigh_by_their_kind(tokens: tuple[int | None, int | None, int | None], weight: float) -> None:
    assert Weights().of(*tokens) == weight * 1000


def test_weights_can_be_others() -> None:
    assert Weights(prompt=Decimal(0), cached=Decimal("0.005"), completion=Decimal("1.5")).of(10, 2, 4) == 6010


# --- One hour -----------------------------------------------------------------------------------------------------


def test_an_hour_without_calls_is_idle() -> None:
    assert split() == {IDLE: (6, 60)}


def test_the_busy_part_is_split_by_weight_and_the_rest_is_idle() -> None:
    assert split(call(0, 10, 3000), call(20, 30, 1000, B)) == {
        A: (Decimal("1.5"), 15),
        B: (Decimal("0.5"), 5),
        IDLE: (4, 40),
    }


def test_calls_at_once_are_one_busy_time() -> None:
    assert split(call(0, 30), call(10, 20, group=B), call(15, 30), call(25, 45))[IDLE] == (Decimal("1.5"), 15)


def test_calls_that_touch_leave_no_gap() -> None:
    assert split(call(0, 30), call(30, 60)) == {A: (6, 60), IDLE: (0, 0)}


def test_a_call_counts_in_each_hour_by_its_part() -> None:
    """The first is in this hour with a quarter of its tokens only."""
    found = split(call(-30, 10, 4000), call(20, 30, 1000, B))
    assert found == {A: (1, 10), B: (1, 10), IDLE: (4, 40)}


def test_what_lies_outside_does_not_count() -> None:
    assert split(call(-20, 0), call(60, 70)) == {IDLE: (6, 60)}


def test_time_that_was_spent_on_no_token_is_nobody_s() -> None:
    assert split(call(0, 30, 0)) == {IDLE: (6, 60)}


def test_a_part_of_an_hour_is_billed_by_the_part() -> None:
    assert split(call(0, 5), minutes=20) == {A: (Decimal("0.5"), 5), IDLE: (Decimal("1.5"), 15)}


def test_sums_take_the_place_of_calls() -> None:
    one = a_slice(30)
    one.fill({A: 3, B: 1}, HOUR // 2)
    assert one.split() == {
        A: Share(9 * USD // 8, 45 * MINUTE // 4),
        B: Share(3 * USD // 8, 15 * MINUTE // 4),
        IDLE: Share(3 * USD // 2, 15 * MINUTE),
    }


def test_no_hour_is_busier_than_an_hour() -> None:
    one = a_slice()
    one.fill({A: 1}, 5 * HOUR)
    assert one.split()[IDLE] == Share(0, 0)


CALLS = st.lists(
    st.builds(
        lambda start, length, weight, group: Call(start, start + length, 1, weight, (group,)),
        st.integers(-HOUR, HOUR),
        st.integers(0, HOUR),
        st.integers(0, 10**6),
        st.sampled_from("abcde"),
    )
)


@given(CALLS, st.integers(0, 10**13), st.integers(1, HOUR))
def test_every_hour_adds_up(calls: list[Call], price: int, length: int) -> None:
    one = Slice(1, price, 0, length)
    for each in sorted(calls):
        one.add(each)
    shares = one.split().values()
    assert sum(share.money for share in shares) == one.bill
    assert sum(share.time for share in shares) == length
    assert all(share.money >= 0 and share.time >= 0 for share in shares)


# --- Periods ------------------------------------------------------------------------------------------------------


def test_only_the_time_of_a_price_is_billed() -> None:
    periods = [Period(1, 6, -HOUR, HOUR // 3), Period(1, 9, HOUR // 2, 5 * HOUR), Period(2, 1, HOUR, 2 * HOUR)]
    found = [(one.upstream_id, one.price, one.start, one.end) for one in slices(periods, 0, HOUR)]
    assert found == [(1, 6, 0, HOUR // 3), (1, 9, HOUR // 2, HOUR)]


def test_hours_are_added_up_for_each_upstream() -> None:
    ledger = Ledger()
    for upstream_id in (1, 1, 2):
        one = Slice(upstream_id, 6 * USD, 0, HOUR)
        one.add(call(0, 30))
        ledger.enter(one)
    assert ledger.shares[1] == {A: Share(6 * USD, HOUR), IDLE: Share(6 * USD, HOUR)}
    assert ledger.shares[2][A] == Share(3 * USD, HOUR // 2)
