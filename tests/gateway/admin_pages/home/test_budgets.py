"""Budgets that are spent, nearly spent, or wait for a price."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from common.money import units
from gateway.admin_pages.home import attention as attention_page
from keys.admin_near import likeliest, likeliest_of, nearly_spent
from keys.limit_values import COLUMNS, limits_of
from keys.limits import budget_counter
from keys.models import EndUser, Owner, SpendWindow, Team, VirtualKey
from keys.spending import party_named, start_with
from tests.gateway.admin_pages.home.page import NOW, an_upstream, part, text
from upstreams.models import Deployment

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("spent", "words"),
    [
        (Decimal("3.9"), ""),
        (Decimal(4), "The budget of virtual key docs is used to 80 %: $4.00 of $5.00."),
        (Decimal(5), "The budget of virtual key docs is spent: $5.00 of $5.00. Its calls are refused."),
    ],
)
def test_a_budget_that_is_nearly_spent_needs_attention(admin: Client, spent: Decimal, words: str) -> None:
    key, _ = VirtualKey.objects.issue(name="docs", max_budget=5)
    start_with(key, units(spent))
    told = part(admin, "attention")
    assert words in told
    assert words or "budget of virtual key" not in told


def test_a_soft_budget_that_is_passed_is_told(admin: Client) -> None:
    key, _ = VirtualKey.objects.issue(name="docs", soft_budget=5)
    start_with(key, units(6))
    told = part(admin, "attention")
    assert "The soft budget of virtual key docs is passed: $6.00 of $5.00. Calls go on." in told


def test_a_teams_budget_is_told(admin: Client) -> None:
    team = Team(team_id="red", max_budget=Decimal(5))
    team.save()
    start_with(team, units(5))
    assert "The budget of team red is spent" in part(admin, "attention")


@pytest.mark.parametrize("fields", [
    {"max_budget": Decimal(5), "budget_duration": "30d", "spend_epoch": 3},
    {"budget_limits": [{"budget_duration": "1h", "max_budget": 5}], "max_budget": Decimal(900)},
    {"model_max_budget": {"qwen": {"budget_limit": 5, "time_period": "1d"}}},
    {"token_budget": 50_000_000_000, "token_budget_duration": "7d"},
    {"max_budget": Decimal("0.00000001")},
    {"max_budget": Decimal("123456.78901234"), "soft_budget": Decimal(4)},
])  # fmt: skip
@pytest.mark.parametrize("model", [VirtualKey, Team, Owner, EndUser])
@time_machine.travel(NOW, tick=True)  # a day that ends meanwhile takes its budget with it
def test_budgets_of_every_kind_and_period_are_found(model: Any, fields: dict[str, Any]) -> None:
    row = model(**fields)
    row.save()
    (budget, *_) = sorted(
        limits_of({name: getattr(row, name) for name in COLUMNS}).budgets, key=lambda one: one.ceiling
    )
    counter, _seconds = budget_counter(party_named(row), budget, time.time())
    window = SpendWindow.objects.create(counter=counter, used=budget.ceiling, updated_at=timezone.now())

    def found() -> list[str]:
        rows = likeliest(VirtualKey.objects.all()) if model is VirtualKey else likeliest_of(model.objects.all())
        return [use.budget.name for _, use in nearly_spent(rows)]

    assert found() == [budget.name]
    window.used = budget.ceiling * 3 // 4
    window.save()
    assert found() == []


def test_what_more_is_nearly_spent_leads_to_the_lists(admin: Client) -> None:
    for number in range(6):
        key, _ = VirtualKey.objects.issue(name=f"key-{number}", max_budget=5)
        start_with(key, units(Decimal("4.9") - number / Decimal(100)))
    VirtualKey.objects.issue(name="fresh", max_budget=5)
    team = Team(team_id="red", max_budget=Decimal(5))
    team.save()
    start_with(team, units(4))
    page = admin.get("/admin/home/attention/").content
    assert "2 more keys used to 80 % and over: key-4, key-5. See them" in text(page)
    assert "1 more team used to 80 % and over: red. See them" in text(page)
    assert 'href="/admin/keys/virtualkey/?budget=near"' in page.decode()


def test_a_budget_in_dollars_without_prices_is_told(admin: Client) -> None:
    Deployment(upstream=an_upstream(), alias="qwen").save()
    VirtualKey.objects.issue(name="docs", max_budget=5)
    assert "docs: a budget in dollars, but no model" in part(admin, "attention")
    attention_page.forget()
    Deployment.objects.update(input_cost_per_token=Decimal("0.001"))
    assert "a budget in dollars" not in part(admin, "attention")


def test_of_keys_that_wait_for_prices_a_few_are_named(admin: Client) -> None:
    Deployment(upstream=an_upstream(), alias="qwen").save()
    for number in range(5):
        VirtualKey.objects.issue(name=f"key-{number}", max_budget=5)
    VirtualKey.objects.issue(name="by-model", model_max_budget={"qwen": {"budget_limit": 5, "time_period": "1d"}})
    nothing = [{"budget_duration": "1h", "max_budget": 0}]
    VirtualKey.objects.issue(name="spent", max_budget=5, budget_limits=nothing)  # waits for nothing
    assert "by-model, key-4, key-3 and 3 more: a budget in dollars" in part(admin, "attention")
    Deployment.objects.update(input_cost_per_token=Decimal("0.001"))
    VirtualKey.objects.filter(name="key-1").update(models=["phi"])
    attention_page.forget()
    assert "key-1: a budget in dollars, but no model" in part(admin, "attention")


def test_a_budget_of_nothing_is_spent_and_waits_for_no_price(admin: Client) -> None:
    Deployment(upstream=an_upstream(), alias="qwen").save()
    VirtualKey.objects.issue(name="docs", max_budget=0)
    told = part(admin, "attention")
    assert "The budget of virtual key docs is spent: $0.00 of $0.00. Its calls are refused." in told
    assert "a budget in dollars" not in told
