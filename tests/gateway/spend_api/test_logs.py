"""Tests of /spend/logs, /spend/logs/v2 and /spend/logs/ui."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.models import RequestLog, UsageHourTag
from keys.models import VirtualKey
from tests.gateway.spend_api.conftest import API, at, store

pytestmark = pytest.mark.django_db
HOUR = 1 / 24
MINUTE = HOUR / 60


def many(count: int) -> list[str]:
    """Calls twenty minutes apart; their request ids, the newest first."""
    store(*(at(number * 20 * MINUTE, request_id=f"r{number:02}") for number in range(count)))
    return [f"r{number:02}" for number in range(count)]


def test_it_works(api: API) -> None:
    store(at(cost="0.25", team_id="blue", cached_tokens=1, error_text=None))
    found = api.get("/spend/logs/v2")
    (row,) = found.pop("data")
    assert found == {
        "total": 1,
        "page": 1,
        "page_size": 50,
        "total_pages": 1,
        "total_is_capped": False,
        "has_more": False,
        "next_cursor": None,
    }
    assert (row["request_id"], row["model"], row["user"], row["end_user"]) == ("req-1", "qwen", "ann", "bob")
    assert (row["spend"], row["prompt_tokens"], row["completion_tokens"], row["total_tokens"]) == (0.25, 3, 5, 8)
    assert (row["startTime"], row["request_duration_ms"]) == ("2026-05-20T12:30:00+00:00", 1000)
    assert (row["status"], row["request_tags"], row["team_id"], row["api_key"]) == ("success", ["prod"], "blue", "")
    assert row["metadata"]["usage_object"]["prompt_tokens_details"] == {"cached_tokens": 1}
    assert row["metadata"]["error_information"] is None
    assert row["metadata"]["gateway"]["upstream_name"] == "gpu-1"


def test_a_failed_call_says_why(api: API) -> None:
    store(at(status=429, outcome="refused", error_type="throttling_error", error_text="Too much."))
    (row,) = api.get("/spend/logs/v2")["data"]
    assert row["status"] == "failure"
    assert row["metadata"]["error_information"] == {
        "error_code": "429",
        "error_class": "throttling_error",
        "error_message": "Too much.",
    }


def test_unknown_tokens_and_costs_are_told_apart(api: API) -> None:
    store(at(prompt_tokens=None, completion_tokens=None, cost=None, ended_at=None, outcome="lost", status=None))
    (row,) = api.get("/spend/logs/v2")["data"]
    assert (row["spend"], row["total_tokens"], row["endTime"], row["request_duration_ms"]) == (None, 0, None, None)
    assert row["metadata"]["usage_object"] is None


# --- Pages: of more than a few, in test_pages.py


def test_a_call_that_comes_between_two_pages_does_not_shift_a_cursor(api: API) -> None:
    ids = many(4)
    cursor = api.get("/spend/logs/v2", page_size=2)["next_cursor"]
    store(at(-MINUTE, request_id="new"))
    assert api.ids(page_size=2, cursor=cursor) == ids[2:]


def test_an_empty_log_has_no_page(api: API) -> None:
    found = api.get("/spend/logs/v2")
    assert (found["data"], found["total"], found["total_pages"]) == ([], 0, 0)
    assert api.get("/spend/logs/v2", end_date="2026-05-20")["data"] == []


# --- Filters


@pytest.fixture
def mixed() -> None:
    store(
        at(1 * HOUR, request_id="a", user_id="ann", team_id="blue", end_user="eve", model="one", tags=["x", "y"]),
        at(2 * HOUR, request_id="b", user_id="bob", status=429, outcome="refused", model="two", tags=[]),
        at(3 * HOUR, request_id="c", user_id="bob", status=None, outcome="client_disconnected", tags=["y"]),
        at(4 * HOUR, request_id="d", user_id="cid", status=200, outcome="upstream_failed", tags=["x"]),
    )


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"user_id": "bob"}, "bc"),
        ({"team_id": "blue"}, "a"),
        ({"end_user": "eve"}, "a"),
        ({"model": "two"}, "b"),
        ({"model_group": "one"}, "a"),
        ({"request_id": "c"}, "c"),
        ({"tag": "x"}, "ad"),
        ({"tag": "y"}, "ac"),
        ({"tag": "nobody's"}, ""),
        ({"tag": "y", "user_id": "bob"}, "c"),
        ({"tag": "x", "status": "failure"}, "d"),
        ({"status_filter": "failure"}, "bd"),
        ({"status_filter": "success"}, "ac"),
        ({"status": "success"}, "ac"),
        ({"status": "429"}, "b"),
        ({"error_code": "429"}, "b"),
        ({"status": "429", "error_code": "500"}, ""),
        ({"outcome": "upstream_failed"}, "d"),
        ({"user_id": "bob", "status_filter": "failure"}, "b"),
        ({"user_id": "", "page": "", "cursor": "", "sort_by": "startTime", "group_by_session": "false"}, "abcd"),
        ({"start_date": "2026-05-20 09:00:00", "end_date": "2026-05-20 11:00:00"}, "bc"),
        ({"api_key": "sk-of-nobody-at-all"}, ""),
        ({"key_alias": "nobody"}, ""),
    ],
)
def test_filters(api: API, mixed: None, query: dict[str, Any], ids: str) -> None:
    assert "".join(api.ids(**query)) == ids
    if not {"page", "cursor", "sort_by"} & query.keys():
        assert "".join(api.ids("/spend/logs", **query, summarize="false")) == ids
    assert "".join(api.ids("/spend/logs/ui", **query)) == ids


def test_a_call_is_found_by_its_id(api: API, mixed: None) -> None:
    row = RequestLog.objects.get(request_id="b")
    assert api.ids(request_id=row.pk.hex) == api.ids(request_id=str(row.pk)) == ["b"]


def test_a_tag_among_too_many_is_still_found(api: API, mixed: None) -> None:
    UsageHourTag.objects.filter(tag="x").update(tag="other")
    assert api.ids(tag="x") == ["a", "d"]


def test_a_key_is_named_by_secret_digest_or_alias(api: API, ann: tuple[VirtualKey, str]) -> None:
    key, secret = ann
    digest = key.secret.digest if key.secret else ""
    store(at(key_id=key.pk, request_id="mine"), at(key_id=key.pk + 1, request_id="not mine"))
    for query in ({"api_key": secret}, {"api_key": digest}, {"key_alias": "ann"}):
        assert api.ids(**query) == ["mine"]
    (row,) = api.get("/spend/logs/v2", key_alias="ann")["data"]
    assert row["api_key"] == digest


def test_a_management_key_sees_no_digest_of_its_own_kind(api: API, ann: tuple[VirtualKey, str]) -> None:
    manager, secret = VirtualKey.objects.issue(name="manager", key_type="management")
    store(at(key_id=manager.pk, request_id="a"), at(HOUR, key_id=ann[0].pk, request_id="b"))
    assert [bool(row["api_key"]) for row in api.get("/spend/logs/v2", key=secret)["data"]] == [False, True]
    assert all(row["api_key"] for row in api.get("/spend/logs/v2")["data"])


# --- The bare array


def test_the_bare_array_tells_that_there_are_more(api: API, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.spend_api.views.MOST_COUNTED", 3)
    many(4)
    answer = api.ask("/spend/logs")
    assert len(answer.json()) == 3
    assert answer["x-litellm-spend-logs-truncated"] == "true"
    assert "x-litellm-spend-logs-truncated" not in api.ask("/spend/logs", request_id="r01")


def test_with_both_dates_there_are_sums_by_day(api: API, ann: tuple[VirtualKey, str]) -> None:
    key = ann[0]
    digest = key.secret.digest if key.secret else ""
    store(at(cost="0.5", key_id=key.pk), at(1, cost="0.25", model="two"), at(1, cost="0.25"))
    dates = {"start_date": "2026-05-01", "end_date": "2026-05-31"}
    first, second = api.get("/spend/logs", **dates)
    assert first == {
        "startTime": "2026-05-19",
        "spend": 0.5,
        "users": {"ann": 0.5},
        "models": {"qwen": 0.25, "two": 0.25},
    }
    assert (second["startTime"], second["spend"], second[digest]) == ("2026-05-20", 0.5, 0.5)
    assert api.get("/spend/logs", **dates, api_key=digest) == [second]
    assert api.get("/spend/logs", **dates, user_id="nobody") == []


def test_sums_by_day_refuse_what_they_cannot_tell(api: API) -> None:
    answer = api.ask("/spend/logs", start_date="2026-05-01", end_date="2026-05-31", tag="x")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "tag: Sums by day cannot tell this; say summarize=false."


# --- Refusals


def test_a_lenient_gateway_ignores_what_it_does_not_know(api: API, settings: Any) -> None:
    settings.LENIENT_KEY_API = True
    assert api.get("/spend/logs/v2", colour="red")["total"] == 0
    assert api.ask("/spend/logs/v2", min_spend="1").status_code == 400


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [
        ({"page": "0"}, 422, "page"),
        ({"page": "x"}, 422, "page"),
        ({"page": "9" * 20}, 422, "page"),
        ({"page_size": "1001"}, 422, "page_size"),
        ({"page_size": "0"}, 422, "page_size"),
        ({"start_date": "yesterday"}, 400, "start_date"),
        ({"start_date": "0001-01-01T00:00:00+14:00"}, 400, "start_date"),
        ({"start_date": "2026-05-02", "end_date": "2026-05-01"}, 400, "end_date"),
        ({"status_filter": "maybe"}, 400, "status_filter"),
        ({"status": "maybe"}, 400, "status"),
        ({"status": "4²9"}, 400, "status"),
        ({"error_code": "failure"}, 400, "error_code"),
        ({"outcome": "good"}, 400, "outcome"),
        ({"cursor": "x"}, 400, "cursor"),
        ({"cursor": "0" * 32, "page": "2"}, 400, "cursor"),
        ({"sort_by": "spend"}, 400, "sort_by"),
        ({"sort_order": "up"}, 400, "sort_order"),
        ({"min_spend": "1"}, 400, "min_spend"),
        ({"search": "x"}, 400, "search"),
        ({"colour": "red"}, 400, "colour"),
        ({"user_id": "\0"}, 400, "user_id"),
        ({"tag": "x" * 65}, 400, "tag"),
        ({"api_key": "x" * 600}, 400, "api_key"),
    ],
)
def test_what_cannot_be_applied_is_refused(api: API, query: dict[str, str], status: int, param: str) -> None:
    answer = api.ask("/spend/logs/v2", **query)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (status, param, str(status))
    assert error["message"].count(". ") == 0
