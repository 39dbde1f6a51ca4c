"""Tests of keys.parties: teams, owners and end users in memory."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from common.money import USD
from keys.errors import EndUserBlocked, HolderBlocked, ModelDenied
from keys.identity import Identity, Party
from keys.limit_values import NO_LIMITS, Budget
from keys.models import EndUser, Owner, Team, VirtualKey
from keys.permissions import check_parties
from keys.registry import KeyRegistry

pytestmark = pytest.mark.django_db


@pytest.fixture
def registry(db: None) -> KeyRegistry:
    registry = KeyRegistry()
    registry.refresh()
    return registry


def test_who_has_a_row_is_a_party(registry: KeyRegistry) -> None:
    Team.objects.create(team_id="red", alias="The reds", rpm_limit=3, models=["qwen-*"], metadata={"tags": ["r", 1]})
    Owner.objects.create(user_id="ann", max_budget="1.5", budget_duration="1d")
    EndUser.objects.create(end_user_id="bob", blocked=True)
    registry.refresh()
    find = registry.parties.find
    team, owner, end_user = find("team", "red"), find("user", "ann"), find("end_user", "bob")
    assert team is not None
    assert owner is not None
    assert end_user is not None
    assert (team.label, team.limits.rpm, team.models, team.tags) == ("The reds", 3, ("qwen-*",), ("r",))
    assert (owner.limits.budgets, owner.period) == ((Budget("max_budget", "usd", "1d", 15 * USD // 10),), "1d")
    assert (end_user.blocked, end_user.limits) == (True, NO_LIMITS)
    assert find("team", "blue") is None
    assert len(registry.parties) == 3


def test_changes_are_followed(registry: KeyRegistry) -> None:
    team = Team.objects.create(team_id="red", rpm_limit=3)
    registry.refresh()
    Team.objects.filter(pk=team.pk).update(rpm_limit=4)
    registry.refresh()
    found = registry.parties.find("team", "red")
    assert found is not None
    assert found.limits.rpm == 4
    team.delete()
    registry.refresh()
    assert registry.parties.find("team", "red") is None


@pytest.mark.parametrize("whole", [True, False])
def test_who_is_blocked_is_told_once(registry: KeyRegistry, whole: bool) -> None:
    Team.objects.create(team_id="red")
    registry.refresh()
    assert registry.newly_blocked() == frozenset()
    Team.objects.update(blocked=True)
    if whole:
        registry.parties.reload()
        assert registry.parties.reload() == frozenset()
        return
    registry.refresh()
    assert registry.newly_blocked() == {"team:red"}
    assert registry.newly_blocked() == frozenset()


def test_a_new_one_that_is_blocked_has_no_open_calls(registry: KeyRegistry) -> None:
    EndUser.objects.create(end_user_id="bob", blocked=True)
    registry.refresh()
    assert registry.newly_blocked() == frozenset()


@pytest.mark.parametrize(
    ("make", "column"),
    [
        (lambda: Team.objects.create(team_id="red"), "team_id"),
        (lambda: Owner.objects.create(user_id="red"), "user_id"),
    ],
)
@pytest.mark.parametrize("one_by_one", [True, False])
def test_keys_go_with_their_holder(make: Any, column: str, one_by_one: bool) -> None:
    holder = make()
    VirtualKey.objects.issue(**{column: "red"})
    kept, _ = VirtualKey.objects.issue(**{column: "blue"})
    assert holder.keys.count() == 1
    if one_by_one:
        holder.delete()
    else:
        type(holder).objects.all().delete()
    assert list(VirtualKey.objects.all()) == [kept]


def test_a_damaged_list_of_models_allows_none(registry: KeyRegistry) -> None:
    Team.objects.create(team_id="red", models="text", model_rpm_limit="text")
    registry.refresh()
    found = registry.parties.find("team", "red")
    assert found is not None
    assert found.limits.model_rpm == {"*": 0}
    with pytest.raises(ModelDenied):
        check_parties([found], "any")


def test_holders_and_end_users_are_judged() -> None:
    def party(kind: str, **fields: Any) -> Party:
        return Party(kind=kind, ident="red", label="The reds", **fields)

    with pytest.raises(HolderBlocked, match="Team=The reds is blocked"):
        check_parties([party("team", blocked=True)], None)
    with pytest.raises(EndUserBlocked, match="'red' is blocked"):
        check_parties([party("end_user", blocked=True)], None)
    limited = party("user", models=("qwen-*",))
    check_parties([limited, party("key", models=("other",))], "qwen-7b")
    check_parties([limited], None)
    for model, whose in (("llama", "for this API key's owner, or"), ("", "This API key's owner is limited")):
        with pytest.raises(ModelDenied, match=whose):
            check_parties([limited], model)


def test_a_key_is_a_party_too(registry: KeyRegistry) -> None:
    key, _ = VirtualKey.objects.issue(name="laptop", tpm_limit=5, team_id="red", allowed_ips=["10.0.0.0/8", "junk"])
    registry.refresh()
    identity = registry.find(key.secrets.get().digest)
    assert isinstance(identity, Identity)
    assert identity.party is not None
    assert (identity.party.scope, identity.party.label, identity.party.limits.tpm) == (f"key:{key.pk}", "laptop", 5)
    assert identity.team_id == "red"
    assert [str(network) for network in identity.networks] == ["10.0.0.0/8", "255.255.255.255/32"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("model_rpm_limit", {"m": -1}),
        ("model_tpm_limit", ["m"]),
        ("budget_duration", "30"),
        ("budget_limits", [{"budget_duration": "1d"}]),
        ("budget_limits", [{"budget_duration": "soon", "max_budget": 1}]),
        ("model_max_budget", {"m": 5}),
        ("shadow_limits", ["soft_budget"]),
        ("max_budget", "-1"),
        ("token_budget", -1),
    ],
)
def test_a_wrong_limit_is_refused(column: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Team(team_id="red", **{column: value}).full_clean()


@pytest.mark.parametrize(("column", "value"), [("allowed_routes", ["v1"]), ("allowed_ips", ["10.0.0.300"])])
def test_a_wrong_grant_is_refused(column: str, value: object) -> None:
    with pytest.raises(ValidationError):
        VirtualKey(**{column: value}).full_clean()
