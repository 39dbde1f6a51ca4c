"""Tests of POST /key/generate."""

from datetime import datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from keys import crypto
from keys.models import VirtualKey

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.keys.urls")]

ALL_FIELDS = {
    "key_alias": "laptop",
    "duration": "30d",
    "models": ["my-model", "qwen-*"],
    "aliases": {"fast": "my-model"},
    "allowed_upstreams": ["gpu-1", "lab-*"],
    "priority": -5,
    "key_type": "llm_api",
    "user_id": "ann",
    "metadata": {"tags": ["a"], "n": 1},
    "key": "sk-brought-along-1",
    "blocked": True,
    "max_parallel_requests": 5,
    "endpoint_classes": ["inference", "server_control"],
    "team_id": "red",
    "allowed_routes": ["/vllm/*", "openai_routes"],
    "allowed_ips": ["10.0.0.0/8", "::1"],
    "tags": ["a"],
    "spend": 1.25,
    "rpm_limit": 60,
    "tpm_limit": 10_000,
    "model_rpm_limit": {"qwen-*": 6},
    "model_tpm_limit": {"qwen-*": 600},
    "max_budget": 10.5,
    "budget_duration": "1d",
    "budget_limits": [{"budget_duration": "1h", "max_budget": 2}],
    "model_max_budget": {"qwen-*": {"budget_limit": 5, "time_period": "1d"}},
    "soft_budget": 8.0,
    "token_budget": 1_000_000,
    "token_budget_duration": "30d",
    "shadow_limits": ["rpm_limit"],
}


def test_it_works(api):
    answer = api.post("generate", {})
    body = answer.json()
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert crypto.is_well_formed(body["key"])
    assert body["token"] == body["token_id"] == crypto.digest(body["key"])
    assert body["key_name"] == crypto.redact(body["key"])
    assert VirtualKey.objects.get().created_by == "master key"


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", ""])
@pytest.mark.parametrize("body", [b"", b"  ", b"{}"])
def test_an_empty_body_of_any_type_will_do(api, body, content_type):
    assert api.post("generate", body, content_type=content_type, accept="text/event-stream").status_code == 200


def test_every_field_is_kept(api):
    body = api.generate(**ALL_FIELDS)
    same = ALL_FIELDS.keys() - {"duration", "metadata"}
    assert {name: body[name] for name in same} == {name: ALL_FIELDS[name] for name in same}
    assert body["metadata"].items() >= ALL_FIELDS["metadata"].items()
    assert body["duration"] is None
    lifetime = datetime.fromisoformat(body["expires"]) - timezone.now()
    assert timedelta(days=29, hours=23) < lifetime <= timedelta(days=30)


@pytest.mark.parametrize(
    ("field", "empty"),
    [
        ("spend", 0.0),
        ("max_budget", None),
        ("models", []),
        ("team_id", None),
        ("config", {}),
        ("tags", None),
        ("model_rpm_limit", None),
        ("model_max_budget", {}),
        ("budget_limits", None),
        ("budget_duration", None),
        ("budget_reset_at", None),
        ("litellm_budget_table", None),
        ("organization_id", None),
    ],
)
def test_what_is_not_given_is_answered_as_empty(api, field, empty):
    assert api.generate()[field] == empty


def test_the_secret_is_asked_for_once_and_not_for_each_field(api):
    api.generate()
    with CaptureQueriesContext(connection) as captured:
        api.generate()
    asked = [query["sql"] for query in captured if 'FROM "keys_secret"' in query["sql"]]
    assert len(asked) == 2  # whether it is free, and what became of it


def test_null_means_the_default(api):
    body = api.generate(**dict.fromkeys(ALL_FIELDS))
    assert (body["models"], body["metadata"], body["blocked"], body["expires"]) == ([], {}, False, None)
    assert body["endpoint_classes"] == ["inference", "monitoring"]
    assert (body["aliases"], body["allowed_upstreams"]) == ({}, [])
    assert (body["priority"], body["key_type"]) == (0, "default")


@pytest.mark.parametrize("value", [None, [], {}, "", False])
def test_an_empty_field_without_effect_is_accepted(api, value):
    api.generate(tpd_limit=value, guardrails=value, spend=0)


@pytest.mark.parametrize(
    "field", [{"tpd_limit": 0}, {"budget_id": "b"}, {"guardrails": ["g"]}, {"key_type": "read_only"}]
)
def test_a_field_without_effect_is_refused_by_name(api, field):
    answer = api.post("generate", field)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == next(iter(field))


def test_a_lenient_key_api_ignores_what_it_does_not_know(api, settings):
    settings.LENIENT_KEY_API = True
    assert api.generate(max_bugdet=5)["max_budget"] is None
    assert api.get("list?colour=red").status_code == 200
    assert api.post("generate", {"tpd_limit": 5}).status_code == 400  # it knows that this would be no limit


@pytest.mark.parametrize("words", ["all-team-models", "all-proxy-models"])
def test_litellm_s_words_for_all_models_are_the_empty_list(api, words):
    assert api.generate(models=[words])["models"] == []


def test_an_unknown_field_is_refused_by_name(api):
    answer = api.post("generate", {"max_bugdet": 5})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "Unknown field: max_bugdet."


def test_a_name_that_is_taken_is_refused_in_litellms_words(api):
    api.generate(key_alias="a")
    error = api.post("generate", {"key_alias": "a"}).json()["error"]
    assert error == {
        "message": "Key with alias 'a' already exists. Unique key aliases across all keys are required.",
        "type": "bad_request_error",
        "param": "key_alias",
        "code": "400",
    }


def test_a_key_that_exists_is_a_conflict(api):
    api.generate(key="sk-brought-along-1")
    assert api.post("generate", {"key": "sk-brought-along-1"}).status_code == 409


def test_a_malformed_own_key_is_refused_without_echo(api):
    answer = api.post("generate", {"key": "hunter2-hunter2-hunter2"})
    assert answer.status_code == 400
    assert b"hunter2" not in answer.content


@pytest.mark.parametrize(
    "fields",
    [
        {"key_alias": 5},
        {"key_alias": "x" * 256},
        {"key_alias": "a\0b"},
        {"user_id": ["ann"]},
        {"duration": 30},
        {"duration": "30"},
        {"duration": "1d and more"},
        {"duration": "-1"},
        {"models": "m"},
        {"models": {"m": 1}},
        {"models": [1]},
        {"models": [""]},
        {"models": ["no-default-models"]},
        {"aliases": []},
        {"aliases": "fast"},
        {"aliases": {"": "m"}},
        {"aliases": {"fast": ""}},
        {"aliases": {"fast": 1}},
        {"aliases": {"fast": None}},
        {"aliases": {"fast": ["m"]}},
        {"aliases": {"x" * 256: "m"}},
        {"aliases": {"fast": "x" * 256}},
        {"aliases": {str(number): "m" for number in range(1001)}},
        {"aliases": {"a\0": "m"}},
        {"allowed_upstreams": "gpu-1"},
        {"allowed_upstreams": {}},
        {"allowed_upstreams": [""]},
        {"allowed_upstreams": [1]},
        {"allowed_upstreams": ["x" * 256]},
        {"allowed_upstreams": ["x"] * 1001},
        {"priority": 101},
        {"priority": -101},
        {"priority": "1"},
        {"priority": 1.0},
        {"priority": True},
        {"key_type": "admin"},
        {"key_type": ""},
        {"key_type": 5},
        {"metadata": []},
        {"metadata": {"tags": "a"}},
        {"metadata": {"a": "x" * 70_000}},
        {"metadata": {"a": {"b": "\0"}}},
        {"metadata": {"\0": 1}},
        {"key": 5},
        {"key": "sk-" + "x" * 600},
        {"metadata": {"model_rpm_limit": {"m": -1}}},
        {"metadata": {"model_tpm_limit": [1]}},
        {"blocked": "yes"},
        {"blocked": 1},
        {"team_id": "x" * 65},
        {"allowed_routes": ["vllm"]},
        {"allowed_routes": "/vllm/*"},
        {"allowed_ips": ["10.0.0.0/33"]},
        {"tags": "a"},
        {"tags": [1]},
        {"spend": -1},
        {"spend": "1"},
        {"rpm_limit": -1},
        {"rpm_limit": 1.5},
        {"tpm_limit": 10**10},
        {"model_rpm_limit": {"m": "1"}},
        {"model_tpm_limit": []},
        {"max_budget": -0.5},
        {"max_budget": "5"},
        {"max_budget": True},
        {"max_budget": 1e300},
        {"budget_duration": "30"},
        {"budget_duration": "soon"},
        {"budget_duration": 30},
        {"budget_duration": "0d"},
        {"budget_limits": {"max_budget": 1}},
        {"budget_limits": [{"budget_duration": "1h"}]},
        {"budget_limits": [{"budget_duration": "soon", "max_budget": 1}]},
        {"model_max_budget": {"m": 5}},
        {"model_max_budget": {"m": {"budget_limit": -1}}},
        {"model_max_budget": [5]},
        {"soft_budget": -1},
        {"token_budget": 0.5},
        {"token_budget": 10**19},
        {"token_budget_duration": "x"},
        {"shadow_limits": ["blocked"]},
        {"max_parallel_requests": "5"},
        {"max_parallel_requests": True},
        {"max_parallel_requests": 1.0},
        {"max_parallel_requests": -1},
        {"max_parallel_requests": 10**40},
        {"endpoint_classes": ["root"]},
        {"endpoint_classes": [[]]},
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_the_field(api, fields):
    answer = api.post("generate", fields)
    (name,) = fields
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == name
    assert "\n" not in answer.json()["error"]["message"]
    assert not VirtualKey.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"key_alias": "\\ud800"}',
        b'{"metadata": {"a": 1e999}}',
        b'{"metadata": {"a": NaN}}',
        b'{"metadata": ' + b"[" * 100_000,
        b'{"metadata": {"a": ' + b"[" * 100 + b"]" * 100 + b"}}",
        b'{"max_parallel_requests": ' + b"9" * 5_000 + b"}",
        b'{"\\ud800": 1}',
        b'{"\\u0000": 1}',
    ],
)
def test_a_body_that_cannot_be_understood_or_kept_is_refused(api, body):
    answer = api.post("generate", body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("field", [{}, {"metadata": {"a": [[1.5e300, 10**60, "ü\U0001f600"]]}}])
def test_odd_but_sound_metadata_is_kept(api, field):
    assert api.generate(**field)["metadata"] == field.get("metadata", {})


def test_a_huge_body_is_refused(api):
    assert api.post("generate", b"{" + b" " * 1_000_001).status_code == 413


def test_the_history_tells_who_and_never_the_secret(api):
    body = api.post("generate", {}, **{"litellm-changed-by": "ann"}).json()
    entry = LogEntry.objects.get()
    assert str(entry.user) == "master key"
    assert not entry.user.is_active
    assert entry.get_change_message() == "Issued through the key API. litellm-changed-by: ann"
    assert entry.object_id == str(VirtualKey.objects.get().pk)
    assert body["key"] not in entry.object_repr + entry.change_message


def test_a_failed_write_leaves_nothing(api):
    api.generate(key_alias="a")
    api.post("generate", {"key_alias": "a"})
    assert (VirtualKey.objects.count(), LogEntry.objects.count()) == (1, 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"budget_duration": "999999999w", "max_budget": 1},
        {"budget_limits": [{"max_budget": 1, "budget_duration": "9999999d"}]},
        {"model_max_budget": {"m": {"budget_limit": 1, "time_period": "99999999h"}}},
    ],
)
def test_a_budget_s_period_that_outlives_the_calendar_is_a_400(api, fields):
    response = api.post("generate", fields)
    assert response.status_code == 400
    assert not VirtualKey.objects.exists()


def test_a_name_of_the_playground_is_refused(api):
    made = api.generate(key_alias="laptop")
    for path, fields in (("generate", {}), ("update", {"key": made["key"]}), ("regenerate", {"key": made["key"]})):
        answer = api.post(path, {**fields, "key_alias": "playground of ada"})
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "key_alias"
    assert VirtualKey.objects.get().name == "laptop"
