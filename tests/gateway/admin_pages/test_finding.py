"""What the search of the frame finds: for whom, by what, and how often it asks the database."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from gateway.account.log_store import LogStore
from gateway.admin_pages import finding
from gateway.admin_pages.finding import LONGEST, MOST
from gateway.admin_pages.playground_keys import PLAYGROUND
from keys.models import EndUser, Owner, Team, VirtualKey
from people.models import TeamManager
from people.roles import AUDITOR, KEY_MANAGER, OPERATOR
from tests.support.entries import NOON, an_entry
from tests.support.people import browser_of, signed_in
from upstreams.models import Deployment, ModelAlias, Upstream

pytestmark = pytest.mark.django_db
FIND = "/admin/find/"
EVERY_KIND = ["Keys", "Teams", "Owners", "End users", "Upstreams", "Models"]
MOST_QUERIES = 24


def call(request_id: str, second: int = 0, **fields: Any) -> dict[str, Any]:
    entry = an_entry(at=NOON + second, request_id=request_id, **fields)
    LogStore().store([entry], pytest.fail)
    return entry


@pytest.fixture
def rows() -> None:
    """Something of each kind with "acme" in its name, of the teams red and blue and of none."""
    for team in ("red", "blue"):
        Team.objects.create(team_id=team, alias=f"acme {team}")
        VirtualKey.objects.issue(name=f"acme-{team}", team_id=team)
        call(f"acme-call-{team}", team_id=team, key_name=f"acme-{team}")
    Owner.objects.create(user_id="u1", alias="Ann of acme", email="ann@acme.example")
    EndUser.objects.create(end_user_id="acme-42")
    upstream = Upstream.objects.create(name="acme-gpu", url="http://127.0.0.1:9")
    Deployment.objects.create(upstream=upstream, alias="acme-chat")
    ModelAlias.objects.create(name="acme-fast", stands_for="acme-chat")


def somebody(role: str, *teams: str) -> Client:
    person = User.objects.create(username="bo", is_staff=True)
    person.groups.add(Group.objects.get(name=role))
    for team in teams:
        TeamManager.objects.create(user=person, team_id=team)
    return browser_of(person)


def found(client: Client, text: str) -> dict[str, list[str]]:
    """The names of each group, in their order."""
    answer = client.post(FIND, {"q": text})
    assert answer.status_code == 200
    return {group["name"]: [one["name"] for one in group["found"]] for group in answer.json()["groups"]}


def lines(client: Client, text: str) -> list[dict[str, str]]:
    return [one for group in client.post(FIND, {"q": text}).json()["groups"] for one in group["found"]]


# --- By what ----------------------------------------------------------------------------------------


def test_every_kind_is_found_by_its_name(rows: None) -> None:
    seen = found(signed_in(), "acme")
    assert list(seen) == EVERY_KIND
    assert seen["Models"] == ["acme-fast", "acme-chat"]
    assert seen["Keys"] == ["acme-blue", "acme-red"]


def test_every_line_leads_to_a_page(rows: None) -> None:
    client = signed_in()
    answers = [client.post(FIND, {"q": text}).json() for text in ("acme", "acme-call")]
    urls = [group["found"][0]["url"] for answer in answers for group in answer["groups"]]
    assert len(urls) == len(EVERY_KIND) + 1
    assert {client.get(url).status_code for url in urls} == {200}


def test_each_word_may_be_anywhere_in_any_case(rows: None) -> None:
    client = signed_in()
    assert found(client, "RED acm")["Keys"] == ["acme-red"]
    assert found(client, "acme.example") == {"Owners": ["Ann of acme"]}


def test_what_begins_so_goes_first() -> None:
    for name in ("prod", "prod-2", *(f"my-prod-{number}" for number in range(MOST))):
        VirtualKey.objects.issue(name=name)
    assert found(signed_in(), "prod")["Keys"] == ["prod", "prod-2", "my-prod-4", "my-prod-3", "my-prod-2"]


def test_a_key_is_found_by_its_last_four_characters_and_by_its_digest() -> None:
    key, plain = VirtualKey.objects.issue(name="wanted")
    for number in range(MOST):  # the names that hold the same characters
        VirtualKey.objects.issue(name=f"{plain[-4:]}-{number}")
    client = signed_in()
    assert found(client, plain[-4:])["Keys"][0] == "wanted"
    assert key.secret is not None
    assert found(client, key.secret.digest)["Keys"] == ["wanted"]


def test_a_key_without_a_name_is_found_by_its_last_four_characters() -> None:
    _, plain = VirtualKey.objects.issue()
    assert found(signed_in(), plain[-4:]) == {"Keys": [f"sk-...{plain[-4:]}"]}


def test_in_a_large_table_old_names_are_found_by_how_they_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "MOST_READ", 1)
    for name in ("old-acme", "acme-old", "new-acme"):
        VirtualKey.objects.issue(name=name, team_id="red")
    assert found(signed_in(), "acme")["Keys"] == ["acme-old", "new-acme"]
    of_team = somebody(KEY_MANAGER, "red")  # who sees few keys finds all of them
    assert found(of_team, "acme")["Keys"] == ["acme-old", "new-acme", "old-acme"]


def test_a_key_says_its_team_and_that_it_is_blocked() -> None:
    Team.objects.create(team_id="t-1", alias="Research")
    key, plain = VirtualKey.objects.issue(name="wanted", team_id="t-1", blocked=True)
    (line,) = lines(signed_in(), "wanted")
    assert line == {
        "name": "wanted",
        "detail": f"sk-...{plain[-4:]} · blocked · Research",
        "url": f"/admin/keys/virtualkey/{key.pk}/change/",
    }


def test_the_keys_of_the_playground_are_left_out() -> None:
    VirtualKey.objects.issue(name=f"{PLAYGROUND}ada-1")
    assert found(signed_in(), PLAYGROUND) == {}


def test_a_call_is_found_by_the_beginning_of_its_ids() -> None:
    call("chat-123456-a")
    entry = call("chat-123456-b", second=1)
    client = signed_in()
    assert found(client, "chat-123456") == {"Request logs": ["chat-123456-b", "chat-123456-a"]}
    assert found(client, entry["call_id"][:20]) == {"Request logs": ["chat-123456-b"]}
    assert found(client, "CHAT-123456") == found(client, "chat-") == {}


def test_a_call_says_what_it_was() -> None:
    call("chat-123456-a", key_name="dev", model="qwen")
    (line,) = lines(signed_in(), "chat-123456-a")
    assert line["detail"] == "qwen · dev · completed, 200"
    assert line["at"] == "2026-05-04T12:30:00.000+00:00"


# --- For whom ---------------------------------------------------------------------------------------


def test_an_operator_finds_everything(rows: None) -> None:
    assert list(found(somebody(OPERATOR), "acme")) == EVERY_KIND


def test_an_auditor_finds_everything(rows: None) -> None:
    assert list(found(somebody(AUDITOR), "acme")) == EVERY_KIND


def test_who_manages_a_team_finds_that_team_only(rows: None) -> None:
    VirtualKey.objects.issue(name="acme-manages", team_id="red", key_type="management")
    client = somebody(KEY_MANAGER, "red")
    assert found(client, "acme") == {"Keys": ["acme-red"], "Teams": ["acme red"]}
    assert found(client, "acme-call") == {"Request logs": ["acme-call-red"]}


def test_who_manages_a_team_finds_no_key_of_another_by_its_secret(rows: None) -> None:
    secret = VirtualKey.objects.get(name="acme-blue").secret
    assert secret is not None
    client = somebody(KEY_MANAGER, "red")
    assert [found(client, text) for text in (secret.last_four, secret.digest)] == [{}, {}]


def test_who_manages_no_team_finds_nothing(rows: None) -> None:
    client = somebody(KEY_MANAGER)
    assert found(client, "acme") == found(client, "acme-call") == {}


@pytest.mark.parametrize(
    ("permission", "kinds"),
    [
        ("keys.view_team", ["Teams"]),
        ("keys.change_virtualkey", ["Keys"]),
        ("upstreams.view_modelalias", ["Models"]),
        ("upstreams.view_upstream", ["Upstreams", "Models"]),
        ("gateway.use_playground", []),
    ],
)
def test_each_kind_needs_the_permission_of_its_list(rows: None, permission: str, kinds: list[str]) -> None:
    assert list(found(signed_in(permission), "acme")) == kinds


def test_calls_need_the_permission_of_the_log(rows: None) -> None:
    assert found(signed_in("gateway.view_requestlog"), "acme-call-red") == {"Request logs": ["acme-call-red"]}
    assert found(signed_in("keys.view_virtualkey", name="bo"), "acme-call-red") == {}


def test_a_stranger_is_sent_to_the_log_in_page(rows: None) -> None:
    answer = Client().post(FIND, {"q": "acme"})
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/admin/login/")


def test_another_site_cannot_ask() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create(username="ada", is_staff=True))
    assert client.post(FIND, {"q": "acme"}).status_code == 403


# --- How --------------------------------------------------------------------------------------------


def test_it_is_asked_for_in_a_body_and_kept_nowhere(rows: None) -> None:
    client = signed_in()
    assert client.get(FIND, {"q": "acme"}).headers["Location"] == "/admin/"
    assert "no-store" in client.post(FIND, {"q": "acme"}).headers["Cache-Control"]


@pytest.mark.parametrize(
    "text",
    ["sk-vgw-abcdefgh", " SK-1234567890abcdef", "Bearer x", "curl -H 'Authorization: Bearer sk-1234567890abcdef'"],
)
def test_what_looks_like_a_secret_is_not_looked_for(text: str) -> None:
    VirtualKey.objects.issue(name=text.strip())
    with CaptureQueriesContext(connection) as queries:
        answer = signed_in().post(FIND, {"q": text}).json()
    assert answer["groups"] == []
    assert "secret" in answer["note"]
    assert text not in json.dumps(answer)
    assert not [query for query in queries if "acme" in query["sql"] or "LIKE" in query["sql"]]


@pytest.mark.parametrize("text", ["", " ", "a", "\0", "\0\0a", "x" * (LONGEST + 1), "acme" * 100_000])
def test_what_names_nothing_finds_nothing(rows: None, text: str) -> None:
    assert found(signed_in(), text) == {}


@pytest.mark.parametrize(
    "text", ["100%", "%%", "__", "a_c", "\\\\", "'; --", "ac\0me", "🙂🙂", "acme " * 40, "é" * 200]
)
def test_signs_mean_themselves(rows: None, text: str) -> None:
    VirtualKey.objects.issue(name="100% of it")
    keys = found(signed_in(), text).get("Keys", [])
    wanted = {"100%": ["100% of it"], "ac\0me": ["acme-blue", "acme-red"], "acme " * 40: ["acme-red", "acme-blue"]}
    assert sorted(keys) == sorted(wanted.get(text, []))


def test_a_body_without_a_text_finds_nothing() -> None:
    assert signed_in().post(FIND, "{", content_type="application/json").json() == {"groups": []}


def test_the_number_of_queries_does_not_grow(rows: None) -> None:
    teams = [f"t{number}" for number in range(30)]
    for team in teams:
        Team.objects.create(team_id=team, alias=f"acme of {team}")
        VirtualKey.objects.issue(name=f"acme of {team}", team_id=team)
    browsers = [signed_in(), somebody(KEY_MANAGER, *teams)]
    counts = []
    for browser in browsers:
        for text in ("acme of", "acme", "acme-call-red", "nothing at all"):
            with CaptureQueriesContext(connection) as queries:
                browser.post(FIND, {"q": text})
            counts.append(len(queries))
    assert max(counts) <= MOST_QUERIES, counts


def test_a_popup_has_no_frame() -> None:
    client = signed_in()
    assert b"palette" in client.get("/admin/keys/team/add/").content
    popup = client.get("/admin/keys/team/add/", {"_popup": "1"}).content
    assert b"palette" not in popup
    assert b"side.js" not in popup
