"""Tests of /spend/keys, /spend/users, /spend/tags, /global/* and the daily activities."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from common.money import units
from gateway.models import RequestLog
from keys.models import EndUser, Owner, SpendWindow, Team, VirtualKey
from keys.spending import start_with
from tests.gateway.spend_api.conftest import API, at, store

pytestmark = pytest.mark.django_db
MAY = {"start_date": "2026-05-01", "end_date": "2026-05-31"}

READS = """
    /spend/logs /spend/logs/v2 /spend/logs/ui /spend/keys /spend/users /spend/tags /global/spend /global/spend/logs
    /global/spend/keys /global/spend/models /global/spend/teams /global/spend/tags /global/activity
    /user/daily/activity /team/daily/activity /customer/daily/activity /end_user/daily/activity
    """.split()


# --- Who may read


@pytest.mark.parametrize("path", READS)
def test_only_managers_read_the_usage_of_all(api: API, ann: tuple[VirtualKey, str], path: str) -> None:
    _, manager = VirtualKey.objects.issue(key_type="management")
    statuses = [api.ask(path, key=key, **MAY).status_code for key in (None, "sk-of-nobody-at-all", ann[1])]
    assert statuses == [401, 401, 401]
    assert api.ask(path, key=manager).status_code in {200, 400}
    assert api.ask(path)["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", READS)
def test_no_read_takes_what_it_does_not_know(api: API, path: str) -> None:
    answer = api.ask(path, colour="red")
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "Unknown field: colour.")


# --- Keys and owners


def test_keys_come_in_the_order_of_what_they_have_spent(api: API) -> None:
    keys = {name: VirtualKey.objects.issue(name=name, budget_duration=period)[0] for name, period in
            (("none", ""), ("little", "1d"), ("most", ""))}  # fmt: skip
    start_with(keys["little"], units(Decimal("0.5")))
    start_with(keys["most"], units(Decimal(2)))
    found = api.get("/spend/keys")
    assert [(one["key_alias"], one["spend"]) for one in found] == [("most", 2.0), ("little", 0.5), ("none", 0.0)]
    assert found[1]["budget_duration"] == "1d"
    assert [one["key_alias"] for one in api.get("/spend/keys", limit=1)] == ["most"]


def test_the_keys_of_one_owner(api: API) -> None:
    for name, owner in (("a", "ann"), ("b", "bob"), ("c", "ann")):
        key, _ = VirtualKey.objects.issue(name=name, user_id=owner)
        start_with(key, units(Decimal(ord(name))))
    assert [one["key_alias"] for one in api.get("/spend/keys", user_id="ann")] == ["c", "a"]


def test_what_was_spent_before_or_for_one_model_does_not_count(api: API) -> None:
    key, _ = VirtualKey.objects.issue(name="a", budget_duration="1d")
    start_with(key, 1)
    known = SpendWindow.objects.get()
    for counter in (f"key:{key.pk}/usd/1d/0/0", f"key:{key.pk}/usd@m/1d/0/0", "key:x/usd//0/0", "key:999/usd//0/0"):
        SpendWindow.objects.create(counter=counter, used=10**12, ends_at=known.ends_at, updated_at=known.updated_at)
    assert [one["spend"] for one in api.get("/spend/keys")] == [1e-10]


def test_a_management_key_does_not_see_management_keys(api: API) -> None:
    _, manager = VirtualKey.objects.issue(name="m", key_type="management")
    assert api.get("/spend/keys", key=manager) == []
    assert [one["key_alias"] for one in api.get("/spend/keys")] == ["m"]


def test_owners_have_spends_too(api: API) -> None:
    ann, _ = (
        Owner.objects.create(user_id="a/n:n", max_budget=3, email="a@example.com"),
        Owner.objects.create(user_id="b"),
    )
    start_with(ann, units(Decimal(1)))
    first, second = api.get("/spend/users")
    assert (first["user_id"], first["spend"], first["max_budget"]) == ("a/n:n", 1.0, 3.0)
    assert (first["user_email"], second["user_id"], second["spend"]) == ("a@example.com", "b", 0.0)
    assert api.get("/spend/users", user_id="b") == [second]
    assert api.get("/spend/users", user_id="nobody") == []


@pytest.mark.parametrize("limit", ["0", "x", "10001"])
def test_a_limit_out_of_range_is_422(api: API, limit: str) -> None:
    for path in ("/spend/keys", "/global/spend/keys", "/global/spend/models"):
        assert api.ask(path, limit=limit).status_code == 422


# --- Sums of all


@pytest.fixture
def calls(ann: tuple[VirtualKey, str]) -> None:
    Team.objects.create(team_id="t1", alias="Blue")
    store(
        at(0, cost="1", key_id=ann[0].pk, model="one", team_id="t1", tags=["x"]),
        at(1, cost="2", key_id=ann[0].pk, model="two", team_id="t2", tags=["y"]),
        at(1, cost="4", key_id=999, key_name="gone", model="two", tags=["x"], status=500),
        at(29, cost=None, key_id=None, key_name="master key", model=None, tags=[]),
        at(40, cost="8", model="old", team_id="t1", tags=["old"]),
    )


def test_the_sum_of_all(api: API, calls: None) -> None:
    assert api.get("/global/spend") == {"spend": 7.0, "max_budget": None}
    assert api.get("/global/spend", start_date="2026-01-01")["spend"] == 15.0
    assert api.get("/global/spend", end_date="2026-04-30")["spend"] == 8.0


def test_the_sums_of_days(api: API, calls: None, ann: tuple[VirtualKey, str]) -> None:
    assert api.get("/global/spend/logs") == [
        {"date": "2026-04-21", "spend": 0.0},
        {"date": "2026-05-19", "spend": 6.0},
        {"date": "2026-05-20", "spend": 1.0},
    ]
    of_ann = api.get("/global/spend/logs", api_key=ann[1], start_date="2026-05-20")
    assert of_ann == [{"date": "2026-05-20", "spend": 1.0}]
    assert api.get("/global/spend/logs", api_key="sk-of-nobody-at-all") == []


def test_the_sums_of_keys(api: API, calls: None, ann: tuple[VirtualKey, str]) -> None:
    key = ann[0]
    gone, mine, none = api.get("/global/spend/keys")
    assert gone == {"api_key": "", "key_alias": "gone", "key_name": None, "total_spend": 4.0}
    digest = key.secret.digest if key.secret else None
    assert mine == {"api_key": digest, "key_alias": "ann", "key_name": key.masked, "total_spend": 3.0}
    assert (none["key_alias"], none["total_spend"]) == ("master key", 0.0)
    assert len(api.get("/global/spend/keys", limit=2)) == 2


def test_the_sums_of_models(api: API, calls: None) -> None:
    assert api.get("/global/spend/models") == [
        {"model": "two", "total_spend": 6.0},
        {"model": "one", "total_spend": 1.0},
    ]


def test_the_sums_of_teams(api: API, calls: None) -> None:
    found = api.get("/global/spend/teams")
    assert found["daily_spend"][1:] == [
        {"date": "2026-05-19", "Unassigned": 4.0, "t2": 2.0},
        {"date": "2026-05-20", "Blue": 1.0},
    ]
    assert found["teams"] == ["Blue", "Unassigned", "t2"]
    assert found["total_spend_per_team"][0] == {"team_id": "Unassigned", "total_spend": 4.0}


def test_the_sums_of_tags(api: API, calls: None) -> None:
    assert api.get("/spend/tags") == [
        {"individual_request_tag": "x", "log_count": 2, "total_spend": 5.0},
        {"individual_request_tag": "y", "log_count": 1, "total_spend": 2.0},
    ]
    assert api.get("/global/spend/tags", **MAY, tags="y,nobody's") == {
        "spend_per_tag": [{"name": "y", "spend": 2.0, "log_count": 1}]
    }
    assert len(api.get("/global/spend/tags", **MAY, tags="all-tags")["spend_per_tag"]) == 2


def test_activity(api: API, calls: None) -> None:
    assert api.get("/global/activity", **MAY) == {
        "daily_data": [
            {"date": "May 19", "api_requests": 2, "total_tokens": 16},
            {"date": "May 20", "api_requests": 1, "total_tokens": 8},
        ],
        "sum_api_requests": 3,
        "sum_total_tokens": 24,
    }


def test_sums_outlive_the_rows(api: API, calls: None) -> None:
    RequestLog.objects.all().delete()
    assert api.get("/global/spend")["spend"] == 7.0


@pytest.mark.parametrize("path", ["/global/activity", "/global/spend/tags", "/user/daily/activity"])
def test_some_need_both_dates(api: API, path: str) -> None:
    for query in ({}, {"start_date": "2026-05-01"}, {"end_date": "2026-05-01"}):
        answer = api.ask(path, **query)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == "Please provide start_date and end_date."


# --- Daily activity


def test_daily_activity_has_what_a_day_is_made_of(api: API, calls: None, ann: tuple[VirtualKey, str]) -> None:
    found = api.get("/user/daily/activity", **MAY)
    last, first = found["results"]
    assert (last["date"], first["date"]) == ("2026-05-20", "2026-05-19")
    assert first["metrics"] == {
        "spend": 6.0,
        "prompt_tokens": 6,
        "completion_tokens": 10,
        "total_tokens": 16,
        "cache_read_input_tokens": 2,
        "cache_creation_input_tokens": 0,
        "api_requests": 2,
        "successful_requests": 1,
        "failed_requests": 1,
    }
    digest = ann[0].secret.digest if ann[0].secret else ""
    keys = first["breakdown"]["api_keys"]
    assert {name: one["metrics"]["spend"] for name, one in keys.items()} == {digest: 2.0, "key 999": 4.0}
    assert keys[digest]["metadata"] == {"key_alias": "ann", "team_id": "blue", "user_id": "ann", "key_exists": True}
    assert last["breakdown"]["models"]["one"]["metrics"]["spend"] == 1.0
    assert last["breakdown"]["providers"]["hosted_vllm"]["metrics"] == last["metrics"]
    assert last["breakdown"]["entities"]["ann"]["metrics"]["api_requests"] == 1
    metadata = found["metadata"]
    assert (metadata["total_spend"], metadata["total_tokens"], metadata["total_api_requests"]) == (7.0, 24, 3)
    assert (metadata["page"], metadata["total_pages"], metadata["has_more"]) == (1, 1, False)
    assert metadata["total_api_keys"] == 2


@pytest.mark.parametrize(
    ("query", "calls_found"),
    [
        ({}, 3),
        ({"user_id": "ann"}, 3),
        ({"user_id": "b"}, 0),
        ({"model": "two"}, 2),
        ({"api_key": "sk-of-nobody-1"}, 0),
    ],
)
def test_daily_activity_is_narrowed(api: API, calls: None, query: dict[str, str], calls_found: int) -> None:
    assert api.get("/user/daily/activity", **MAY, **query)["metadata"]["total_api_requests"] == calls_found


def test_pages_of_days(api: API, calls: None) -> None:
    found = api.get("/user/daily/activity", **MAY, page=2, page_size=1)
    assert [one["date"] for one in found["results"]] == ["2026-05-19"]
    assert (found["metadata"]["total_pages"], found["metadata"]["has_more"]) == (2, False)
    assert found["metadata"]["total_spend"] == 7.0
    assert api.get("/user/daily/activity", **MAY, page=3, page_size=1)["results"] == []


def test_daily_activity_of_teams(api: API, calls: None) -> None:
    found = api.get("/team/daily/activity", **MAY)
    assert found["metadata"]["total_spend"] == 3.0
    assert found["results"][0]["breakdown"]["entities"]["t1"]["metadata"] == {"team_alias": "Blue"}
    assert api.get("/team/daily/activity", **MAY, team_ids="t1, x")["metadata"]["total_spend"] == 1.0
    assert api.get("/team/daily/activity", **MAY, exclude_team_ids="t1")["metadata"]["total_spend"] == 2.0


@pytest.mark.parametrize("path", ["/customer/daily/activity", "/end_user/daily/activity"])
def test_daily_activity_of_end_users(api: API, path: str) -> None:
    EndUser.objects.create(end_user_id="eve", alias="Eve")
    store(at(0, end_user="eve", cost="1"), at(0, end_user="bob", cost="2"), at(0, end_user=None, cost="4"))
    found = api.get(path, **MAY)
    assert found["metadata"]["total_spend"] == 3.0
    assert found["results"][0]["breakdown"]["entities"]["eve"]["metadata"] == {"alias": "Eve"}
    assert api.get(path, **MAY, end_user_ids="eve")["metadata"]["total_spend"] == 1.0
    assert api.get(path, **MAY, exclude_end_user_ids="eve")["metadata"]["total_spend"] == 2.0


@pytest.mark.parametrize(
    ("query", "status"),
    [({"page": "0"}, 422), ({"page_size": "1001"}, 422), ({"end_date": "2030-01-01"}, 400), ({"timezone": "480"}, 400)],
)
def test_daily_activity_refuses(api: API, query: dict[str, Any], status: int) -> None:
    assert api.ask("/user/daily/activity", **{**MAY, **query}).status_code == status
