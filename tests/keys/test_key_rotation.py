"""Tests of /key/regenerate and /key/{key}/regenerate."""

from datetime import timedelta

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from common.money import USD
from keys import crypto
from keys.models import Secret, VirtualKey
from keys.spending import start_with
from tests.keys.conftest import issued

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.keys.urls")]


def error(answer):
    return answer.status_code, answer.json()["error"]["type"]


@pytest.fixture
def made():
    made = issued("laptop", models=["m"], rpm_limit=5)
    start_with(VirtualKey.objects.get(), USD)
    return made


def test_a_key_is_named_by_its_alias(api, made):
    issued("other")
    body = api.post("regenerate", {"key_alias": "laptop", "rpm_limit": 6}).json()
    assert (body["key_alias"], body["rpm_limit"]) == ("laptop", 6)
    assert api.get("info", key=body["key"]).status_code == 200
    assert error(api.get("info", key=made["key"])) == (401, "token_not_found_in_db")
    assert api.post("regenerate", {"key_alias": "nobody"}).status_code == 404


@pytest.mark.parametrize(
    ("path", "named"),
    [("regenerate", "key"), ("regenerate", "token"), ("{key}/regenerate", None), ("{token}/regenerate", None)],
)
def test_it_works(api, made, path, named):
    answer = api.post(path.format(**made), {"key": made[named]} if named else {})
    body = answer.json()
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert body["key"] != made["key"]
    assert body["token"] == body["token_id"] == crypto.digest(body["key"])
    assert body["key_name"] == crypto.redact(body["key"])
    assert [body[name] for name in ("key_alias", "models", "rpm_limit", "spend")] == ["laptop", ["m"], 5, 1.0]
    assert api.get("info", key=body["key"]).status_code == 200
    assert error(api.get("info", key=made["key"])) == (401, "token_not_found_in_db")


def test_an_empty_body_will_do(api, made):
    assert api.post(f"{made['token']}/regenerate").status_code == 200


def test_the_old_secret_works_through_the_grace_period(api, made):
    new = api.post("regenerate", {"key": made["key"], "grace_period": "2h"}).json()["key"]
    for key in (made["key"], new):
        assert api.get("info", key=key).json()["info"]["key_name"] == crypto.redact(new)
    with time_machine.travel(timezone.now() + timedelta(hours=2, seconds=1)):
        assert error(api.get("info", key=made["key"])) == (401, "expired_key")
        assert api.get("info", key=new).status_code == 200


@pytest.mark.parametrize("grace", [None, "", "0", "0s", "00h"])
def test_no_grace_at_all(api, made, grace):
    api.post("regenerate", {"key": made["key"], "grace_period": grace})
    assert Secret.objects.count() == 1


@pytest.mark.parametrize("grace", ["-1", "-1h", "soon", "30", 5, ["1h"]])
def test_a_malformed_grace_period_is_refused(api, made, grace):
    answer = api.post("regenerate", {"key": made["key"], "grace_period": grace})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "grace_period")
    assert api.get("info", key=made["key"]).status_code == 200


def test_an_own_secret_is_taken(api, made):
    body = api.post("regenerate", {"key": made["key"], "new_key": "sk-brought-along-1"}).json()
    assert body["key"] == "sk-brought-along-1"
    assert api.get("info", key="sk-brought-along-1").status_code == 200


@pytest.mark.parametrize(("new_key", "status"), [("hunter2", 400), ("sk-short", 400), ("{other}", 409), ("{key}", 409)])
def test_an_own_secret_that_cannot_be_is_refused(api, made, new_key, status):
    other = issued()["key"]
    answer = api.post("regenerate", {"key": made["key"], "new_key": new_key.format(other=other, **made)})
    assert answer.status_code == status
    assert api.get("info", key=made["key"]).status_code == 200


def test_other_fields_are_changed_on_the_way(api, made):
    fields = {"rpm_limit": None, "max_budget": 5, "duration": "30d", "metadata": {"n": 1}, "key_alias": "tower"}
    body = api.post("regenerate", {"key": made["key"], **fields}).json()
    assert [body[name] for name in ("rpm_limit", "max_budget", "metadata", "key_alias")] == [
        None,
        5.0,
        {"n": 1},
        "tower",
    ]
    assert body["expires"]
    assert body["models"] == ["m"]


def test_a_secret_with_a_slash_can_stand_in_the_path(api):
    api.generate(key="sk-with/slashes/in-it")
    assert api.post("sk-with%2Fslashes/in-it/regenerate").status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("regenerate", {}, 422),
        ("regenerate", {"key": "sk-of-nobody-at-all"}, 404),
        ("sk-of-nobody-at-all/regenerate", {}, 404),
        ("regenerate", {"key": 5}, 400),
        ("regenerate", {"key": "sk-of-nobody-at-all", "new_master_key": "sk-1"}, 400),
        ("regenerate", {"key": "sk-of-nobody-at-all", "colour": "red"}, 400),
    ],
)
def test_what_is_refused(api, made, path, body, status):
    answer = api.post(path, body)
    assert answer.status_code == status
    assert "sk-of-nobody" not in answer.json()["error"]["message"]


def test_a_refused_change_leaves_the_old_secret(api, made):
    issued("tower")
    assert error(api.post("regenerate", {"key": made["key"], "key_alias": "tower"})) == (400, "bad_request_error")
    assert api.get("info", key=made["key"]).status_code == 200


def test_the_history_tells_it_without_secrets(api, made):
    body = api.post("regenerate", {"key": made["key"], "grace_period": "1h", "rpm_limit": 6}).json()
    entry = LogEntry.objects.latest("pk")
    assert entry.change_message.startswith("Rotated; old secrets work until 20")
    assert "Changed rpm_limit (5 → 6) through the key API" in entry.change_message
    assert entry.object_id == str(VirtualKey.objects.get().pk)
    for secret in (made["key"], made["token"], body["key"], body["token"]):
        assert secret not in entry.change_message + entry.object_repr
