"""Tests of keys.limits: what a call is charged, and what the counters make of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from common.money import USD
from keys.counters import Charge, MemoryCounters, Spent
from keys.errors import BudgetExceeded, LimitExceeded
from keys.identity import Party
from keys.limit_values import Budget, Limits
from keys.limits import Asked, budget_counter, charges_for, is_of_tokens, spend_counter
from tests.support.clock import Clock

NOON = 1_795_262_400.0  # 2026-11-21 12:00 UTC
ASKED = Asked(model="qwen-7b", tokens=100, most_tokens=300, cost=2 * USD, counts_tokens=True)


def party(kind: str = "key", ident: str = "1", **limits: Any) -> Party:
    return Party(kind=kind, ident=ident, label="laptop", limits=Limits(**limits))


def charges(*parties: Party, asked: Asked = ASKED, floor: int = 0) -> list[Charge]:
    return charges_for(parties, asked, lambda counter: floor, NOON)


def test_no_ceiling_means_no_charge() -> None:
    assert charges(party(), party("team", "t")) == []


def test_each_limit_charges_a_counter_of_its_own() -> None:
    limits = {
        "rpm": 5,
        "tpm": 1000,
        "parallel": 3,
        "model_rpm": {"qwen-*": 2, "other": 1},
        "model_tpm": {"qwen-7b": 500},
        "budgets": (Budget("max_budget", "usd", "1d", 10 * USD), Budget("token_budget", "tokens", "", 5000)),
    }
    assert [(one.counter, one.amount, one.ceiling, one.held) for one in charges(party(**limits))] == [
        ("key:1/parallel", 1, 3, True),
        ("key:1/rpm", 1, 5, False),
        ("key:1/rpm@qwen-*", 1, 2, False),
        ("key:1/tokens//0/0", 300, 5000, True),
        ("key:1/tpm", 100, 1000, True),
        ("key:1/tpm@qwen-7b", 100, 500, True),
        ("key:1/usd/1d/1795219200/0", 2 * USD, 10 * USD, True),
    ]


def test_all_parties_are_charged() -> None:
    found = charges(party(rpm=1), party("team", "t", rpm=2), party("end_user", "bob", rpm=3))
    assert [one.counter for one in found] == ["end_user:bob/rpm", "key:1/rpm", "team:t/rpm"]


def test_what_uses_no_tokens_is_not_charged_any() -> None:
    limits = {"tpm": 1, "rpm": 1, "budgets": (Budget("max_budget", "usd", "", 1),)}
    health = Asked(is_inference=False)
    assert [one.counter for one in charges(party(**limits), asked=health)] == ["key:1/rpm"]


def test_windows_and_epochs_have_counters_of_their_own() -> None:
    budget = Budget("max_budget", "usd", "1h", 1)
    one = party()
    assert budget_counter(one, budget, NOON + 1800) == (f"key:1/usd/1h/{int(NOON)}/0", 1800)
    assert budget_counter(one, budget, NOON + 3600)[0] == f"key:1/usd/1h/{int(NOON) + 3600}/0"
    assert budget_counter(replace(one, epoch=4), budget, NOON)[0].endswith("/4")
    assert spend_counter(one, NOON) == ("key:1/usd//0/0", None)
    assert spend_counter(replace(one, period="1h"), NOON) == budget_counter(one, budget, NOON)


def refusal(counters: MemoryCounters, *parties: Party, asked: Asked = ASKED) -> Exception | None:
    try:
        counters.take("probe", charges(*parties, asked=asked))
    except (LimitExceeded, BudgetExceeded) as error:
        return error
    counters.release("probe")
    return None


def test_a_ceiling_of_zero_refuses_every_call_in_litellms_words() -> None:
    error = refusal(MemoryCounters(), party(parallel=0))
    assert isinstance(error, LimitExceeded)
    assert error.message == (
        "Rate limit exceeded for api_key: laptop. Limit type: max_parallel_requests. Current limit: 0, Remaining: 0."
    )
    assert (error.status_code, error.type, error.retry_after) == (429, "throttling_error", 1)


def test_a_minute_begins_with_the_first_call_and_says_when_it_ends() -> None:
    clock = Clock(1000.0)
    counters = MemoryCounters(clock)
    for number in range(3):
        counters.take(str(number), charges(party(rpm=3)))
        counters.release(str(number))  # the requests stay counted
        clock.now += 10
    error = refusal(counters, party(rpm=3))
    assert isinstance(error, LimitExceeded)
    assert error.retry_after == 30
    assert error.headers == {
        "x-ratelimit-limit-requests": "3",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "30s",
    }
    assert "Limit type: requests" in error.message
    clock.now += 30
    assert refusal(counters, party(rpm=3)) is None


def test_tokens_are_reserved_and_then_booked_as_they_were() -> None:
    clock = Clock(1000.0)
    counters = MemoryCounters(clock)
    one = party(tpm=250)
    (charge,) = charges(one)
    counters.take("a", [charge])
    assert counters.take("b", [charge])[0].used == 200
    assert counters.take("c", [charge])[0].taken == 50  # what is left
    assert isinstance(refusal(counters, one), LimitExceeded)
    counters.settle("a", [Spent(charge.counter, 10, charge.seconds)])
    counters.release("b")
    assert counters.take("d", [charge])[0].used == 160
    clock.now += 61
    assert counters.take("e", [charge])[0].used == 250  # those that are open are held still


def test_a_budget_is_spent_to_its_end_and_never_given_back_by_a_restart() -> None:
    budget = Budget("max_budget", "usd", "1d", 3 * USD)
    one = party(budgets=(budget,))
    (charge,) = charges(one, floor=2 * USD)
    counters = MemoryCounters()
    (standing,) = counters.take("a", [charge])
    assert (standing.taken, standing.used) == (USD, 3 * USD)  # of the two that it might cost
    error = refusal(counters, one)
    assert isinstance(error, BudgetExceeded)
    assert (error.status_code, error.type) == (422, "budget_exceeded")
    assert error.message == "Budget has been exceeded! Key=laptop Current cost: 3, Max budget: 3 (max_budget)."
    assert 0 < (error.retry_after or 0) <= 12 * 3600
    counters.settle("a", [Spent(charge.counter, USD // 2, charge.seconds)])
    assert counters.take("b", [charge])[0].taken == USD // 2


@pytest.mark.parametrize("name", ["rpm_limit", "max_budget"])
def test_a_limit_in_shadow_counts_and_refuses_nothing(name: str) -> None:
    budgets = (Budget("max_budget", "usd", "", 1),)
    limits: dict[str, Any] = {"rpm": 0} if name == "rpm_limit" else {"budgets": budgets}
    (charge,) = charges(party(**limits, shadow=frozenset({name})))
    counters = MemoryCounters()
    standings = [counters.take(call, [charge])[0] for call in "ab"]
    assert [one.exceeded for one in standings] == [True, True] if name == "rpm_limit" else [False, True]
    assert standings[1].used > standings[0].used


def test_a_soft_budget_is_only_reported() -> None:
    budgets = (Budget("max_budget", "usd", "", 9 * USD), Budget("soft_budget", "usd", "", USD))
    found = charges(party(budgets=budgets))
    standings = MemoryCounters().take("a", found)
    assert [(one.limit, standing.exceeded) for one, standing in zip(found, standings, strict=True)] == [
        ("max_budget", False),
        ("soft_budget", False),
    ]


def test_all_charges_are_taken_or_none() -> None:
    counters = MemoryCounters()
    counters.take("a", charges(party("team", "t", rpm=1)))
    for _ in range(3):
        assert refusal(counters, party(rpm=1), party("team", "t", rpm=1)) is not None
    assert refusal(counters, party(rpm=1)) is None


def test_what_no_longer_counts_is_cleared_away() -> None:
    clock = Clock(1000.0)
    counters = MemoryCounters(clock)
    for number in range(50):
        counters.take("a", charges(party("end_user", str(number), rpm=1, parallel=1)))
    counters.release("a")
    clock.now += 61
    counters.renew([])
    assert len(counters) == 0


@pytest.mark.parametrize("ident", ["1", "a/tokens", "a:b"])
@pytest.mark.parametrize("model", [None, "acme/tokens-7b", "acme/tokens", "a:tokens"])
@pytest.mark.parametrize("unit", ["usd", "tokens"])
def test_a_counter_tells_its_unit_whatever_names_are_in_it(ident: str, model: str | None, unit: Any) -> None:
    budget = Budget("b", unit, "1d", 5, model if unit == "usd" else None)
    counter, _ = budget_counter(Party(kind="team", ident=ident), budget, 0.0)
    assert is_of_tokens(counter) is (unit == "tokens")
