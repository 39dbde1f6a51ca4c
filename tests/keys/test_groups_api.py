"""Tests of what teams, users and customers have in common in the API."""

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from keys.limits import spend_counter
from keys.models import EndUser, Owner, SpendWindow, Team, VirtualKey
from keys.spending import party_named
from tests.keys.groups import Groups, error, member

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.keys.groups")]

USD = 10_000_000_000
POSTS = """
    team/new team/update team/delete team/block team/unblock team/member_add team/member_delete
    user/new user/update user/delete
    customer/new customer/update customer/delete customer/block customer/unblock end_user/new
    """.split()
GETS = """
    team/info team/list v2/team/list user/info user/list customer/info customer/list end_user/list
    """.split()
MAKE = {"team": ("team_id", "team/new"), "user": ("user_id", "user/new"), "customer": ("user_id", "customer/new")}
each_kind = pytest.mark.parametrize("kind", list(MAKE))


@pytest.fixture
def groups(client):
    return Groups(client)


def spend(row, amount, now=None):
    counter, _ = spend_counter(party_named(row), (now or timezone.now()).timestamp())
    SpendWindow.objects.update_or_create(counter=counter, defaults={"used": amount, "updated_at": timezone.now()})


def make(groups, kind, **fields):
    name, path = MAKE[kind]
    return groups.made(path, **{name: "one", **fields})


def info(groups, kind, ident="one"):
    path, name = {
        "team": ("team/info", "team_id"),
        "user": ("user/info", "user_id"),
        "customer": ("customer/info", "end_user_id"),
    }[kind]
    shown = groups.seen(path, **{name: ident})
    return shown.get("team_info") or shown.get("user_info") or shown


def row_of(kind):
    return {"team": Team, "user": Owner, "customer": EndUser}[kind].objects.get()


# --- Who may call


@pytest.mark.parametrize("path", POSTS)
def test_a_virtual_key_may_not_write(groups, path):
    _, key = VirtualKey.objects.issue()
    assert error(groups.post(path, key=key))[:2] == (401, "auth_error")


@pytest.mark.parametrize("path", GETS)
def test_a_virtual_key_may_not_read(groups, path):
    _, key = VirtualKey.objects.issue()
    assert error(groups.get(path, key=key))[:2] == (401, "auth_error")


@each_kind
def test_a_management_key_may(groups, kind):
    _, key = VirtualKey.objects.issue(key_type="management", name="ci")
    name, path = MAKE[kind]
    answer = groups.post(path, key=key, **{name: "one"})
    assert (answer.status_code, answer.json()["created_by"]) == (200, "management key ci")


# --- What all have in common

LIMITS = {
    "rpm_limit": 5,
    "tpm_limit": 1000,
    "max_parallel_requests": 2,
    "model_rpm_limit": {"qwen-*": 3},
    "model_tpm_limit": {"qwen-*": 300},
    "max_budget": 10.5,
    "budget_duration": "30d",
    "budget_limits": [{"budget_duration": "1h", "max_budget": 2}],
    "model_max_budget": {"qwen-*": {"budget_limit": 1, "time_period": "1d"}},
    "soft_budget": 8.0,
    "token_budget": 10_000,
    "token_budget_duration": "1d",
    "shadow_limits": ["rpm_limit"],
    "models": ["qwen-*"],
    "blocked": True,
}


@each_kind
def test_limits_are_kept_and_told(groups, kind):
    make(groups, kind, **LIMITS)
    shown = info(groups, kind)
    assert {name: shown[name] for name in LIMITS} == LIMITS
    assert shown["budget_reset_at"].endswith("-01T00:00:00+00:00")
    row_of(kind).full_clean()


@each_kind
def test_omitted_fields_stay_and_null_clears(groups, kind):
    make(groups, kind, **LIMITS, metadata={"a": 1})
    name, path = MAKE[kind]
    cleared = dict.fromkeys([*(set(LIMITS) - {"rpm_limit"}), "metadata"])
    groups.made(path.replace("new", "update"), **{name: "one"}, **cleared)
    shown = info(groups, kind)
    assert shown["rpm_limit"] == 5
    empty = {"models": [], "metadata": {}, "blocked": False, "model_max_budget": {}, "shadow_limits": []}
    assert {key: shown[key] for key in cleared} == {key: empty.get(key) for key in cleared}


@each_kind
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rpm_limit", -1),
        ("rpm_limit", "5"),
        ("max_budget", "much"),
        ("max_budget", -1),
        ("budget_duration", "30"),
        ("models", "qwen"),
        ("blocked", "yes"),
        ("metadata", []),
        ("model_max_budget", {"m": 5}),
        ("shadow_limits", ["nothing"]),
        ("spend", -1),
        ("no_such_field", 1),
        ("tpd_limit", 5),
        ("guardrails", ["pii"]),
        ("budget_id", "free"),
    ],
)
def test_a_bad_field_is_named(groups, kind, field, value):
    name, path = MAKE[kind]
    for target in (path, path.replace("new", "update")):
        assert error(groups.post(target, **{name: "one", field: value})) == (400, "invalid_request_error", field)


@each_kind
def test_a_field_of_litellm_without_effect_may_be_empty(groups, kind):
    make(groups, kind, tpd_limit=None, guardrails=[], object_permission={}, budget_id="")


@each_kind
def test_unknown_fields_are_ignored_where_that_is_wanted(groups, kind, settings):
    settings.LENIENT_KEY_API = True
    make(groups, kind, no_such_field=1)
    name, path = MAKE[kind]
    assert groups.post(path, **{name: "two", "tpd_limit": 5}).status_code == 400


@each_kind
def test_both_spellings_of_a_models_budget_are_understood(groups, kind):
    make(groups, kind, model_max_budget={"m": {"max_budget": 1, "budget_duration": "1d"}})
    assert info(groups, kind)["model_max_budget"] == {"m": {"budget_limit": 1, "time_period": "1d"}}


@each_kind
def test_what_was_spent_is_told(groups, kind):
    make(groups, kind)
    spend(row_of(kind), 5 * USD // 2)
    assert info(groups, kind)["spend"] == 2.5


@each_kind
def test_spend_can_be_set(groups, kind):
    make(groups, kind, spend=3)
    assert info(groups, kind)["spend"] == 3.0
    name, path = MAKE[kind]
    groups.made(path.replace("new", "update"), **{name: "one", "spend": 0})
    assert info(groups, kind)["spend"] == 0.0


@each_kind
def test_who_comes_after_one_of_the_same_name_begins_anew(groups, kind):
    make(groups, kind, spend=3)
    path = f"{kind}/delete"
    groups.made(path, **{"team_ids" if kind == "team" else "user_ids": ["one"]})
    make(groups, kind)
    assert info(groups, kind)["spend"] == 0.0


@each_kind
def test_every_write_is_in_the_history(groups, kind):
    name, path = MAKE[kind]
    groups.post(path, headers={"litellm-changed-by": "ada"}, **{name: "one"})
    groups.made(path.replace("new", "update"), **{name: "one", "rpm_limit": 7, "spend": 1.5})
    groups.made(f"{kind}/delete", **{"team_ids" if kind == "team" else "user_ids": ["one"]})
    lines = LogEntry.objects.filter(content_type__model=row_label(kind)).order_by("pk")
    said = [line.change_message for line in lines]
    assert said[0] == "Made through the key API. litellm-changed-by: ada"
    assert said[1] == "Changed rpm_limit (null → 7), spend (0 → 1.5) through the key API."
    assert said[2] == "Deleted through the key API."
    assert {line.user.username for line in lines} == {"master key"}


def row_label(kind):
    return {"team": "team", "user": "owner", "customer": "enduser"}[kind]


@each_kind
def test_a_refused_write_leaves_nothing(groups, kind):
    make(groups, kind)
    name, path = MAKE[kind]
    groups.post(path, **{name: "one", "rpm_limit": 5})
    assert info(groups, kind)["rpm_limit"] is None
    assert LogEntry.objects.filter(content_type__model=row_label(kind)).count() == 1


@each_kind
def test_what_there_is_not_is_404(groups, kind):
    name, path = MAKE[kind]
    ids = {"team_ids" if kind == "team" else "user_ids": ["nobody"]}
    read = "end_user_id" if kind == "customer" else name
    for answer in (
        groups.post(path.replace("new", "update"), **{name: "nobody"}),
        groups.post(f"{kind}/delete", **ids),
        groups.get(f"{kind}/info", **{read: "nobody"}),
    ):
        assert error(answer)[:2] == (404, "not_found_error")


@each_kind
def test_a_delete_is_all_or_none(groups, kind):
    make(groups, kind)
    ids = {"team_ids" if kind == "team" else "user_ids": ["one", "nobody"]}
    assert groups.post(f"{kind}/delete", **ids).status_code == 404
    assert row_of(kind)


@each_kind
@pytest.mark.parametrize("given", [None, [], [1], "one"])
def test_a_delete_of_nothing_is_refused(groups, kind, given):
    name = "team_ids" if kind == "team" else "user_ids"
    assert error(groups.post(f"{kind}/delete")) == (422, "invalid_request_error", name)
    assert error(groups.post(f"{kind}/delete", **{name: given})) == (400, "invalid_request_error", name)


@each_kind
def test_an_info_of_nothing_is_422(groups, kind):
    assert error(groups.get(f"{kind}/info"))[0] == 422


def test_lists_ask_the_database_as_often_for_many_as_for_one(groups):
    def queries():
        found = []
        for path in ("team/list", "v2/team/list", "user/list", "customer/list", "user/info", "team/info"):
            with CaptureQueriesContext(
                connection,
            ) as captured:
                groups.seen(path, **({"user_id": "u0"} if path == "user/info" else {}), **_team(path))
            found.append(len(captured))
        return found

    def _team(path):
        return {"team_id": "t0"} if path == "team/info" else {}

    def add(number):
        Team.objects.create(team_id=f"t{number}", members=[member(f"u{number}"), member("u0")])
        Owner.objects.create(user_id=f"u{number}")
        VirtualKey.objects.issue(user_id=f"u{number}", team_id=f"t{number}")
        VirtualKey.objects.issue(user_id="u0", team_id="t0")
        EndUser.objects.create(end_user_id=f"c{number}", max_budget=1)

    add(0)
    before = queries()
    for number in range(1, 6):
        add(number)
    assert queries() == before
