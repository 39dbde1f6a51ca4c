"""Tests of `/team/…`."""

import pytest
from django.contrib.admin.models import LogEntry

from keys.models import Team, VirtualKey
from tests.keys.conftest import issued
from tests.keys.groups import Groups, error, member

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.keys.groups")]


@pytest.fixture
def groups(client):
    return Groups(client)


def test_a_team_gets_an_id(groups):
    made = groups.made("team/new", team_alias="Research")
    assert (len(made["team_id"]), made["team_alias"], made["blocked"]) == (36, "Research", False)
    assert made["members_with_roles"] == made["models"] == made["admins"] == []
    assert made["rpm_limit"] is made["max_budget"] is made["organization_id"] is None
    assert groups.made("team/new", team_id=" ")["team_id"] != made["team_id"]


def test_an_id_is_given_once(groups):
    groups.made("team/new", team_id="t")
    assert error(groups.post("team/new", team_id="t")) == (400, "bad_request_error", "team_id")


def test_a_team_is_changed(groups):
    groups.made("team/new", team_id="t", team_alias="Old", rpm_limit=1)
    changed = groups.made("team/update", team_id="t", team_alias="New")
    assert changed["team_id"] == "t"
    assert (changed["data"]["team_alias"], changed["data"]["rpm_limit"]) == ("New", 1)
    assert groups.made("team/update", team_id="t", team_alias=None)["data"]["team_alias"] is None


def test_a_team_is_blocked_and_unblocked(groups):
    groups.made("team/new", team_id="t")
    assert groups.made("team/block", team_id="t")["blocked"] is True
    assert groups.made("team/unblock", team_id="t")["blocked"] is False
    assert error(groups.post("team/block", team_id="no")) == (404, "not_found_error", "team_id")


def test_a_team_is_shown_with_its_keys(groups):
    Team.objects.create(team_id="t")
    keys = [issued(team_id="t")["token"] for _ in range(3)]
    issued()
    shown = groups.seen("team/info", team_id="t")
    assert [key["token"] for key in shown["keys"]] == keys[::-1]
    assert shown["team_info"]["keys_count"] == 3
    assert len(groups.seen("team/info", team_id="t", key_limit=2)["keys"]) == 2


def test_a_team_goes_with_its_keys(groups):
    Team.objects.create(team_id="t")
    issued("theirs", team_id="t")
    issued("another")
    assert groups.made("team/delete", team_ids=["t", "t"]) == {"deleted_teams": ["t"]}
    assert [key.name for key in VirtualKey.objects.all()] == ["another"]
    assert LogEntry.objects.filter(object_repr="theirs", change_message__startswith="Deleted with its team").exists()


def test_a_management_key_neither_sees_nor_deletes_one_through_its_team(groups):
    manager = issued(key_type="management")["key"]
    Team.objects.create(team_id="t")
    issued(key_type="management", team_id="t")
    shown = groups.get("team/info", team_id="t", key=manager).json()
    assert (shown["keys"], shown["team_info"]["keys_count"]) == ([], 0)
    refused = groups.post("team/delete", team_ids=["t"], key=manager)
    assert error(refused)[:2] == (403, "management_key_access_denied")
    assert Team.objects.exists()


def test_members_are_kept(groups):
    people = [member("ada", role="admin"), member(email="bob@example.org")]
    made = groups.made("team/new", team_id="t", members_with_roles=people)
    assert made["members_with_roles"] == people
    assert (made["admins"], made["members"]) == (["ada"], [])
    changed = groups.made("team/update", team_id="t", admins=[], members=["cy"])["data"]
    assert changed["members_with_roles"] == [member("cy")]
    assert groups.made("team/update", team_id="t", members_with_roles=None)["data"]["members_with_roles"] == []


def test_members_come_and_go(groups):
    groups.made("team/new", team_id="t")
    groups.made("team/member_add", team_id="t", member={"user_id": "ada", "role": "admin"})
    added = groups.made("team/member_add", team_id="t", member=[{"user_id": "bob"}, {"user_id": "ada"}])
    assert added["members_with_roles"] == [member("ada"), member("bob")]
    left = groups.made("team/member_delete", team_id="t", user_id="ada")
    assert left["members_with_roles"] == [member("bob")]
    assert error(groups.post("team/member_delete", team_id="t", user_id="ada"))[0] == 404
    assert error(groups.post("team/member_delete", team_id="t"))[0] == 422


@pytest.mark.parametrize(
    "people", [[1], [None], [{"role": "user"}], [{"user_id": "a", "role": "owner"}], ["a"], [{"user_id": "a", "x": 1}]]
)
def test_a_member_that_is_none_is_refused(groups, people):
    assert groups.post("team/new", members_with_roles=people).status_code == 400


def test_members_that_an_admin_wrote_otherwise_are_read(groups):
    Team.objects.create(team_id="t", members=["ada", {"user_id": "bob", "role": "admin"}, 5, {}])
    assert groups.seen("team/info", team_id="t")["team_info"]["members_with_roles"] == [
        member("ada"),
        member("bob", role="admin"),
    ]


def test_teams_are_listed(groups):
    Team.objects.create(team_id="b", alias="Beta", members=[member("ada")])
    Team.objects.create(team_id="a", alias="Alpha")
    issued(team_id="b")
    answer = groups.get("team/list")
    assert [(team["team_id"], team["keys_count"]) for team in answer.json()] == [("a", 0), ("b", 1)]
    assert answer["X-Total-Count"] == "2"
    assert [team["team_id"] for team in groups.seen("team/list", user_id="ada")] == ["b"]
    assert [team["team_id"] for team in groups.seen("team/list", page=2, page_size=1)] == ["b"]


def test_teams_are_listed_in_pages(groups):
    for number in range(3):
        Team.objects.create(team_id=f"t{number}", alias=f"Team {number}", members=[member("ada"), member("bob")])
    page = groups.seen("v2/team/list", page=2, page_size=2)
    assert [team["team_id"] for team in page.pop("teams")] == ["t0"]
    assert page == {"total": 3, "page": 2, "page_size": 2, "total_pages": 2}
    assert groups.seen("v2/team/list")["teams"][0]["members_count"] == 2


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"team_id": "b"}, ["b"]),
        ({"team_alias": "ALPH"}, ["a"]),
        ({"search": "b"}, ["b"]),
        ({"search": "eta"}, ["b"]),
        ({"search": "a", "search_team_id_match": "prefix"}, ["b", "a"]),
        ({"user_id": "ada"}, ["a"]),
        ({"sort_by": "team_id"}, ["a", "b"]),
        ({"sort_by": "team_alias", "sort_order": "desc"}, ["b", "a"]),
        ({"organization_id": ""}, ["b", "a"]),
    ],
)
def test_teams_are_sought(groups, query, found):
    Team.objects.create(team_id="a", alias="Alpha", members=[member("ada")])
    Team.objects.create(team_id="b", alias="Beta")
    assert [team["team_id"] for team in groups.seen("v2/team/list", **query)["teams"]] == found


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("v2/team/list", {"page": 0}, 422),
        ("v2/team/list", {"page_size": 101}, 422),
        ("v2/team/list", {"sort_by": "spend"}, 400),
        ("v2/team/list", {"status": "deleted"}, 400),
        ("team/list", {"organization_id": "o"}, 400),
        ("team/list", {"colour": "red"}, 400),
        ("user/list", {"page_size": 101}, 422),
        ("customer/list", {"page": "x"}, 422),
    ],
)
def test_a_bad_query_is_refused(groups, path, query, status):
    assert groups.get(path, **query).status_code == status


@pytest.mark.parametrize(
    ("search", "found"), [("RES", ["research"]), ("lab", ["research"]), ("e", ["research", "sales"]), ("%", [])]
)
def test_teams_are_found_by_a_part_of_their_id_or_alias(groups, search, found):
    Team.objects.create(team_id="research", alias="Lab")
    Team.objects.create(team_id="sales", alias="Sellers")
    Team.objects.create(team_id="x")
    assert [team["team_id"] for team in groups.seen("team/list", search=search)] == found
