"""Kill, and what the page after it says of each relay worker."""

from __future__ import annotations

import re
import time
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db.models import F
from django.test import Client
from django.utils import timezone

from gateway.account.log_store import LogStore
from gateway.account.relay_report import RelayReport
from keys.models import KeysVersion, VirtualKey
from tests.support.entries import an_entry
from tests.support.people import signed_in

pytestmark = pytest.mark.django_db
KEYS = "/admin/keys/virtualkey/"


@pytest.fixture
def admin() -> Client:
    return signed_in()


@pytest.fixture
def key() -> VirtualKey:
    return VirtualKey.objects.issue(name="docs bot")[0]


def report(worker: str = "1", *, version: int | None = None, **facts: object) -> None:
    at = KeysVersion.current() if version is None else version
    RelayReport.objects.replace(node="gw-1", worker=worker, keys_version=at, facts=facts)


def kill(admin: Client, *keys: VirtualKey) -> str:
    response = admin.post(KEYS, {"action": "kill", "_selected_action": [key.pk for key in keys], "post": "yes"})
    assert response.status_code == 302
    return str(response.url)


def text(html: bytes) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.decode()))


def told(admin: Client, url: str) -> str:
    page = admin.get(url)
    assert page.status_code == 200
    live = page.context["live_url"]
    fragment = text(admin.get(live).content)
    assert fragment.strip() in text(page.content)
    return fragment


def test_it_works(admin: Client, key: VirtualKey) -> None:
    report("1", open_by_key={str(key.pk): 2}, cut_by_key={})
    report("2", open_by_key={str(key.pk + 1): 5})
    url = kill(admin, key)
    assert VirtualKey.objects.get().blocked
    assert "0 of 2 relay workers have applied it; 2 calls still open." in told(admin, url)
    report("1", cut_by_key={str(key.pk): 2, str(key.pk + 1): 4})
    assert "1 of 2 relay workers has applied it." in told(admin, url)
    report("2")
    assert "All 2 relay workers have applied it, and 2 running calls were cut." in told(admin, url)


def test_what_ran_is_asked_and_in_the_history(admin: Client, key: VirtualKey) -> None:
    report(open_by_key={str(key.pk): 1})
    assert "Running at this moment: 1 call." in text(admin.post(f"{KEYS}{key.pk}/kill/").content)
    kill(admin, key)
    assert LogEntry.objects.get(object_id=key.pk).change_message == "Killed. Running at that moment: 1 call."


def test_a_worker_that_stops_answering_is_named(admin: Client, key: VirtualKey) -> None:
    report("1")
    report("2")
    url = kill(admin, key)
    report("1")
    RelayReport.objects.filter(worker="2").update(at=F("at") - timedelta(seconds=20))
    said = told(admin, url)
    assert "1 of 2 relay workers has applied it" in said
    assert "gw-1, worker 2 has not reported for more than five seconds." in said
    assert "Not everywhere" in said
    RelayReport.objects.filter(worker="2").delete()
    assert "gw-1, worker 2 has not reported" in told(admin, url)


def test_a_worker_that_was_gone_before_is_not_waited_for(admin: Client, key: VirtualKey) -> None:
    report("1")
    report("old")
    RelayReport.objects.filter(worker="old").update(at=F("at") - timedelta(seconds=20))
    url = kill(admin, key)
    report("1")
    assert "The relay worker has applied it, and no call was running." in told(admin, url)


def test_a_worker_that_came_since_is_asked_too(admin: Client, key: VirtualKey) -> None:
    report("1")
    url = kill(admin, key)
    report("1")
    report("new", version=0)
    assert "1 of 2 relay workers has applied it." in told(admin, url)


def test_a_worker_that_takes_too_long_is_named(admin: Client, key: VirtualKey) -> None:
    report("1")
    url = kill(admin, key)
    report("1", version=0)
    assert "longer than it should take" not in told(admin, url)
    late = re.sub(r"at=\d+", f"at={int(time.time()) - 10}", url)
    assert "gw-1, worker 1 reports, and has not applied the block for longer than it should take" in told(admin, late)


def test_without_a_relay_it_says_so(admin: Client, key: VirtualKey) -> None:
    assert "No relay worker has reported within the last five seconds" in told(admin, kill(admin, key))


def test_the_log_tells_later_what_was_cut(admin: Client, key: VirtualKey) -> None:
    report()
    url = kill(admin, key)
    report()
    now = time.time()
    rows = [
        {"outcome": "revoked", "ended_at": now + 1},
        {"outcome": "completed"},
        {"outcome": "revoked", "ended_at": 1.0},
    ]
    LogStore().store([an_entry(at=now, key_id=key.pk, **row) for row in rows], pytest.fail)
    assert "1 running call was cut" in told(admin, url)


def test_several_keys_are_watched_together(admin: Client, key: VirtualKey) -> None:
    other, _ = VirtualKey.objects.issue(name="other")
    report(open_by_key={str(key.pk): 1, str(other.pk): 2})
    url = kill(admin, key, other)
    assert "3 calls still open" in told(admin, url)
    assert "Kill 2 keys" in text(admin.get(url).content)


@pytest.mark.parametrize(
    "query", ["", "?ids=x,²&version=-1&at=no", f"?ids={'9' * 40}&at={'9' * 19}&version={'9' * 19}"]
)
def test_an_address_without_sense_shows_no_key(admin: Client, query: str) -> None:
    for page in ("killed/", "killed/now/"):
        assert admin.get(f"{KEYS}{page}{query}").status_code == 200
    assert "None of these keys is there any more" in text(admin.get(f"{KEYS}killed/{query}").content)


def test_watching_needs_the_permission_and_the_team(key: VirtualKey) -> None:
    VirtualKey.objects.update(team_id="red")
    address = f"{KEYS}killed/now/?ids={key.pk}&version=1&at={int(timezone.now().timestamp())}"
    report(open_by_key={str(key.pk): 1})
    assert signed_in("auth.view_user").get(address).status_code == 403
    stranger = signed_in("keys.view_virtualkey", name="bob", teams=["blue"])
    assert "1 call still open" not in text(stranger.get(address).content)
    manager = signed_in("keys.view_virtualkey", name="eve", teams=["red"])
    assert "1 call still open" in text(manager.get(address).content)
