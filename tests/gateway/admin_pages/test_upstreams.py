"""What joins upstreams with traffic: the calls that are open there, as far as somebody may see them."""

import time
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.messages import get_messages
from django.test import Client

from gateway.account.relay_report import RelayReport
from gateway.admin_pages import in_flight
from keys.models import Team, VirtualKey
from tests.support.people import signed_in
from upstreams.models import Upstream

pytestmark = pytest.mark.django_db


@pytest.fixture
def upstream() -> Upstream:
    return Upstream.objects.create(name="gpu-1", url="http://gpu-1:8000")


def a_key(name: str, team: str | None = None) -> VirtualKey:
    if team:
        Team.objects.create(team_id=team)
    key, _ = VirtualKey.objects.issue(name=name, team_id=team)
    return key


def a_call(upstream: Upstream, key: VirtualKey | None = None, *, ago: float = 1.0) -> dict[str, Any]:
    return {
        "call_id": f"call-{ago}",
        "key_id": key and key.pk,
        "upstream_id": upstream.pk,
        "model": "tiny-chat",
        "route": "POST /v1/chat/completions",
        "started": time.time() - ago,
    }


def report(upstream: Upstream, *calls: dict[str, Any], count: int | None = None, worker: str = "1") -> None:
    facts = {"in_flight": {str(upstream.pk): len(calls) if count is None else count}, "calls": list(calls)}
    RelayReport.objects.replace(node="here", worker=worker, keys_version=0, facts=facts)


def page_of(upstream: Upstream, verb: str = "change") -> str:
    return f"/admin/upstreams/upstream/{upstream.pk}/{verb}/"


def test_it_works(upstream: Upstream) -> None:
    report(upstream, a_call(upstream, a_key("ann")))
    html = signed_in().get(page_of(upstream, "now")).content.decode()
    assert '1 <span class="unit">call</span>' in html
    assert "ann" in html
    assert "POST /v1/chat/completions" in html


def test_a_call_leads_to_its_key_and_says_how_long_it_is_open(upstream: Upstream) -> None:
    key = a_key("ann")
    report(upstream, a_call(upstream, key, ago=600))
    link = f'<a href="/admin/keys/virtualkey/{key.pk}/change/">ann</a>'
    html = signed_in().get(page_of(upstream, "now")).content.decode()
    assert link in html
    assert "10.0 min" in html
    looks_only = signed_in("upstreams.view_upstream", name="eve").get(page_of(upstream, "now")).content.decode()
    assert "ann" in looks_only
    assert link not in looks_only


def test_calls_of_all_workers_are_told_the_oldest_first(upstream: Upstream) -> None:
    report(upstream, a_call(upstream, ago=1))
    report(upstream, a_call(upstream, ago=9), worker="2")
    other = Upstream.objects.create(name="gpu-2", url="http://gpu-2:8000")
    report(other, a_call(other, ago=5), worker="3")
    found = in_flight.on_upstream(upstream.pk, get_user_model()(is_superuser=True))
    assert ([one.call_id for one in found.lines], found.count, found.more) == (["call-9", "call-1"], 2, 0)


def test_calls_that_are_not_listed_are_counted(upstream: Upstream) -> None:
    report(upstream, *(a_call(upstream, ago=ago) for ago in range(25)), count=300)
    found = in_flight.on_upstream(upstream.pk, get_user_model()(is_superuser=True))
    assert (len(found.lines), found.more) == (in_flight.MOST_LINES, 300 - in_flight.MOST_LINES)


def test_without_a_relay_nobody_knows_what_is_open(upstream: Upstream) -> None:
    assert in_flight.counts() is None
    assert signed_in().get(page_of(upstream, "now")).context["open_calls"] is None


def test_who_manages_a_team_sees_the_calls_of_its_keys_and_no_count(upstream: Upstream) -> None:
    report(upstream, a_call(upstream, a_key("ours", "red")), a_call(upstream, a_key("theirs", "blue")))
    manager = signed_in("upstreams.view_upstream", teams=["red"])
    html = manager.get(page_of(upstream, "now")).content.decode()
    assert "ours" in html
    assert "theirs" not in html
    assert "call</span>" not in html


def test_draining_says_how_many_calls_are_still_open(upstream: Upstream) -> None:
    report(upstream, count=3)
    assert "3 calls are still open and will finish." in told(signed_in(), upstream, "draining")


def test_draining_says_when_none_is_open(upstream: Upstream) -> None:
    report(upstream)
    assert "No call is open there." in told(signed_in(), upstream, "disabled")


def told(admin: Client, upstream: Upstream, state: str) -> str:
    response = admin.post(page_of(upstream, "state"), {"state": state})
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def test_the_list_tells_what_is_open(upstream: Upstream) -> None:
    report(upstream, count=1234)
    assert b"1,234" in signed_in().get("/admin/upstreams/upstream/").content
