"""Tests of management keys: what they may do in the key API, what is for the master key, and the history of both."""

import pytest
from django.contrib.admin.models import LogEntry

from keys.models import VirtualKey
from tests.keys.conftest import issued

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.keys.urls")]

WRITES = ["update", "block", "unblock", "regenerate", "{token}/regenerate", "{token}/reset_spend", "delete"]


def error(answer):
    return answer.status_code, answer.json()["error"]["type"]


@pytest.fixture
def manager():
    return issued("ci", key_type="management")


def post(api, path, made, **options):
    """One of WRITES on this key."""
    body = {"keys": [made["token"]]} if path == "delete" else {"key": made["token"]}
    if "{" in path:
        body = {"reset_to": 0} if "spend" in path else {}
    return api.post(path.format(**made), body, **options)


def test_it_works(api, manager):
    answer = api.post("generate", {"key_alias": "laptop", "models": ["m"]}, key=manager["key"])
    assert answer.status_code == 200
    assert answer.json()["created_by"] == "management key ci"
    assert api.get("info", key=answer.json()["key"]).status_code == 200


@pytest.mark.parametrize("path", WRITES)
def test_it_writes_ordinary_keys(api, manager, path):
    made = issued("laptop")
    assert post(api, path, made, key=manager["key"]).status_code == 200


def test_it_sees_ordinary_keys(api, manager):
    made = issued("laptop")
    assert api.get(f"info?key={made['token']}", key=manager["key"]).json()["info"]["key_alias"] == "laptop"
    assert api.get("list", key=manager["key"]).json()["keys"] == [made["token"]]


def test_it_makes_no_key_of_its_kind(api, manager):
    answer = api.post("generate", {"key_type": "management"}, key=manager["key"])
    assert error(answer) == (403, "management_key_access_denied")
    assert VirtualKey.objects.count() == 1


def test_it_lifts_no_key_to_its_kind(api, manager):
    made = issued()
    answer = api.post("update", {"key": made["token"], "key_type": "management"}, key=manager["key"])
    assert error(answer) == (403, "management_key_access_denied")
    assert not VirtualKey.objects.filter(key_type="management").exclude(name="ci").exists()


@pytest.mark.parametrize("path", WRITES)
@pytest.mark.parametrize("whose", ["its own", "another"])
def test_it_writes_no_key_of_its_kind(api, manager, path, whose):
    made = manager if whose == "its own" else issued("other", key_type="management")
    before = list(VirtualKey.objects.values())
    assert error(post(api, path, made, key=manager["key"])) == (403, "management_key_access_denied")
    assert list(VirtualKey.objects.values()) == before


def test_a_bulk_update_passes_it_over(api, manager):
    made = issued()
    keys = [{"key": key["token"], "rpm_limit": 1} for key in (made, manager)]
    body = api.post("bulk_update", {"keys": keys}, key=manager["key"]).json()
    assert [one["key"] for one in body["successful_updates"]] == [made["token"]]
    assert "Only the master key" in body["failed_updates"][0]["failed_reason"]


def test_several_infos_leave_the_others_of_its_kind_out(api, manager):
    made, other = issued(), issued(key_type="management")
    keys = [made["token"], other["token"], manager["token"]]
    body = api.post("/v2/key/info", {"keys": keys}, key=manager["key"]).json()
    assert [info["key_name"] for info in body["info"]] == [manager["key_name"], made["key_name"]]
    assert api.get("aliases", key=manager["key"]).json()["aliases"] == []


def test_a_name_is_no_way_around(api, manager):
    issued("other", key_type="management")
    for path, body in (
        ("update", {"key_alias": "other", "key_type": "default"}),
        ("delete", {"key_aliases": ["other"]}),
    ):
        assert error(api.post(path, body, key=manager["key"])) == (403, "management_key_access_denied")


def test_one_management_key_among_many_stops_a_delete(api, manager):
    made = issued()
    answer = api.post("delete", {"keys": [made["token"], manager["token"]]}, key=manager["key"])
    assert answer.status_code == 403
    assert VirtualKey.objects.count() == 2


def test_it_sees_no_other_key_of_its_kind(api, manager):
    other = issued("other", key_type="management")
    assert error(api.get(f"info?key={other['token']}", key=manager["key"])) == (403, "management_key_access_denied")
    for query in ("", "?key_alias=other", f"?key_hash={other['token']}", "?return_full_object=true"):
        assert api.get(f"list{query}", key=manager["key"]).json()["keys"] == []


@pytest.mark.parametrize("query", ["", "?key={token}", "?key={key}"])
def test_it_sees_itself(api, manager, query):
    info = api.get("info" + query.format(**manager), key=manager["key"]).json()["info"]
    assert (info["key_alias"], info["key_type"]) == ("ci", "management")


def test_the_master_key_manages_management_keys(api, manager):
    assert api.get("list").json()["keys"] == [manager["token"]]
    assert api.get(f"info?key={manager['token']}").status_code == 200
    for path in WRITES:
        manager["token"] = api.get("list").json()["keys"][0]  # a rotation gave it another one
        assert post(api, path, manager).status_code == 200


@pytest.mark.parametrize("key_type", ["default", "llm_api"])
def test_keys_for_calls_manage_nothing(api, key_type):
    key = issued(key_type=key_type)["key"]
    assert error(api.post("generate", {}, key=key)) == (401, "auth_error")
    assert error(api.get("list", key=key)) == (401, "auth_error")
    assert api.get("info", key=key).status_code == 200


def test_a_blocked_one_manages_nothing(api, manager):
    api.post("block", {"key": manager["token"]})
    assert error(api.get("list", key=manager["key"])) == (401, "auth_error")


def test_it_calls_nothing_whatever_is_asked(api):
    made = api.generate(key_type="management", endpoint_classes=["inference", "server_control"])
    assert made["endpoint_classes"] == []


def test_a_key_that_is_for_calls_again_has_its_classes_again(api):
    made = api.generate(key_type="management", endpoint_classes=["inference"])
    body = api.post("update", {"key": made["token"], "key_type": None}).json()
    assert (body["key_type"], body["endpoint_classes"]) == ("default", ["inference"])


def test_the_history_names_it(api, manager):
    api.post("generate", {}, key=manager["key"], **{"litellm-changed-by": "ann"})
    entry = LogEntry.objects.latest("pk")
    assert str(entry.user) == "management key"
    assert not entry.user.is_active
    assert entry.get_change_message() == "Issued through the key API by ci. litellm-changed-by: ann"


def test_one_without_a_name_is_known_by_its_masked_secret(api):
    nameless = issued(key_type="management")
    made = api.post("generate", {}, key=nameless["key"]).json()
    assert made["created_by"] == f"management key {nameless['key_name']}"
    assert nameless["key"] not in LogEntry.objects.latest("pk").change_message


def test_the_longest_name_fits(api):
    manager = issued("x" * 255, key_type="management")
    assert api.post("generate", {}, key=manager["key"]).status_code == 200
