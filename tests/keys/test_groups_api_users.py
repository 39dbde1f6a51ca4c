"""Tests of `/user/…`."""

from datetime import datetime

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model

from keys.models import Owner, Team, VirtualKey
from tests.keys.conftest import issued
from tests.keys.groups import Groups, error

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.keys.groups")]


@pytest.fixture
def groups(client):
    return Groups(client)


def ids(teams):
    return [team["team_id"] for team in teams]


# --- New


def test_a_user_gets_an_id_and_a_key(groups):
    made = groups.made("user/new", user_alias="Ada", user_role="internal_user", max_budget=5)
    assert (len(made["user_id"]), made["user_alias"], made["user_role"]) == (36, "Ada", "internal_user")
    assert (made["max_budget"], made["spend"], made["teams"]) == (5.0, 0.0, [])
    key = VirtualKey.objects.with_secret(made["key"]).get()
    assert (key.user_id, key.max_budget, made["token"]) == (made["user_id"], None, key.secret.digest)
    assert made["key"] not in str(LogEntry.objects.values())


def test_the_key_is_described_with_the_user(groups):
    groups.made("team/new", team_id="t")
    made = groups.made("user/new", key_alias="laptop", duration="1d", aliases={"fast": "qwen"}, team_id="t")
    key = VirtualKey.objects.get()
    assert (key.name, key.team_id, key.aliases) == ("laptop", "t", {"fast": "qwen"})
    assert datetime.fromisoformat(made["expires"]) == key.expires_at
    assert (made["key_alias"], made["team_id"], made["teams"], made["duration"]) == ("laptop", "t", ["t"], None)


def test_no_key_is_made_where_none_is_wanted(groups):
    assert groups.made("user/new", auto_create_key=False)["key"] == ""
    assert not VirtualKey.objects.exists()


@pytest.mark.parametrize("field", ["key_alias", "duration", "aliases"])
def test_what_is_said_of_no_key_is_refused(groups, field):
    value = {"key_alias": "laptop", "duration": "1d", "aliases": {"a": "b"}}[field]
    assert error(groups.post("user/new", auto_create_key=False, **{field: value})) == (
        400,
        "invalid_request_error",
        field,
    )


def test_an_id_and_an_address_are_given_once(groups):
    groups.made("user/new", user_id="ada", user_email="ada@example.org")
    assert error(groups.post("user/new", user_id="ada")) == (409, "bad_request_error", "user_id")
    again = groups.post("user/new", user_email="ADA@example.org")
    assert error(again) == (409, "bad_request_error", "user_email")
    assert VirtualKey.objects.count() == Owner.objects.count() == 1


def test_a_key_whose_name_is_taken_makes_no_user(groups):
    issued("laptop")
    assert error(groups.post("user/new", key_alias="laptop"))[0] == 400
    assert not Owner.objects.exists()


def test_many_users_have_no_address(groups):
    groups.made("user/new", user_email="")
    assert groups.made("user/new", user_email=None)["user_email"] is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("password", "secret"), ("organizations", ["o"]), ("sso_user_id", "x"), ("duration", "soon"), ("teams", "t")],
)
def test_a_bad_field_is_named(groups, field, value):
    assert error(groups.post("user/new", **{field: value})) == (400, "invalid_request_error", field)


def test_nobody_may_log_in_who_could_not_before(groups):
    groups.made("user/new", user_id="ada", user_role="proxy_admin", user_email="ada@example.org")
    people = get_user_model().objects.all()
    assert [person.username for person in people if person.is_active] == []
    assert Owner.objects.get().login_id is None


# --- Teams


def test_a_user_joins_teams(groups):
    for team_id in ("a", "b"):
        Team.objects.create(team_id=team_id)
    teams = ["a", {"team_id": "b", "user_role": "admin"}]
    assert groups.made("user/new", user_id="ada", user_email="ada@example.org", teams=teams)["teams"] == ["a", "b"]
    member = {"user_id": "ada", "user_email": "ada@example.org", "role": "admin"}
    assert Team.objects.get(team_id="b").members == [member]
    assert ids(groups.seen("user/info", user_id="ada")["teams"]) == ["a", "b"]


def test_a_team_that_there_is_not_makes_no_user(groups):
    assert error(groups.post("user/new", teams=["a"])) == (404, "not_found_error", "team_id")
    assert not Owner.objects.exists()


def test_a_budget_in_a_team_is_refused(groups):
    groups.made("team/new", team_id="a")
    answer = groups.post("user/new", teams=[{"team_id": "a", "max_budget_in_team": 5}])
    assert error(answer) == (400, "invalid_request_error", "max_budget_in_team")


def test_teams_are_set_anew(groups):
    for team_id in ("a", "b", "c"):
        Team.objects.create(team_id=team_id)
    groups.made("user/new", user_id="ada", teams=["a", "b"])
    changed = groups.made("user/update", user_id="ada", teams=["b", "c"])["data"]
    assert changed["teams"] == ["b", "c"]
    assert groups.made("user/update", user_id="ada", rpm_limit=1)["data"]["teams"] == ["b", "c"]
    assert groups.made("user/update", user_id="ada", teams=None)["data"]["teams"] == []


# --- Update, delete


def test_a_user_is_changed(groups):
    groups.made("user/new", user_id="ada", user_email="ada@example.org", rpm_limit=1)
    changed = groups.made("user/update", user_id="ada", user_alias="Ada", user_email="new@example.org")
    assert changed["user_id"] == "ada"
    shown = changed["data"]
    assert (shown["user_alias"], shown["user_email"], shown["rpm_limit"]) == ("Ada", "new@example.org", 1)


def test_an_address_names_a_user_too(groups):
    groups.made("user/new", user_id="ada", user_email="ada@example.org")
    assert groups.made("user/update", user_email="Ada@example.org", rpm_limit=2)["data"]["rpm_limit"] == 2
    assert error(groups.post("user/update", user_email="no@example.org")) == (404, "not_found_error", "user_email")
    assert error(groups.post("user/update", rpm_limit=2)) == (422, "invalid_request_error", "user_id")


def test_an_address_of_another_is_refused(groups):
    groups.made("user/new", user_id="ada", user_email="ada@example.org")
    groups.made("user/new", user_id="bob")
    assert error(groups.post("user/update", user_id="bob", user_email="ada@example.org"))[0] == 409
    groups.made("user/update", user_id="ada", user_email="ada@example.org")


@pytest.mark.parametrize("field", ["key_alias", "duration", "team_id", "auto_create_key"])
def test_what_is_of_the_first_key_only_is_refused_later(groups, field):
    Owner.objects.create(user_id="ada")
    assert error(groups.post("user/update", user_id="ada", **{field: "1d"}))[2] == field


def test_a_user_is_blocked(groups):
    groups.made("user/new", user_id="ada")
    assert groups.made("user/update", user_id="ada", blocked=True)["data"]["blocked"] is True


def test_a_user_goes_with_their_keys_and_leaves_their_teams(groups):
    groups.made("team/new", team_id="a", members=["bob"])
    groups.made("user/new", user_id="ada", teams=["a"])
    issued("another")
    assert groups.made("user/delete", user_ids=["ada"]) == 1
    assert [key.name for key in VirtualKey.objects.all()] == ["another"]
    assert [one["user_id"] for one in Team.objects.get().members] == ["bob"]


def test_a_management_key_does_not_go_with_its_owner_but_by_the_master_key(groups):
    manager = issued(key_type="management")["key"]
    Owner.objects.create(user_id="ada")
    issued(key_type="management", user_id="ada")
    assert error(groups.post("user/delete", user_ids=["ada"], key=manager))[0] == 403
    assert groups.get("user/info", user_id="ada", key=manager).json()["keys"] == []
    assert groups.made("user/delete", user_ids=["ada"]) == 1


# --- Info, list


def test_a_user_is_shown_with_keys(groups):
    Team.objects.create(team_id="a", alias="Alpha")
    groups.made("user/new", user_id="ada", team_id="a")
    token = issued(user_id="ada")["token"]
    shown = groups.seen("user/info", user_id="ada")
    assert [(key["token"] == token, key["team_alias"]) for key in shown["keys"]] == [(True, None), (False, "Alpha")]
    assert (shown["user_id"], shown["user_info"]["user_id"], shown["user_info"]["key_count"]) == ("ada", "ada", 2)


def test_a_user_is_shown_without_keys(groups):
    groups.made("user/new", user_id="ada", max_budget=5)
    shown = groups.seen("v2/user/info", user_id="ada")
    assert shown == groups.made("user/update", user_id="ada", max_budget=5)["data"] | {
        "updated_at": shown["updated_at"]
    }
    assert error(groups.get("v2/user/info", user_id="no"))[0] == 404


def test_users_are_listed_in_pages(groups):
    for number in range(3):
        Owner.objects.create(user_id=f"u{number}")
        issued(user_id=f"u{number}")
    page = groups.seen("user/list", page=2, page_size=2)
    assert [(user["user_id"], user["key_count"]) for user in page.pop("users")] == [("u0", 1)]
    assert page == {"total": 3, "page": 2, "page_size": 2, "total_pages": 2}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"user_ids": "AD"}, ["ada"]),
        ({"user_ids": "ada,bob,cy"}, ["bob", "ada"]),
        ({"user_email": "BOB@"}, ["bob"]),
        ({"search": "example"}, ["bob"]),
        ({"role": "internal_user"}, ["ada"]),
        ({"team": "t"}, ["ada"]),
        ({"team": "no"}, []),
        ({"sort_by": "user_id"}, ["ada", "bob"]),
        ({"sort_by": "user_id", "sort_order": "desc"}, ["bob", "ada"]),
    ],
)
def test_users_are_sought(groups, query, found):
    Team.objects.create(team_id="t", members=[{"user_id": "ada", "user_email": None, "role": "user"}])
    Owner.objects.create(user_id="ada", role="internal_user")
    Owner.objects.create(user_id="bob", email="bob@example.org")
    assert [user["user_id"] for user in groups.seen("user/list", **query)["users"]] == found
