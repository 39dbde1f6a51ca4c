"""Tests of gateway.charging: what a call is charged before it goes upstream, and what is booked when it has ended."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.conf import settings

from common.money import USD
from gateway import routes
from gateway.account.entry import UsageSource
from gateway.call import parse_bytes
from gateway.charging import (
    NO_BILL,
    Bill,
    Used,
    asked_of,
    corrected_by,
    cost_of,
    headers_for,
    parties_of,
    reserved,
    settled,
)
from keys.counters import Charge, Spent, Standing
from keys.identity import Identity, Party
from keys.limit_values import Budget, Limits
from keys.limits import Asked, charges_for, spend_counter
from upstreams.pricing import Prices
from upstreams.selection import Candidate, Target

NOON = 1_795_262_400.0  # 2026-11-21 12:00 UTC
TARGET = Target(id=1, name="gpu-1", base_url="http://gpu-1:8000", credential="")
PRICES = Prices(input=Decimal("0.001"), output=Decimal("0.002"))
CHAT = routes.find("POST", "/v1/chat/completions")
USED = Used(10, 5, None, 2.0, UsageSource.REPORTED, succeeded=True)
UNKNOWN = replace(USED, prompt=None, completion=None, source=UsageSource.UNKNOWN)
NOTHING = replace(USED, prompt=None, completion=None, source=UsageSource.NONE)
DAY = Limits(budgets=(Budget("max_budget", "usd", "1d", 10 * USD),))


def candidate(prices: Prices | None = PRICES, most: int | None = None) -> Candidate:
    return Candidate(TARGET, prices=prices, max_model_len=most)


def asked(body: bytes, *candidates: Candidate, match: routes.Match = CHAT) -> Asked:
    return asked_of(parse_bytes(body, match), match, "m", candidates or [candidate()])


def party(kind: str = "key", limits: Limits = DAY, **fields: Any) -> Party:
    return Party(kind=kind, ident="1", period="1d", limits=limits, **fields)


def bill(*parties: Party, cost: int = 2 * USD, taken: int = 2 * USD) -> Bill:
    """What a call has been charged at noon."""
    found = charges_for(parties, Asked(cost=cost, counts_tokens=True, tokens=7, most_tokens=9), lambda _: 0, NOON)
    made = Bill(parties=parties)
    made.note(found, [Standing(taken, 60.0, taken) for _ in found])
    return made


def amounts(spent: list[Spent]) -> dict[str, int]:
    return {one.counter: one.amount for one in spent}


# --- Asked ------------------------------------------------------------------------------------------------------


def test_a_structured_decision_is_charged_like_any_work_of_a_model() -> None:
    found = asked(b'{"model":"m","state":"x"}' + b" " * 75, match=routes.find("POST", "/v1/systemone"))
    assert (found.counts_tokens, found.tokens, found.cost) == (True, 25, USD // 40)


def test_what_the_call_says_is_asked_for() -> None:
    found = asked(b'{"model":"m","max_tokens":50,"n":2,"messages":[]}')
    prompt = found.tokens - 100
    assert prompt > 0
    assert (found.tokens, found.most_tokens) == (prompt + 100, prompt + 100)
    assert found.cost == PRICES.bound(prompt, 100)
    assert (found.model, found.counts_tokens, found.is_inference) == ("m", True, True)


def test_where_it_says_nothing_minutes_take_the_setting_and_budgets_what_the_model_leaves() -> None:
    found = asked(b'{"model":"m","messages":[]}', candidate(most=1000))
    prompt = found.tokens - settings.DEFAULT_OUTPUT_TOKENS
    assert (found.most_tokens, found.cost) == (1000, PRICES.bound(prompt, 1000 - prompt))


def test_a_prompt_is_no_longer_than_the_model_takes() -> None:
    found = asked(b'{"model":"m","max_tokens":1,"messages":["%s"]}' % (b"x" * 10_000), candidate(most=100))
    assert found.tokens == 101


def test_of_several_upstreams_the_dearest_is_reserved() -> None:
    dear = Prices(input=Decimal(1), output=Decimal(1))
    body = b'{"model":"m","max_tokens":3,"messages":[]}'
    assert asked(body, candidate(), candidate(dear), candidate(None)).cost == asked(body, candidate(dear)).cost


def test_without_a_price_no_money_is_asked_for() -> None:
    assert asked(b'{"model":"m"}', candidate(None)).cost == 0


def test_what_writes_nothing_asks_for_its_prompt_only() -> None:
    found = asked(b'{"model":"m","input":"x"}', match=routes.find("POST", "/v1/embeddings"))
    assert found.tokens == found.most_tokens > 0


def test_what_has_no_meter_asks_for_nothing() -> None:
    found = asked(b"", match=routes.find("GET", "/health"))
    assert (found.tokens, found.cost, found.counts_tokens, found.is_inference) == (0, 0, False, False)


# --- Which calls have a price ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "is_priced"),
    [
        ("POST", "/v1/chat/completions", True),
        ("POST", "/chat/completions", True),
        ("POST", "/v1/rerank", True),
        ("GET", "/v1/realtime", True),
        ("GET", "/realtime", True),
        ("HEAD", "/v1/chat/completions", False),
        ("GET", "/v1/models", False),
        ("GET", "/metrics", False),
        ("POST", "/sleep", False),
        ("GET", "/v1/responses/resp_1", False),
        ("GET", "/v1/unknown", False),
    ],
)
def test_what_a_model_works_on_has_a_price(method: str, path: str, is_priced: bool) -> None:
    assert routes.find(method, path).is_priced is is_priced


# --- Cost -------------------------------------------------------------------------------------------------------


def test_a_call_costs_what_it_used() -> None:
    assert cost_of(PRICES, USED) == USD // 50


def test_no_price_no_cost() -> None:
    assert cost_of(None, USED) is None


def test_nobody_knows_what_unknown_tokens_cost() -> None:
    assert cost_of(PRICES, UNKNOWN) is None
    assert cost_of(Prices(request=Decimal(1), second=Decimal(1)), UNKNOWN) == 3 * USD


def test_a_call_that_failed_before_it_used_anything_costs_nothing() -> None:
    for prices in (PRICES, Prices(request=Decimal(1), second=Decimal(1))):
        assert cost_of(prices, replace(NOTHING, succeeded=False)) == 0


def test_a_call_that_was_left_costs_what_it_had_used() -> None:
    left = replace(USED, completion=2, source=UsageSource.ESTIMATED, succeeded=False)
    assert cost_of(PRICES, left) == PRICES.cost(10, 2, None, 2.0)


def test_an_answer_without_tokens_costs_its_time_and_itself() -> None:
    prices = replace(PRICES, second=Decimal(1), request=Decimal(1))
    assert (cost_of(prices, NOTHING), cost_of(PRICES, NOTHING)) == (3 * USD, 0)


# --- Settling ---------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def noon() -> Any:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def test_what_was_used_takes_the_place_of_what_was_reserved() -> None:
    limits = Limits(tpm=100, budgets=(*DAY.budgets, Budget("token_budget", "tokens", "", 500)))
    booked, remembered = settled(bill(party(limits=limits)), USED, USD)
    day = "key:1/usd/1d/1795219200/0"
    assert amounts(booked) == {"key:1/tpm": 15, "key:1/tokens//0/0": 15, day: USD}
    assert amounts(remembered) == {"key:1/tokens//0/0": 15, day: USD}


def test_places_and_requests_are_not_settled() -> None:
    assert settled(bill(party(limits=Limits(rpm=5, parallel=2))), USED, 0) == ([], [])


def test_where_nobody_knows_the_reservation_stands() -> None:
    booked, remembered = settled(bill(party(), taken=3), UNKNOWN, None)
    assert [one.amount for one in (*booked, *remembered)] == [3, 3]


def test_a_cost_that_is_known_is_booked_though_the_tokens_are_not() -> None:
    limits = Limits(tpm=100, budgets=DAY.budgets)
    booked, remembered = settled(bill(party(limits=limits), taken=3), UNKNOWN, 8)
    assert [one.amount for one in booked] == [3, 8]
    assert [one.amount for one in remembered] == [8]


def test_a_call_that_costs_nothing_gives_all_of_it_back() -> None:
    assert settled(bill(party()), replace(NOTHING, succeeded=False), 0) == ([], [])


def test_spend_is_told_without_a_budget_too() -> None:
    keys, team = party(limits=Limits()), party("team")
    booked, remembered = settled(bill(keys, team), USED, USD)
    assert set(amounts(booked)) == {"team:1/usd/1d/1795219200/0"}
    assert amounts(remembered) == {"team:1/usd/1d/1795219200/0": USD, "key:1/usd/1d/1795219200/0": USD}


def test_a_call_over_midnight_is_paid_for_once(noon: Any) -> None:
    """By the budget of the day in which it was let through."""
    made = bill(party())
    noon.shift(86_400)
    _, remembered = settled(made, USED, USD)
    assert amounts(remembered) == {"key:1/usd/1d/1795219200/0": USD}


def test_a_budget_of_another_period_is_no_main_budget() -> None:
    hourly = Limits(
        budgets=(Budget("budget_limits", "usd", "1h", USD), Budget("model_max_budget", "usd", "1d", 9, "*"))
    )
    both = bill(party(limits=hourly))
    both.charges = [one for one in both.charges if "@" not in one.counter]
    _, remembered = settled(both, USED, USD)
    assert set(amounts(remembered)) == {"key:1/usd/1h/1795262400/0", spend_counter(party(), NOON)[0]}


def test_charges_that_were_not_taken_are_not_booked() -> None:
    untaken = replace_standings(bill(party()))
    assert settled(untaken, USED, None) == ([], [])


def replace_standings(made: Bill) -> Bill:
    return Bill(parties=made.parties, charges=made.charges)


def test_of_a_lost_call_budgets_remember_all_that_was_reserved() -> None:
    limits = Limits(rpm=1, tpm=10, budgets=DAY.budgets)
    assert amounts(reserved(bill(party(limits=limits), taken=5))) == {"key:1/usd/1d/1795219200/0": 5}
    assert reserved(NO_BILL) == []


# --- Headers, shadows, parties ------------------------------------------------------------------------------------


def rate(counter: str, ceiling: int, counts: str = "requests", **fields: Any) -> Charge:
    return Charge(counter, 1, ceiling, counts=counts, **fields)


def test_the_headers_tell_of_the_limit_that_leaves_the_least() -> None:
    charges = [rate("a", 10), rate("b", 5), rate("c", 100, "tokens"), rate("d", 1, "budget")]
    told = dict(headers_for(charges, [Standing(1, 30.0), Standing(4, 12.2), Standing(40, 60.0), Standing(1, None)]))
    assert told == {
        "x-ratelimit-limit-requests": "5",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "13s",
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "60",
        "x-ratelimit-reset-tokens": "60s",
    }


def test_a_limit_in_shadow_is_not_told_of() -> None:
    assert headers_for([rate("a", 1, enforced=False)], [Standing(5, 1.0)]) == []


def test_nothing_left_is_not_less_than_nothing() -> None:
    assert ("x-ratelimit-remaining-requests", "0") in headers_for([rate("a", 1)], [Standing(5, 1.0)])


def test_the_limits_that_would_have_refused_are_noted_once() -> None:
    made = Bill()
    charges = [rate("a", 1, limit="rpm_limit"), rate("b", 1, limit="rpm_limit"), rate("c", 1, limit="tpm_limit")]
    made.note(charges, [Standing(2, 1.0, exceeded=True), Standing(2, 1.0, exceeded=True), Standing(0, 1.0)])
    assert made.shadowed == ("rpm_limit",)


class Known:
    """Parties that have a row."""

    def __init__(self, *rows: Party) -> None:
        self._rows = {(row.kind, row.ident): row for row in rows}

    def find(self, kind: str, ident: str) -> Party | None:
        return self._rows.get((kind, ident))


def test_a_call_counts_against_all_who_have_a_say() -> None:
    own, team, person = party(), party("team"), party("end_user")
    identity = Identity(key_id=1, name="k", party=own, team_id="1", user_id="nobody")
    assert parties_of(identity, "1", Known(team, person)) == [own, team, person]
    assert parties_of(Identity(key_id=None, name=None), None, Known(team)) == []


@pytest.mark.parametrize(
    ("body", "written"),
    [
        (b'{"max_tokens":900,"max_output_tokens":1}', 900),
        (b'{"max_completion_tokens":1,"max_tokens":900}', 900),
        (b'{"max_tokens":"900"}', 900),
        (b'{"max_tokens":900.0,"n":"3"}', 2700),
        (b'{"max_tokens":900,"n":3.0}', 2700),
    ],
)
def test_no_way_of_writing_a_number_makes_it_less(body: bytes, written: int) -> None:
    prompt = -(-len(body) // 4)
    assert asked(body).tokens == prompt + written


def test_a_call_that_is_settled_later_costs_nothing_in_the_window_of_then() -> None:
    before = Spent("key:1/usd/30d/1000/0", -5, None)
    now, of_team = Spent("key:1/usd/30d/2000/0", 7, None), Spent("team:a/usd/30d/2000/0", 7, None)
    assert corrected_by([before], [now, of_team]) == [of_team, before]
