"""The list of keys: what state they are in, and how one is found."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from keys.models import Owner, Team, VirtualKey
from keys.spending import start_with
from tests.support.people import signed_in

pytestmark = pytest.mark.django_db
LIST = "/admin/keys/virtualkey/"
DOLLAR = 10_000_000_000


@pytest.fixture
def admin() -> Client:
    return signed_in()


def issue(name: str = "docs bot", **fields: object) -> VirtualKey:
    return VirtualKey.objects.issue(name=name, **fields)[0]


def state(admin: Client) -> str:
    [key] = admin.get(LIST).context["cl"].result_list
    page = admin.get(f"{LIST}{key.pk}/change/").context["state"]
    listed = admin.get(LIST).context["cl"].model_admin.state_badge(key)
    assert listed == page
    return str(page)


def found(admin: Client, **query: str) -> set[str | None]:
    return {key.name for key in admin.get(LIST, query).context["cl"].result_list}


@pytest.mark.parametrize(("holder", "word"), [(Team(team_id="red"), "Team"), (Owner(user_id="ada"), "Owner")])
def test_a_blocked_holder_is_in_the_state(admin: Client, holder: Team | Owner, word: str) -> None:
    holder.blocked = True
    holder.save()
    issue(team_id="red", user_id="ada")
    assert f"{word} blocked" in state(admin)
    assert "Active" not in state(admin)
    assert found(admin, state="held") == {"docs bot"}


def test_a_spent_budget_is_in_the_state(admin: Client) -> None:
    key = issue(max_budget=Decimal(1))
    assert "Active" in state(admin)
    start_with(key, DOLLAR)
    assert "Budget spent" in state(admin)
    assert "Active" not in state(admin)


def test_a_budget_that_a_team_has_spent_is_in_the_state(admin: Client) -> None:
    team = Team(team_id="red", max_budget=Decimal(1))
    team.save()
    start_with(team, 2 * DOLLAR)
    issue(team_id="red")
    assert "Team: Budget spent" in state(admin)


def test_a_budget_of_one_model_leaves_the_key_active(admin: Client) -> None:
    issue(model_max_budget={"qwen-*": {"budget_limit": 0, "time_period": "1d"}})
    assert "Active" in state(admin)
    assert "Budget for qwen-* spent" in state(admin)


def test_a_budget_in_shadow_refuses_nothing(admin: Client) -> None:
    start_with(issue(max_budget=Decimal(1), shadow_limits=["max_budget"]), DOLLAR)
    assert "spent" not in state(admin)


def test_a_blocked_key_says_so_first(admin: Client) -> None:
    Team(team_id="red", blocked=True).save()
    issue(team_id="red", blocked=True)
    assert state(admin).index("Blocked") < state(admin).index("Team blocked")


def test_keys_that_expire_soon_are_found(admin: Client) -> None:
    now = timezone.now()
    issue("soon", expires_at=now + timedelta(days=6))
    issue("later", expires_at=now + timedelta(days=8))
    issue("over", expires_at=now)
    issue("blocked", expires_at=now + timedelta(days=6), blocked=True)
    assert found(admin, state="soon") == {"soon"}


def test_keys_are_found_by_their_last_use(admin: Client) -> None:
    issue("never")
    issue("yesterday", last_used_at=timezone.now() - timedelta(days=1))
    issue("forgotten", last_used_at=timezone.now() - timedelta(days=100))
    assert found(admin, used="never") == {"never"}
    assert found(admin, used="recently") == {"yesterday"}
    assert found(admin, used="long_ago") == {"forgotten"}


@pytest.mark.parametrize("words", ["Research", "RED", "Lovelace", "ada@example", "u-1", "docs lovelace", '"docs bot"'])
def test_keys_are_found_by_what_people_call_their_holders(admin: Client, words: str) -> None:
    Team(team_id="red", alias="Research").save()
    Owner(user_id="u-1", alias="Lovelace", email="ada@example.com").save()
    issue(team_id="red", user_id="u-1")
    issue("other", team_id="blue", user_id="tom")
    assert found(admin, q=words) == {"docs bot"}


def test_keys_are_found_by_their_masked_secret(admin: Client) -> None:
    key = issue()
    issue("other")
    assert found(admin, q=key.masked) == found(admin, q=key.masked[-4:]) == {"docs bot"}


def test_a_rotated_key_is_listed_once(admin: Client) -> None:
    key = issue()
    key.rotate(timedelta(hours=1))
    assert len(admin.get(LIST, {"q": "docs"}).context["cl"].result_list) == 1
