"""Tests of upstreams.pricing: what a call costs, out of prices."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.money import MOST, USD
from upstreams.models import Deployment
from upstreams.pricing import Prices

PER_TOKEN = Prices(input=Decimal("0.001"), output=Decimal("0.002"), cached=Decimal("0.0001"))
COLUMNS = (
    "input_cost_per_token",
    "output_cost_per_token",
    "cache_read_input_token_cost",
    "cost_per_second",
    "cost_per_request",
)


def cost(prices: Prices, prompt: int | None = 10, completion: int | None = 5, cached: int | None = None) -> Decimal:
    """In dollars; a call of 2.5 seconds."""
    found = prices.cost(prompt, completion, cached, 2.5)
    assert found is not None
    return Decimal(found) / USD


def test_tokens_are_priced_apart() -> None:
    assert cost(PER_TOKEN) == Decimal("0.020")


def test_cached_tokens_are_part_of_the_prompt() -> None:
    assert cost(PER_TOKEN, cached=4) == Decimal("0.0164")


def test_without_a_price_of_their_own_cached_tokens_cost_what_others_cost() -> None:
    assert cost(Prices(input=Decimal("0.001")), cached=4) == Decimal("0.010")


def test_no_more_tokens_can_be_cached_than_there_are() -> None:
    assert cost(PER_TOKEN, completion=0, cached=99) == Decimal("0.0010")


def test_cached_tokens_may_be_free() -> None:
    assert cost(Prices(input=Decimal("0.001"), cached=Decimal(0)), cached=4) == Decimal("0.006")


def test_time_and_the_call_itself_can_have_a_price() -> None:
    assert cost(Prices(second=Decimal("0.0004"))) == Decimal("0.001")
    assert cost(Prices(request=Decimal("0.01"))) == Decimal("0.01")
    assert cost(Prices(second=Decimal("0.0004"), request=Decimal("0.01"), input=Decimal("0.001"))) == Decimal("0.021")


@pytest.mark.parametrize("name", ["input", "output", "cached"])
def test_what_nobody_knows_has_no_cost_where_tokens_have_a_price(name: str) -> None:
    prices = Prices(**{name: Decimal(1), "request": Decimal(1)})
    assert prices.by_tokens
    assert prices.cost(None, None, None, 1.0) is None


def test_half_of_it_known_is_better_than_nothing() -> None:
    assert cost(PER_TOKEN, prompt=None) == Decimal("0.010")
    assert cost(PER_TOKEN, completion=None) == Decimal("0.010")


def test_time_and_the_call_need_no_tokens() -> None:
    prices = Prices(second=Decimal(1), request=Decimal(1))
    assert not prices.by_tokens
    assert cost(prices, None, None) == Decimal("3.5")


def test_an_amount_is_rounded_to_the_nearest_unit() -> None:
    """A price has twelve decimal places, an amount ten."""
    tiny = Prices(input=Decimal("0.000000000060"))
    assert [tiny.cost(tokens, 0, 0, 0.0) for tokens in (0, 1, 2, 10)] == [0, 1, 1, 6]


def test_no_price_makes_an_amount_that_cannot_be_stored() -> None:
    assert Prices(input=Decimal(9_999_999)).cost(2**31 - 1, 0, 0, 0.0) == MOST


def test_the_bound_is_that_of_the_dearer_kind_of_prompt_tokens() -> None:
    assert PER_TOKEN.bound(10, 5) == USD // 50
    odd = Prices(input=Decimal("0.001"), cached=Decimal("0.002"))
    assert odd.bound(10, 5) == USD // 50


def test_the_bound_leaves_time_aside() -> None:
    assert Prices(second=Decimal(1)).bound(10, 5) == 0
    assert Prices(request=Decimal(1)).bound(10, 5) == USD


PRICE = st.none() | st.decimals(0, 10, places=12)


@given(PRICE, PRICE, PRICE, st.integers(0, 9999), st.integers(0, 9999), st.integers(0, 9999))
def test_no_call_costs_more_than_its_bound(
    dear: Decimal | None, output: Decimal | None, cached: Decimal | None, prompt: int, completion: int, hit: int
) -> None:
    prices = Prices(input=dear, output=output, cached=cached)
    assert 0 <= (prices.cost(prompt, completion, min(hit, prompt), 9.0) or 0) <= prices.bound(prompt, completion) + 1


@pytest.mark.parametrize("column", COLUMNS)
def test_one_price_of_a_row_is_enough(column: str) -> None:
    assert Prices.of(Deployment()) is None
    assert Prices.of(Deployment(**{column: Decimal(0)})) is not None


def test_the_columns_of_a_row_are_told_apart() -> None:
    row = Deployment(**{name: Decimal(number) for number, name in enumerate(COLUMNS)})
    assert Prices.of(row) == Prices(*map(Decimal, range(5)))
