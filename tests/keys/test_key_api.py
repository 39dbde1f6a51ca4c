"""Tests of the key API but for generate: info, update, delete, block, unblock, list, and who may call them."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db import OperationalError, connection
from django.utils import timezone

from keys import crypto
from keys.models import VirtualKey

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.keys.urls")]

WRITES = ["generate", "update", "delete", "block", "unblock"]


def error(answer):
    return answer.status_code, answer.json()["error"]["type"]


# --- Who may call


@pytest.mark.parametrize("path", WRITES)
def test_a_virtual_key_may_not_write(api, path):
    key = api.generate()["key"]
    answer = api.post(path, {}, key=key)
    assert error(answer) == (401, "auth_error")
    assert "Only proxy admin can be used" in answer.json()["error"]["message"]
    assert key not in answer.content.decode()


@pytest.mark.parametrize("path", [*WRITES, "list", "info"])
def test_nobody_comes_in_without_a_key(api, path):
    answer = api.post(path, {}, key=None) if path in WRITES else api.get(path, key=None)
    assert error(answer) == (401, "auth_error")


@pytest.mark.parametrize("path", ["generate", "info"])
def test_anonymous_callers_of_a_keyless_gateway_may_not_manage_keys(api, settings, path):
    settings.REQUIRE_KEYS = False
    answer = api.post(path, {}, key="anything") if path == "generate" else api.get(path, key="anything")
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
    made = api.generate(key_alias="laptop")
    by_secret, by_digest = api.get(f"info?key={made['key']}").json(), api.get(f"info?key={made['token']}").json()
    assert by_secret["info"] == by_digest["info"]
    assert (by_secret["key"], by_digest["key"]) == (made["key"], made["token"])
    assert by_secret["info"]["key_alias"] == "laptop"
    assert by_secret["info"]["status"] == "active"


def test_info_holds_neither_secret_nor_digest(api):
    made = api.generate()
    text = str(api.get(f"info?key={made['key']}").json()["info"])
    assert made["key"] not in text
    assert made["token"] not in text


@pytest.mark.parametrize("query", ["", "?key=", "?key=sk-of-nobody-at-all", "?key=%00", f"?key={'0' * 64}"])
def test_info_of_an_unknown_key_is_404(api, query):
    assert error(api.get(f"info{query}")) == (404, "not_found_error")


@pytest.mark.parametrize(
    ("fields", "status"), [({"blocked": True}, "revoked"), ({"expires_at": timezone.now()}, "expired")]
)
def test_info_tells_the_state(api, fields, status):
    _, secret = VirtualKey.objects.issue(**fields)
    assert api.get(f"info?key={secret}").json()["info"]["status"] == status


def test_a_virtual_key_reads_its_own_info(api):
    made = api.generate()
    for query in ("", f"?key={made['key']}", f"?key={made['token']}"):
        answer = api.get(f"info{query}", key=made["key"])
        assert answer.json()["info"]["key_name"] == made["key_name"]
    assert api.get("info", key=made["key"]).json()["key"] == made["token"]


def test_a_virtual_key_cannot_tell_whether_another_exists(api):
    mine, other = api.generate()["key"], api.generate()["key"]
    answers = [api.get(f"info?key={key}", key=mine) for key in (other, "sk-of-nobody-at-all")]
    assert error(answers[0]) == (403, "key_info_access_denied")
    assert answers[0].content == answers[1].content


# --- Update


def test_update_changes_what_is_named_and_keeps_the_rest(api):
    made = api.generate(key_alias="laptop", models=["a"], metadata={"a": 1, "b": 2})
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
    made = api.generate(aliases={"a": "b"}, allowed_upstreams=["*"], priority=3, key_type="llm_api")
    names = ["aliases", "allowed_upstreams", "priority", "key_type"]
    body = api.post("update", {"key": made["token"], **dict.fromkeys(names)}).json()
    assert [body[name] for name in names] == [{}, [], 0, "default"]


def test_aliases_are_replaced_as_a_whole(api):
    made = api.generate(aliases={"a": "b", "c": "d"}, priority=3)
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
    made = api.generate(key_alias="laptop")
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
    api.generate(key_alias="a")
    made = api.generate(key_alias="b")
    assert error(api.post("update", {"key": made["key"], "key_alias": "a"})) == (400, "bad_request_error")
    assert api.post("update", {"key": made["key"], "key_alias": "b"}).status_code == 200


def test_the_history_names_the_changed_columns(api):
    made = api.generate()
    api.post("update", {"key": made["key"], "models": ["a"], "duration": None})
    assert "Changed expires_at, models through" in LogEntry.objects.latest("pk").change_message


# --- Block, unblock


def test_block_and_unblock_work(api):
    made = api.generate()
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
    one, two, three = (api.generate(key_alias=name) for name in "abc")
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


# --- List


def test_list_shows_digests_newest_first(api):
    made = [api.generate() for _ in range(3)]
    body = api.get("list?size=2").json()
    assert body == {
        "keys": [made[2]["token"], made[1]["token"]],
        "total_count": 3,
        "current_page": 1,
        "total_pages": 2,
    }
    assert api.get("list?size=2&page=2").json()["keys"] == [made[0]["token"]]


def test_an_empty_list_has_no_page(api):
    assert api.get("list").json() == {"keys": [], "total_count": 0, "current_page": 1, "total_pages": 0}


def test_list_can_show_whole_rows(api):
    made = api.generate(key_alias="a")
    (row,) = api.get("list?return_full_object=true").json()["keys"]
    assert (row["token"], row["key_alias"]) == (made["token"], "a")
    assert "key" not in row


def test_a_page_costs_the_same_queries_however_many_keys(api, django_assert_max_num_queries):
    for _ in range(5):
        api.generate()
    with django_assert_max_num_queries(5):
        api.get("list?return_full_object=true")


def test_list_filters_and_sorts(api):
    ann, bob = api.generate(user_id="ann", key_alias="z"), api.generate(user_id="bob", key_alias="a")
    for query in ("user_id=ann", "key_alias=z", f"key_hash={ann['token']}"):
        assert api.get(f"list?{query}").json()["keys"] == [ann["token"]]
    sorted_by_name = api.get("list?sort_by=key_alias&sort_order=asc").json()["keys"]
    assert sorted_by_name == [bob["token"], ann["token"]]


def test_a_rotated_key_is_listed_once(api):
    made = api.generate()
    new = VirtualKey.objects.get().rotate(timedelta(hours=1))
    assert api.get("list").json()["keys"] == [crypto.digest(new)]
    assert api.get(f"list?key_hash={made['token']}").json()["total_count"] == 1


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("size=101", 422),
        ("page=0", 422),
        ("page=99999999999999999999", 422),
        ("page=x", 422),
        ("sort_by=version", 400),
        ("agent_id=t", 400),
        ("colour=red", 400),
        ("user_id=%00", 400),
        ("team_id=&include_team_keys=true&user_id=", 200),
    ],
)
def test_a_filter_is_applied_or_refused(api, query, status):
    assert api.get(f"list?{query}").status_code == status
