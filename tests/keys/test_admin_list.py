"""The list of keys: what state they are in, and how one is found."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from keys.models import Owner, Team, VirtualKey
from keys.spending import start_with
from tests.support.admin_lists import listed
from tests.support.people import signed_in, undrawn

pytestmark = pytest.mark.django_db
LIST = "/admin/keys/virtualkey/"
DOLLAR = 10_000_000_000


@pytest.fixture
def admin() -> Client:
    return undrawn(signed_in())


def issue(name: str = "docs bot", **fields: object) -> VirtualKey:
    return VirtualKey.objects.issue(name=name, **fields)[0]


def state(admin: Client) -> str:
    """The key's, which the list and the key's own page tell alike."""
    changes = listed(VirtualKey)
    [key] = changes.result_list
    page = admin.get(f"{LIST}{key.pk}/change/").context_data["state"]
    assert changes.model_admin.state_badge(key) == page
    return str(page)


def found(**query: str) -> set[str | None]:
    return {key.name for key in listed(VirtualKey, query).result_list}


@pytest.mark.parametrize(("holder", "word"), [(Team(team_id="red"), "Team"), (Owner(user_id="ada"), "Owner")])
def test_a_blocked_holder_is_in_the_state(admin: Client, holder: Team | Owner, word: str) -> None:
    holder.blocked = True
    holder.save()
    issue(team_id="red", user_id="ada")
    told = state(admin)
    assert f"{word} blocked" in told
    assert "Active" not in told
    assert found(state="held") == {"docs bot"}


def test_a_spent_budget_is_in_the_state(admin: Client) -> None:
    key = issue(max_budget=Decimal(1))
    assert "Active" in state(admin)
    start_with(key, DOLLAR)
    told = state(admin)
    assert "Budget spent" in told
    assert "Active" not in told


def test_a_budget_that_a_team_has_spent_is_in_the_state(admin: Client) -> None:
    team = Team(team_id="red", max_budget=Decimal(1))
    team.save()
    start_with(team, 2 * DOLLAR)
    issue(team_id="red")
    assert "Team: Budget spent" in state(admin)


def test_a_budget_of_one_model_leaves_the_key_active(admin: Client) -> None:
    issue(model_max_budget={"qwen-*": {"budget_limit": 0, "time_period": "1d"}})
    told = state(admin)
    assert "Active" in told
    assert "Budget for qwen-* spent" in told


def test_a_budget_in_shadow_refuses_nothing(admin: Client) -> None:
    start_with(issue(max_budget=Decimal(1), shadow_limits=["max_budget"]), DOLLAR)
    assert "spent" not in state(admin)


def test_a_blocked_key_says_so_first(admin: Client) -> None:
    Team(team_id="red", blocked=True).save()
    issue(team_id="red", blocked=True)
    told = state(admin)
    assert told.index("Blocked") < told.index("Team blocked")


def test_keys_that_expire_soon_are_found() -> None:
    now = timezone.now()
    issue("soon", expires_at=now + timedelta(days=6))
    issue("later", expires_at=now + timedelta(days=8))
    issue("over", expires_at=now)
    issue("blocked", expires_at=now + timedelta(days=6), blocked=True)
    assert found(state="soon") == {"soon"}


def test_keys_are_found_by_how_far_a_budget_is_used() -> None:
    for name, spent in (("little", 3), ("near", 4), ("spent", 5)):
        start_with(issue(name, max_budget=5), spent * DOLLAR)
    issue("of nothing", max_budget=0)
    assert found(budget="near") == {"near", "spent", "of nothing"}
    assert found(budget="spent") == {"spent", "of nothing"}


def test_keys_are_found_by_their_last_use() -> None:
    issue("never")
    issue("yesterday", last_used_at=timezone.now() - timedelta(days=1))
    issue("forgotten", last_used_at=timezone.now() - timedelta(days=100))
    assert found(used="never") == {"never"}
    assert found(used="recently") == {"yesterday"}
    assert found(used="long_ago") == {"forgotten"}


@pytest.mark.parametrize("words", ["Research", "RED", "Lovelace", "ada@example", "u-1", "docs lovelace", '"docs bot"'])
def test_keys_are_found_by_what_people_call_their_holders(words: str) -> None:
    Team(team_id="red", alias="Research").save()
    Owner(user_id="u-1", alias="Lovelace", email="ada@example.com").save()
    issue(team_id="red", user_id="u-1")
    issue("other", team_id="blue", user_id="tom")
    assert found(q=words) == {"docs bot"}


def test_keys_are_found_by_their_masked_secret() -> None:
    key = issue()
    issue("other")
    assert found(q=key.masked) == found(q=key.masked[-4:]) == {"docs bot"}


def test_a_rotated_key_is_listed_once() -> None:
    key = issue()
    key.rotate(timedelta(hours=1))
    assert len(listed(VirtualKey, {"q": "docs"}).result_list) == 1
