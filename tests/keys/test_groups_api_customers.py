"""Tests of `/customer/…` and its old name `/end_user/…`."""

import pytest
from django.contrib.admin.models import LogEntry

from keys.models import EndUser
from keys.registry import KeyRegistry
from tests.keys.groups import Groups, error

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.keys.groups")]


@pytest.fixture
def groups(client):
    return Groups(client)


def test_it_works(groups):
    made = groups.made("customer/new", user_id="crep", max_budget=1, alias="Creperie")
    assert (made["user_id"], made["alias"], made["blocked"], made["spend"]) == ("crep", "Creperie", False, 0.0)
    assert (made["models"], made["allowed_model_region"], made["default_model"]) == ([], None, None)
    assert made["litellm_budget_table"]["max_budget"] == made["max_budget"] == 1.0


def test_without_limits_there_is_no_budget(groups):
    assert groups.made("customer/new", user_id="crep")["litellm_budget_table"] is None


def test_a_customer_is_made_once(groups):
    groups.made("customer/new", user_id="crep")
    assert error(groups.post("customer/new", user_id="crep")) == (400, "bad_request_error", "user_id")


def test_a_customer_has_an_id(groups):
    assert error(groups.post("customer/new")) == (422, "invalid_request_error", "user_id")
    assert error(groups.post("customer/new", user_id="x" * 129)) == (400, "invalid_request_error", "user_id")


@pytest.mark.parametrize("field", ["allowed_model_region", "default_model", "budget_id", "object_permission"])
def test_what_has_no_effect_is_refused(groups, field):
    assert error(groups.post("customer/new", user_id="crep", **{field: "eu"})) == (
        400,
        "invalid_request_error",
        field,
    )
    groups.made("customer/new", user_id="crep", **{field: None})


def test_a_customer_is_changed(groups):
    groups.made("customer/new", user_id="crep", alias="Old")
    assert groups.made("customer/update", user_id="crep", rpm_limit=5)["alias"] == "Old"
    assert groups.made("customer/update", user_id="crep", alias=None)["alias"] is None
    unknown = groups.post("customer/update", user_id="no")
    assert unknown.json()["error"]["message"] == "End User Id=no does not exist in db"


def test_customers_are_blocked_and_those_unknown_are_made(groups):
    groups.made("customer/new", user_id="crep")
    blocked = groups.made("customer/block", user_ids=["crep", "new"])["blocked_users"]
    assert sorted((one["user_id"], one["blocked"]) for one in blocked) == [("crep", True), ("new", True)]
    registry = KeyRegistry()
    registry.refresh()
    assert all(registry.parties.find("end_user", one).blocked for one in ("crep", "new"))
    said = LogEntry.objects.filter(content_type__model="enduser").values_list("object_repr", "change_message")
    assert sorted((name, text.split(" through")[0]) for name, text in said) == [
        ("crep", "Blocked"),
        ("crep", "Made"),
        ("new", "Made and blocked"),
    ]


def test_one_who_is_blocked_after_one_of_the_same_name_has_spent_nothing(groups):
    groups.made("customer/new", user_id="crep", spend=3)
    groups.made("customer/delete", user_ids=["crep"])
    assert [one["spend"] for one in groups.made("customer/block", user_ids=["crep", "b"])["blocked_users"]] == [0, 0]


def test_many_are_blocked_at_once(groups):
    names = [f"c{number}" for number in range(1_000)]
    assert len(groups.made("customer/block", user_ids=names)["blocked_users"]) == 1_000


def test_customers_are_unblocked(groups):
    groups.made("customer/block", user_ids=["a", "b"])
    assert groups.made("customer/unblock", user_ids=["a"]) == {"blocked_users": ["b"]}
    assert error(groups.post("customer/unblock", user_ids=["a", "no"])) == (404, "not_found_error", "user_ids")


def test_customers_are_deleted(groups):
    groups.made("customer/new", user_id="a")
    deleted = groups.made("customer/delete", user_ids=["a"])
    assert deleted == {"deleted_customers": 1, "message": "Successfully deleted customers with ids: ['a']"}
    assert not EndUser.objects.exists()


def test_customers_are_listed(groups):
    for name in ("a", "b", "c"):
        EndUser.objects.create(end_user_id=name)
    answer = groups.get("customer/list")
    assert [one["user_id"] for one in answer.json()] == ["c", "b", "a"]
    assert answer["X-Total-Count"] == "3"
    assert [one["user_id"] for one in groups.seen("customer/list", page=2, page_size=2)] == ["a"]


def test_the_old_name_works(groups):
    made = groups.made("end_user/new", user_id="crep")
    assert groups.seen("end_user/info", end_user_id="crep") == groups.seen("customer/info", end_user_id="crep") == made
    groups.made("end_user/block", user_ids=["crep"])
    groups.made("end_user/unblock", user_ids=["crep"])
    groups.made("end_user/update", user_id="crep", rpm_limit=1)
    assert len(groups.seen("end_user/list")) == 1
    groups.made("end_user/delete", user_ids=["crep"])
