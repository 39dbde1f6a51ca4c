"""The page of the policy check: what it is asked, what it says, and for whom it is."""

import html
import re

import pytest

from gateway.admin_pages.key_named import looks_like_secret
from gateway.admin_pages.policy_check import NAME_OR_ID
from gateway.rehearsal import looking
from keys.counters import MemoryCounters
from keys.models import EndUser, Team, VirtualKey
from tests.support.people import signed_in
from upstreams.models import Upstream

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def row(monkeypatch):
    counters = MemoryCounters()
    monkeypatch.setattr(looking, "ask_relay", counters.look)
    return Upstream.objects.create(name="one", url="http://one:8000", is_default=True, served_models=["tiny"])


def _ask(client=None, **asked):
    page = (client or signed_in()).get("/admin/policy-check/", {"route": "/v1/models", "method": "GET", **asked})
    return page, page.content.decode()


def test_an_empty_form_says_what_to_do():
    page = signed_in("gateway.use_policy_check").get("/admin/policy-check/")
    assert b"Choose a key and a route" in page.content


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_call_that_is_allowed(by):
    key, _ = VirtualKey.objects.issue(name="dev")
    page, text = _ask(key="dev" if by == "name" else str(key.pk), route="/vllm/v1/completions", method="POST")
    assert page.context["verdict"].allowed
    assert "Can take it: one" in text


@pytest.mark.parametrize("peer", ["", "127.0.0.1"])
def test_the_address_is_that_of_who_asks_and_not_the_relay_s(peer):
    VirtualKey.objects.issue(name="dev", allowed_ips=["192.0.2.0/24"])
    client = signed_in()
    client.defaults |= {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": "192.0.2.55"}
    page, text = _ask(client, key="dev", route="/vllm/v1/completions", method="POST", model="tiny")
    assert page.context["form"].fields["address"].initial == "192.0.2.55"
    assert page.context["verdict"].allowed
    assert "192.0.2.55 is in one of the key&#x27;s networks" in text


@pytest.mark.parametrize("model", ["tiny", ""])
def test_a_call_that_nobody_could_answer_is_allowed_with_a_doubt(row, model):
    Upstream.objects.filter(pk=row.pk).update_quietly(health="unhealthy", health_text="The connection is refused.")
    VirtualKey.objects.issue(name="dev")
    _, text = _ask(key="dev", route="/vllm/v1/completions", method="POST", model=model)
    assert 'badge-warning" title="">Allowed</span> But nobody could answer now: one is unhealthy' in text
    assert "one is unhealthy: The connection is refused." in text


def test_a_refusal_shows_its_rule_and_the_caller_s_answer():
    VirtualKey.objects.issue(name="dev", models=["other"])
    page, text = _ask(key="dev", route="/v1/chat/completions", method="POST", model="tiny")
    assert (page.context["verdict"].refused_by, page.context["verdict"].status) == ("Model", 403)
    assert "key_model_access_denied" in text


def test_a_secret_is_refused_and_never_repeated():
    _, secret = VirtualKey.objects.issue(name="dev")
    page, text = _ask(key=secret)
    assert "This looks like a secret" in text
    assert secret not in text
    assert page.context["verdict"] is None


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"key": "nobody"}, "There is no key with this name or id that you may see."),
        ({"key": "9" * 30}, "There is no key with this name or id that you may see."),
        ({"route": "/admin/"}, "At this address there are no calls"),
        ({"route": "v1/models"}, "A route begins with a slash"),
        ({"address": "home"}, "This is no IP address."),
    ],
)
def test_nonsense_gets_a_sentence(asked, sentence):
    VirtualKey.objects.issue(name="dev")
    assert sentence in _ask(**{"key": "dev", **asked})[1]


@pytest.mark.parametrize(
    ("text", "is_fit"),
    [("dev", True), ("12", True), ("task-sk-1", True), ("sk-abc", False), (" SK-abc", False), ("bearer sk-abc", False)],
)
def test_a_browser_sends_no_secret_in_an_address(text, is_fit):
    assert (re.fullmatch(NAME_OR_ID, text) is not None) is is_fit
    assert looks_like_secret(text) is not is_fit
    assert f'pattern="{NAME_OR_ID}"' in html.unescape(signed_in().get("/admin/policy-check/").content.decode())


def test_what_an_end_user_spends_is_for_who_sees_every_team():
    VirtualKey.objects.issue(name="dev", team_id="red")
    EndUser.objects.create(end_user_id="guest-7", rpm_limit=7)
    asked = {"key": "dev", "route": "/v1/chat/completions", "method": "POST", "model": "tiny", "end_user": "guest-7"}

    _, of_all = _ask(signed_in("gateway.use_policy_check", name="eve"), **asked)
    page, of_red = _ask(signed_in("gateway.use_policy_check", teams=["red"]), **asked)

    assert "end user guest-7): 0 of 7 in use" in of_all
    assert page.context["verdict"].allowed
    assert "guest-7" not in of_red


def test_a_key_without_a_secret_is_nobody_s():
    key, _ = VirtualKey.objects.issue(name="dev")
    key.secrets.all().delete()
    assert "This key has no secret" in _ask(key="dev")[1]


def test_keys_of_other_teams_are_not_there():
    for team_id in ("crew", "other"):
        Team.objects.create(team_id=team_id)
    VirtualKey.objects.issue(name="theirs", team_id="crew")
    page, text = _ask(signed_in("gateway.use_policy_check", teams=["other"]), key="theirs")
    assert "There is no key with this name or id that you may see." in text
    assert page.context["known_keys"] == []


def test_keys_that_manage_are_not_there_for_who_manages_a_team():
    VirtualKey.objects.issue(name="theirs", team_id="crew", key_type="management")
    VirtualKey.objects.issue(name="ours", team_id="crew")
    page, text = _ask(signed_in("gateway.use_policy_check", teams=["crew"]), key="theirs")
    assert "There is no key with this name or id that you may see." in text
    assert page.context["known_keys"] == ["ours"]


def test_it_is_for_who_may_use_it():
    assert signed_in("keys.view_virtualkey").get("/admin/policy-check/").status_code == 403
