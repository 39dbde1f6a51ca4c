"""Tests of the key API but for generate: info, update, delete, block, unblock, health, and who may call them."""

import pytest
from django.contrib.admin.models import LogEntry
from django.db import OperationalError, connection
from django.utils import timezone

from keys.models import Team, VirtualKey
from tests.keys.conftest import issued

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.keys.urls")]

WRITES = [
    "generate",
    "service-account/generate",
    "update",
    "bulk_update",
    "delete",
    "block",
    "unblock",
    "regenerate",
    "sk-of-nobody-at-all/regenerate",
    "sk-of-nobody-at-all/reset_spend",
]


def error(answer):
    return answer.status_code, answer.json()["error"]["type"]


# --- Who may call


@pytest.mark.parametrize("path", WRITES)
def test_a_virtual_key_may_not_write(api, path):
    key = issued()["key"]
    answer = api.post(path, {}, key=key)
    assert error(answer) == (401, "auth_error")
    assert "Only proxy admin can be used" in answer.json()["error"]["message"]
    assert key not in answer.content.decode()


@pytest.mark.parametrize("path", [*WRITES, "list", "aliases", "info"])
def test_nobody_comes_in_without_a_key(api, path):
    answer = api.post(path, {}, key=None) if path in WRITES else api.get(path, key=None)
    assert error(answer) == (401, "auth_error")


@pytest.mark.parametrize("path", ["generate", "health", "info"])
def test_anonymous_callers_of_a_keyless_gateway_may_not_manage_keys(api, settings, path):
    settings.REQUIRE_KEYS = False
    answer = api.post(path, {}, key="anything") if path != "info" else api.get(path, key="anything")
    assert error(answer) == (401, "auth_error")


def test_an_unknown_key_is_refused(api):
    assert error(api.get("list", key="sk-of-nobody-at-all")) == (401, "token_not_found_in_db")


def test_a_body_is_not_read_before_authentication(api):
    assert api.post("generate", b"{", key="sk-of-nobody-at-all").status_code == 401
    assert api.post("generate", b" " * 2_000_000, key=None).status_code == 401


def test_another_method_is_refused(api):
    assert api.get("generate").status_code == 405


def test_without_the_database_the_answer_is_503(api, monkeypatch):
    def refuse(*args, **kwargs):
        raise OperationalError("connection refused at 10.0.0.1")

    monkeypatch.setattr(connection, "cursor", refuse)
    monkeypatch.setattr(connection, "chunked_cursor", refuse)
    for answer in (api.get("list"), api.get("list", key="sk-of-nobody-at-all")):
        assert error(answer) == (503, "no_db_connection")
        assert "10.0.0.1" not in answer.json()["error"]["message"]


# --- Info


def test_info_takes_the_secret_or_the_digest(api):
    made = issued("laptop")
    by_secret, by_digest = api.get(f"info?key={made['key']}").json(), api.get(f"info?key={made['token']}").json()
    assert by_secret["info"] == by_digest["info"]
    assert (by_secret["key"], by_digest["key"]) == (made["key"], made["token"])
    assert by_secret["info"]["key_alias"] == "laptop"
    assert by_secret["info"]["status"] == "active"


def test_info_holds_neither_secret_nor_digest(api):
    made = issued()
    text = str(api.get(f"info?key={made['key']}").json()["info"])
    assert made["key"] not in text
    assert made["token"] not in text


@pytest.mark.parametrize("query", ["", "?key=", "?key=sk-of-nobody-at-all", f"?key={'0' * 64}"])
def test_info_of_an_unknown_key_is_404(api, query):
    assert error(api.get(f"info{query}")) == (404, "not_found_error")


@pytest.mark.parametrize("query", ["?key=%00", f"?key={'x' * 513}", "?kee=sk-of-nobody-at-all"])
def test_info_of_what_cannot_be_a_key_is_400(api, query):
    answer = api.get(f"info{query}")
    assert error(answer) == (400, "invalid_request_error")
    assert b"nobody" not in answer.content


@pytest.mark.parametrize(
    ("fields", "status"), [({"blocked": True}, "revoked"), ({"expires_at": timezone.now()}, "expired")]
)
def test_info_tells_the_state(api, fields, status):
    _, secret = VirtualKey.objects.issue(**fields)
    assert api.get(f"info?key={secret}").json()["info"]["status"] == status


def test_a_virtual_key_reads_its_own_info(api):
    made = issued()
    for query in ("", f"?key={made['key']}", f"?key={made['token']}"):
        answer = api.get(f"info{query}", key=made["key"])
        assert answer.json()["info"]["key_name"] == made["key_name"]
    assert api.get("info", key=made["key"]).json()["key"] == made["token"]


def test_a_virtual_key_cannot_tell_whether_another_exists(api):
    mine, other = issued()["key"], issued()["key"]
    answers = [api.get(f"info?key={key}", key=mine) for key in (other, "sk-of-nobody-at-all")]
    assert error(answers[0]) == (403, "key_info_access_denied")
    assert answers[0].content == answers[1].content


# --- Update


def test_update_changes_what_is_named_and_keeps_the_rest(api):
    made = issued("laptop", models=["a"], metadata={"a": 1, "b": 2})
    body = api.post("update", {"key": made["key"], "metadata": {"c": 3}, "user_id": "ann"}).json()
    assert (body["key"], body["token"]) == (made["key"], made["token"])
    assert (body["key_alias"], body["models"]) == ("laptop", ["a"])
    assert (body["metadata"], body["user_id"]) == ({"c": 3}, "ann")


def test_null_clears(api):
    made = api.generate(
        key_alias="laptop", models=["a"], metadata={"a": 1}, user_id="ann", duration="1d", max_parallel_requests=1
    )
    names = ["key_alias", "models", "metadata", "user_id", "duration", "max_parallel_requests"]
    body = api.post("update", {"key": made["token"], **dict.fromkeys(names)}).json()
    assert [body[name] for name in names if name != "duration"] == [None, [], {}, None, None]
    assert body["expires"] is None


def test_null_clears_what_routes(api):
    made = issued(aliases={"a": "b"}, allowed_upstreams=["*"], priority=3, key_type="llm_api")
    names = ["aliases", "allowed_upstreams", "priority", "key_type"]
    body = api.post("update", {"key": made["token"], **dict.fromkeys(names)}).json()
    assert [body[name] for name in names] == [{}, [], 0, "default"]


def test_aliases_are_replaced_as_a_whole(api):
    made = issued(aliases={"a": "b", "c": "d"}, priority=3)
    body = api.post("update", {"key": made["token"], "aliases": {"e": "f"}}).json()
    assert (body["aliases"], body["priority"]) == ({"e": "f"}, 3)


def test_info_and_list_tell_what_routes(api):
    fields = {"aliases": {"a": "b"}, "allowed_upstreams": ["gpu-*"], "priority": 3, "key_type": "llm_api"}
    made = api.generate(**fields)
    info = api.get(f"info?key={made['key']}").json()["info"]
    (row,) = api.get("list?return_full_object=true").json()["keys"]
    assert fields.items() <= info.items()
    assert fields.items() <= row.items()


def test_an_alias_names_the_key_too(api):
    made = issued("laptop")
    body = api.post("update", {"key_alias": "laptop", "duration": "1h"}).json()
    assert (body["key"], body["key_alias"]) == (made["token"], "laptop")
    assert body["expires"]


def test_minus_one_means_never(api):
    made = api.generate(duration="1d")
    assert api.post("update", {"key": made["key"], "duration": "-1"}).json()["expires"] is None


@pytest.mark.parametrize("body", [{}, {"models": []}, {"key": None, "key_alias": ""}])
def test_an_update_of_no_key_is_422(api, body):
    assert api.post("update", body).status_code == 422


@pytest.mark.parametrize("body", [{"key": "sk-of-nobody-at-all"}, {"key_alias": "nobody"}])
def test_an_update_of_an_unknown_key_is_404(api, body):
    assert error(api.post("update", body)) == (404, "not_found_error")


def test_an_update_cannot_take_the_name_of_another_key(api):
    issued("a")
    made = issued("b")
    assert error(api.post("update", {"key": made["key"], "key_alias": "a"})) == (400, "bad_request_error")
    assert api.post("update", {"key": made["key"], "key_alias": "b"}).status_code == 200


def test_the_history_names_the_changed_columns(api):
    made = issued()
    api.post("update", {"key": made["key"], "models": ["a"], "duration": None})
    assert "Changed expires_at, models through" in LogEntry.objects.latest("pk").change_message


# --- Block, unblock


def test_a_key_is_blocked_and_unblocked_by_its_name(api):
    made = issued("laptop")
    issued("other")
    assert api.post("block", {"key_alias": "laptop"}).json()["blocked"] is True
    assert list(VirtualKey.objects.filter(blocked=True).values_list("name", flat=True)) == ["laptop"]
    assert api.post("unblock", {"key_alias": "laptop"}).json()["blocked"] is False
    assert api.get("info", key=made["key"]).status_code == 200
    assert api.post("block", {"key_alias": "nobody"}).status_code == 404
    assert api.post("block", {"key_alias": ""}).status_code == 400


def test_block_and_unblock_work(api):
    made = issued()
    assert api.post("block", {"key": made["token"]}).json()["blocked"] is True
    assert error(api.get("info", key=made["key"])) == (401, "auth_error")
    assert api.post("unblock", {"key": made["key"]}).json()["blocked"] is False
    assert api.get("info", key=made["key"]).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 422), ({"key": ""}, 400), ({"key": None}, 400), ({"key": "x"}, 400), ({"key": "sk-of-nobody"}, 404)],
)
@pytest.mark.parametrize("path", ["block", "unblock"])
def test_what_is_no_key_cannot_be_blocked(api, path, body, status):
    assert api.post(path, body).status_code == status


# --- Delete


def test_delete_works(api):
    one, two, three = (issued(name) for name in "abc")
    answer = api.post("delete", {"keys": [one["key"], two["token"], "sk-of-nobody-at-all"]})
    assert answer.json() == {"deleted_keys": [one["key"], two["token"], "sk-of-nobody-at-all"]}
    assert VirtualKey.objects.get().name == "c"
    assert api.post("delete", {"key_aliases": ["c"]}).json() == {"deleted_keys": ["c"]}
    assert error(api.get(f"info?key={three['key']}")) == (404, "not_found_error")
    assert LogEntry.objects.filter(change_message__startswith="Deleted").count() == 3


@pytest.mark.parametrize(
    ("body", "status"), [({}, 422), ({"keys": []}, 422), ({"keys": ["sk-of-nobody"]}, 404), ({"keys": "sk-"}, 400)]
)
def test_a_delete_of_nothing_is_refused(api, body, status):
    assert api.post("delete", body).status_code == status


# --- Update: limits


def test_limits_are_changed_one_by_one(api):
    made = issued(rpm_limit=5, max_budget=1, budget_duration="1d", model_rpm_limit={"m": 1})
    body = api.post("update", {"key": made["token"], "max_budget": 2.5, "shadow_limits": ["rpm_limit"]}).json()
    assert (body["rpm_limit"], body["max_budget"], body["budget_duration"]) == (5, 2.5, "1d")
    assert (body["model_rpm_limit"], body["shadow_limits"]) == ({"m": 1}, ["rpm_limit"])


LIMITS = {
    "rpm_limit": 5,
    "tpm_limit": 5,
    "model_rpm_limit": {"m": 1},
    "model_tpm_limit": {"m": 1},
    "max_budget": 1,
    "budget_duration": "1d",
    "budget_limits": [{"max_budget": 1}],
    "model_max_budget": {"m": {"budget_limit": 1}},
    "soft_budget": 1,
    "token_budget": 1,
    "token_budget_duration": "1d",
    "shadow_limits": ["rpm_limit"],
    "team_id": "red",
    "allowed_routes": ["/v1/*"],
    "allowed_ips": ["::1"],
    "tags": ["a"],
}


def test_null_clears_every_limit(api):
    made = api.generate(**LIMITS)
    nothing = api.generate()
    body = api.post("update", {"key": made["token"], **dict.fromkeys(LIMITS)}).json()
    assert {name: body[name] for name in LIMITS} == {name: nothing[name] for name in LIMITS}


def test_tags_are_kept_in_the_metadata(api):
    made = api.generate(metadata={"n": 1, "tags": ["a"]})
    assert made["tags"] == ["a"]
    body = api.post("update", {"key": made["token"], "tags": ["b"]}).json()
    assert (body["tags"], body["metadata"]) == (["b"], {"n": 1, "tags": ["b"]})
    body = api.post("update", {"key": made["token"], "tags": []}).json()
    assert (body["tags"], body["metadata"]) == (None, {"n": 1})


def test_a_limit_inside_the_metadata_is_a_limit_and_survives_other_metadata(api):
    made = api.generate(metadata={"n": 1, "model_rpm_limit": {"m": 5}})
    assert made["model_rpm_limit"] == made["metadata"]["model_rpm_limit"] == {"m": 5}
    row = VirtualKey.objects.get()
    assert (row.model_rpm_limit, row.metadata) == ({"m": 5}, {"n": 1})
    body = api.post("update", {"key": made["token"], "metadata": {"n": 2}}).json()
    assert (body["model_rpm_limit"], body["metadata"]["n"]) == ({"m": 5}, 2)
    body = api.post("update", {"key": made["token"], "metadata": {"model_rpm_limit": None}}).json()
    assert (body["model_rpm_limit"], body["metadata"]) == (None, {})


def test_what_stands_outside_the_metadata_wins(api):
    made = api.generate(model_tpm_limit={"m": 7}, metadata={"model_tpm_limit": {"m": 5}})
    assert made["model_tpm_limit"] == made["metadata"]["model_tpm_limit"] == {"m": 7}


def test_budgets_may_be_written_in_either_spelling(api):
    made = api.generate(
        model_max_budget={"m": {"max_budget": 5, "budget_duration": "1d"}},
        budget_limits=[{"max_budget": 1, "budget_duration": "1h", "reset_at": "2026-11-21T00:00:00Z"}],
    )
    assert made["model_max_budget"] == {"m": {"budget_limit": 5, "time_period": "1d"}}
    assert made["budget_limits"] == [{"max_budget": 1, "budget_duration": "1h"}]


def test_the_history_tells_limits_from_what_to_what_and_nothing_else(api):
    made = api.generate(max_budget=1.5, metadata={"hush": "hush"})
    api.post("update", {"key": made["token"], "max_budget": 20, "rpm_limit": 5, "metadata": {"hush": "quiet"}})
    message = LogEntry.objects.latest("pk").change_message
    assert "Changed metadata, rpm_limit (null → 5), max_budget (1.5 → 20) through" in message
    assert "hush" not in message
    assert "quiet" not in message


# --- Bulk update


def test_a_bulk_update_does_what_it_can(api):
    one, two = issued("one"), issued("two")
    items = [
        {"key": one["key"], "max_budget": 5, "tags": ["a"]},
        {"key": "sk-of-nobody-at-all", "max_budget": 5},
        {"key": two["token"], "max_budget": -5},
        {"key": two["token"], "key_alias": "one"},
        {"max_budget": 5},
        "two",
    ]
    body = api.post("bulk_update", {"keys": items}).json()
    assert body["total_requested"] == 6
    (done,) = body["successful_updates"]
    assert (done["key"], done["key_info"]["max_budget"], done["key_info"]["tags"]) == (one["key"], 5.0, ["a"])
    reasons = [failed["failed_reason"] for failed in body["failed_updates"]]
    assert reasons[0] == "Key not found."
    assert [reason.split(":")[0] for reason in reasons[1:]] == [
        "max_budget",
        "Key with alias 'one' already exists. Unique key aliases across all keys are required.",
        "key",
        "Each of the keys must be a JSON object.",
    ]
    assert [failed["key_info"] for failed in body["failed_updates"]] == [None] * 5
    assert VirtualKey.objects.get(name="two").max_budget is None


@pytest.mark.parametrize(
    ("body", "status"), [({}, 422), ({"keys": []}, 400), ({"keys": "sk-"}, 400), ({"keys": [{}] * 501}, 400)]
)
def test_a_bulk_update_of_none_or_too_many_is_refused(api, body, status):
    assert api.post("bulk_update", body).status_code == status


# --- Service accounts


def test_a_service_account_belongs_to_a_team(api):
    Team.objects.create(team_id="red")
    body = api.post("service-account/generate", {"team_id": "red", "key_alias": "ci", "metadata": {"n": 1}}).json()
    assert (body["team_id"], body["user_id"]) == ("red", None)
    assert body["metadata"] == {"n": 1, "service_account_id": "ci"}
    assert body["key"].startswith("sk-")
    nameless = api.post("service-account/generate", {"team_id": "red"}).json()
    assert len(nameless["metadata"]["service_account_id"]) == 36


@pytest.mark.parametrize("fields", [{}, {"team_id": None}, {"team_id": "blue"}, {"team_id": "red", "user_id": "ann"}])
def test_a_service_account_needs_a_team_and_no_owner(api, fields):
    Team.objects.create(team_id="red")
    assert error(api.post("service-account/generate", fields)) == (400, "invalid_request_error")


# --- Several infos


def test_several_infos_at_once(api):
    one, two = api.generate(key_alias="one", spend=2), issued("two")
    issued("three")
    body = api.post("/v2/key/info", {"keys": [one["key"], "sk-of-nobody-at-all"], "key_aliases": ["two"]}).json()
    assert body["key"] == [one["key"], "sk-of-nobody-at-all"]
    assert [(info["key_alias"], info["spend"]) for info in body["info"]] == [("one", 2.0), ("two", 0.0)]
    assert one["token"] not in str(body["info"])
    assert two["token"] not in str(body["info"])


def test_several_infos_cost_the_same_queries_however_many(api, django_assert_max_num_queries):
    keys = [issued()["token"] for _ in range(5)]
    with django_assert_max_num_queries(3):
        assert len(api.post("/v2/key/info", {"keys": keys}).json()["info"]) == 5


def test_of_several_infos_a_virtual_key_sees_its_own(api):
    mine, other = issued(), issued()
    body = api.post("/v2/key/info", {"keys": [other["token"], mine["token"]]}, key=mine["key"]).json()
    assert [info["key_name"] for info in body["info"]] == [mine["key_name"]]
    assert api.post("/v2/key/info", {"keys": [other["key"]]}, key=mine["key"]).json()["info"] == []


def test_infos_of_nothing_are_422(api):
    assert api.post("/v2/key/info", {}).status_code == 422


# --- Health


def test_a_usable_key_is_healthy(api):
    made = issued()
    assert api.post("health", key=made["key"]).json() == {"key": "healthy", "logging_callbacks": None}
    assert api.post("health").status_code == 200
    api.post("block", {"key": made["token"]})
    assert error(api.post("health", key=made["key"])) == (401, "auth_error")
