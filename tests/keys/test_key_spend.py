"""Tests of what keys are told to have spent, and of setting it anew."""

from datetime import UTC, datetime

import pytest
import time_machine
from django.contrib.admin.models import LogEntry

from common.money import USD
from keys.limits import Asked, Budgets
from keys.models import SpendWindow, VirtualKey
from keys.parties import party_of
from keys.spending import spending

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.keys.urls")]

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def noon():
    with time_machine.travel(NOON, tick=False):
        yield


def spend(dollars, *ends):
    """Adds so much to the windows whose names end so."""
    for end in ends:
        counter = f"key:{VirtualKey.objects.get().pk}/{end}"
        SpendWindow.objects.update_or_create(
            counter=counter, defaults={"used": dollars * USD, "updated_at": NOON, "ends_at": None}
        )


def told(api, made):
    return api.get(f"info?key={made['token']}").json()["info"]


def budgets():
    """What is spent of each budget, by its name and period, as the limits see it."""
    key = VirtualKey.objects.values().get()
    party = party_of("key", str(key["id"]), {**key, "alias": ""})
    used = dict(SpendWindow.objects.values_list("counter", "used"))
    found = Budgets().charges(party, Asked(model="m"), lambda counter: used.get(counter, 0), NOON.timestamp())
    return {f"{charge.limit} {charge.counter.split('/')[2]}": charge.floor for charge in found}


def test_a_key_begins_with_what_it_is_said_to_have_spent(api):
    made = api.generate(spend=1.5, max_budget=10)
    assert (made["spend"], told(api, made)["spend"], told(api, made)["total_spend"]) == (1.5, 1.5, 1.5)
    assert budgets() == {"max_budget ": 15 * USD // 10}
    assert made["budget_reset_at"] is None


@pytest.mark.parametrize(
    ("period", "reset_at"),
    [("1h", "2026-11-18T13:00:00+00:00"), ("24h", "2026-11-19T00:00:00+00:00"), ("7d", "2026-11-23T00:00:00+00:00")],
)
def test_spend_is_that_of_the_period_and_the_answer_tells_its_end(api, period, reset_at):
    made = api.generate(spend=2, max_budget=10, budget_duration=period)
    assert (made["spend"], made["budget_reset_at"]) == (2.0, reset_at)
    assert told(api, made)["total_spend"] is None
    with time_machine.travel(datetime.fromisoformat(reset_at), tick=False):
        assert told(api, made)["spend"] == 0.0


def test_what_the_log_adds_is_told(api):
    made = api.generate(budget_duration="1mo", max_budget=5)
    spend(3, f"usd/1mo/{int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())}/0")
    assert told(api, made)["spend"] == 3.0


def test_an_update_sets_spend_anew(api):
    made = api.generate(spend=2)
    assert api.post("update", {"key": made["token"], "spend": 7}).json()["spend"] == 7.0
    assert api.post("update", {"key": made["token"], "spend": 0.25}).json()["spend"] == 0.25
    assert "spend (7 → 0.25)" in LogEntry.objects.latest("pk").change_message
    assert api.post("update", {"key": made["token"], "spend": None}).json()["spend"] == 0.25


def test_reset_spend(api):
    made = api.generate(spend=2, max_budget=10, budget_duration="1d")
    body = api.post(f"{made['key']}/reset_spend", {"reset_to": 0}).json()
    assert body == {
        "key_hash": made["token"],
        "spend": 0.0,
        "previous_spend": 2.0,
        "max_budget": 10.0,
        "budget_reset_at": "2026-11-19T00:00:00+00:00",
    }
    assert (told(api, made)["spend"], budgets()) == (0.0, {"max_budget 1d": 0})
    assert "Reset spend (2 → 0) through the key API" in LogEntry.objects.latest("pk").change_message


def test_reset_spend_to_a_part(api):
    made = api.generate(spend=2)
    assert api.post(f"{made['token']}/reset_spend", {"reset_to": 0.5}).json()["spend"] == 0.5
    assert told(api, made)["spend"] == 0.5
    assert told(api, made)["total_spend"] is None  # what was spent before is not forgotten, but not told either


def test_other_budgets_follow_but_for_tokens(api):
    api.generate(
        max_budget=10,
        soft_budget=5,
        budget_limits=[{"budget_duration": "1h", "max_budget": 5}, {"budget_duration": "1d", "max_budget": 8}],
        model_max_budget={"m": {"budget_limit": 9, "time_period": "1mo"}},
        token_budget=100,
        token_budget_duration="1d",
    )
    midnight = int(NOON.replace(hour=0).timestamp())
    spend(4, "usd//0/0", f"usd/1d/{midnight}/0", f"tokens/1d/{midnight}/0")
    spend(1, f"usd/1h/{int(NOON.timestamp())}/0")
    key = VirtualKey.objects.get()
    api.post(f"{key.secret.digest}/reset_spend", {"reset_to": 2})
    assert {name: used // USD for name, used in budgets().items()} == {
        "max_budget ": 2,
        "soft_budget ": 2,
        "budget_limits 1h": 1,
        "budget_limits 1d": 2,
        "model_max_budget 1mo": 0,
        "token_budget 1d": 4,
    }


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"reset_to": 2.5}, 400, "reset_to (2.5) must be <= current spend (2.0)"),
        ({"reset_to": 1.5}, 400, "reset_to (1.5) must be <= budget (1.0)"),
        ({"reset_to": -1}, 400, "reset_to"),
        ({"reset_to": "0"}, 400, "reset_to"),
        ({"reset_to": True}, 400, "reset_to"),
        ({"reset_to": None}, 400, "reset_to"),
        ({}, 422, "reset_to"),
        ({"reset_to": 0, "colour": "red"}, 400, "colour"),
    ],
)
def test_what_spend_cannot_become(api, body, status, words):
    made = api.generate(spend=2, max_budget=1)
    answer = api.post(f"{made['token']}/reset_spend", body)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]
    assert told(api, made)["spend"] == 2.0


def test_the_spend_of_an_unknown_key_cannot_be_reset(api):
    answer = api.post("sk-of-nobody-at-all/reset_spend", {"reset_to": 0})
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "Key not found.")


def test_nothing_is_written_for_a_key_that_has_spent_nothing(api):
    api.generate(spend=0)
    assert not SpendWindow.objects.exists()
    assert spending(VirtualKey.objects.get()).dollars == 0.0
