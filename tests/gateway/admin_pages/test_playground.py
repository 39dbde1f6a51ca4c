from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from gateway.admin_pages.playground_keys import MINUTES, MOST_AT_ONCE
from keys.models import Team, VirtualKey
from tests.support.people import signed_in
from upstreams.models import UNHEALTHY, Deployment, Upstream

pytestmark = pytest.mark.django_db
URL = "/admin/playground/"
KEY_URL = "/admin/playground/key/"
PERMISSION = "gateway.use_playground"


def a_model(alias: str) -> None:
    upstream = Upstream(name=f"gpu-{alias}", url=f"http://127.0.0.1:1/{alias}")
    upstream.save()
    Deployment.objects.create(upstream=upstream, alias=alias)


def test_it_offers_the_models_that_chat() -> None:
    a_model("qwen-7b")
    a_model("qwen-embedding")
    a_model("bge-reranker")
    page = signed_in().get(URL).content.decode()
    assert '<option value="qwen-7b">' in page
    assert "qwen-embedding" not in page
    assert "bge-reranker" not in page


def test_it_proposes_a_model_that_an_upstream_answers_for() -> None:
    a_model("a-model")
    a_model("qwen-7b")
    Upstream.objects.filter(name="gpu-a-model").update(health=UNHEALTHY)
    assert signed_in().get(URL).context["models"] == ["qwen-7b", "a-model"]


def test_without_an_upstream_it_says_what_to_do() -> None:
    assert "Add an upstream" in signed_in().get(URL).content.decode()


def test_the_page_holds_no_key_and_obeys_the_policy() -> None:
    VirtualKey.objects.issue(name="somebody's")
    response = signed_in().get(URL)
    assert "no-store" in response["Cache-Control"]
    assert "unsafe" not in response["Content-Security-Policy"]
    page = response.content.decode()
    assert "sk-vgw-" not in page
    assert "style=" not in page


def test_errors_of_the_gateway_and_of_vllm_are_explained() -> None:
    page = signed_in().get(URL).content.decode()
    causes = json.loads(page.split('<script id="play-causes" type="application/json">')[1].split("</script>")[0])
    assert causes["token_not_found_in_db"]["who"] == "the caller"
    assert {"key_model_access_denied", "400", "500"} <= causes.keys()


def test_a_key_is_made_that_can_do_little() -> None:
    response = signed_in().post(KEY_URL)
    told = response.json()
    assert "no-store" in response["Cache-Control"]
    key = VirtualKey.objects.with_secret(told["secret"]).get()
    assert key.name == told["name"]
    assert key.name.startswith("playground of ada ")
    assert key.expires_at is not None
    assert timedelta(0) < key.expires_at - timezone.now() <= timedelta(minutes=MINUTES)
    assert (key.endpoint_classes, key.rpm_limit, key.max_parallel_requests, key.max_budget) == (["inference"], 30, 2, 1)
    assert (key.created_by, key.metadata) == ("ada", {"tags": ["playground"]})
    assert LogEntry.objects.get().get_change_message().startswith("Made for the playground")


def test_keys_whose_time_is_over_are_cleared_away() -> None:
    client = signed_in()
    client.post(KEY_URL)
    VirtualKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    client.post(KEY_URL)
    assert VirtualKey.objects.count() == 1
    assert LogEntry.objects.count() == 3


def test_nobody_has_many_at_once() -> None:
    client = signed_in()
    for _ in range(MOST_AT_ONCE):
        assert client.post(KEY_URL).status_code == 200
    response = client.post(KEY_URL)
    assert response.status_code == 403
    assert "5 keys for the playground already" in response.json()["error"]
    assert signed_in(name="bob").post(KEY_URL).status_code == 200


def test_a_key_can_be_a_teams() -> None:
    Team.objects.create(team_id="a")
    told = signed_in().post(KEY_URL, {"team": "a"}).json()
    assert VirtualKey.objects.get(name=told["name"]).team_id == "a"


@pytest.mark.parametrize(
    ("team", "said"), [("", "Choose one of the teams"), ("b", "Choose one of the teams"), ("x", "Choose one")]
)
def test_who_manages_a_team_makes_keys_of_that_alone(team: str, said: str) -> None:
    for ident in ("a", "b"):
        Team.objects.create(team_id=ident, alias=f"Team {ident}")
    client = signed_in(PERMISSION, teams=["a"])
    response = client.post(KEY_URL, {"team": team})
    assert response.status_code == 403
    assert said in response.json()["error"]
    assert client.post(KEY_URL, {"team": "a"}).status_code == 200
    page = client.get(URL).content.decode()
    assert "Team a" in page
    assert "Team b" not in page


@pytest.mark.parametrize(("teams", "is_made"), [(["red"], True), ([], False)])
def test_who_manages_no_team_pastes_a_key(teams: list[str], is_made: bool) -> None:
    Team(team_id="red").save()
    page = signed_in(PERMISSION, teams=teams).get(URL).content.decode()
    assert ('value="made" checked' in page) is is_made
    assert ('value="pasted" checked' in page) is not is_made


def test_a_team_that_is_none_is_refused() -> None:
    assert signed_in().post(KEY_URL, {"team": "nobody"}).json()["error"] == "There is no such team."


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("url", [URL, KEY_URL])
def test_it_needs_its_permission(url: str, method: str) -> None:
    client = signed_in("keys.view_virtualkey", "keys.add_virtualkey")
    assert getattr(client, method)(url).status_code == 403
    assert not VirtualKey.objects.exists()


def test_a_key_is_not_made_by_a_link_or_another_site() -> None:
    client = signed_in()
    assert client.get(KEY_URL)["Location"] == URL
    assert client.put(KEY_URL).status_code == 405
    strict: Any = Client(enforce_csrf_checks=True)
    strict.cookies = client.cookies
    assert strict.post(KEY_URL).status_code == 403
    assert not VirtualKey.objects.exists()


def test_its_keys_are_in_the_list_of_keys_for_who_asks_for_them() -> None:
    client = signed_in()
    client.post(KEY_URL)
    VirtualKey.objects.issue(name="docs bot")

    def listed(**query: str) -> list[str]:
        found = client.get("/admin/keys/virtualkey/", query).context["cl"].result_list
        return sorted(key.name.partition(" ")[0] for key in found)

    assert listed() == ["docs"]
    assert listed(playground="with") == ["docs", "playground"]
    assert listed(playground="only") == ["playground"]
