"""What became of the same calls is told with the same words and figures on every page."""

from __future__ import annotations

import csv
import re
import time
from typing import Any

import pytest
from django.test import Client

from gateway.account.log_store import LogStore
from gateway.spend_api.own import facts_of
from keys.models import VirtualKey
from keys.registry import DatabaseDirectory
from tests.support.entries import an_entry
from tests.support.people import signed_in

pytestmark = pytest.mark.django_db
ENDS = [
    *[("completed", 200)] * 4,
    ("client_disconnected", None),
    ("completed", 400),
    ("upstream_failed", 502),
    ("lost", None),
    *[("refused", 429)] * 5,
    ("revoked", 200),
    ("drained", 503),
]
TOLD = {"calls": 15, "failed": 3, "refused": 5, "cut": 2}


@pytest.fixture
def key() -> VirtualKey:
    key, _ = VirtualKey.objects.issue(name="docs")
    # The last is of an hour that is no more part of the last 24, on any page.
    calls = [an_entry(at=time.time(), key_id=key.pk, outcome=outcome, status=status) for outcome, status in ENDS]
    LogStore().store([*calls, an_entry(at=time.time() - 24 * 3600, key_id=key.pk)], _refuse)
    return key


@pytest.fixture
def admin() -> Client:
    return signed_in()


def _refuse(entry: dict[str, Any], error: Exception) -> None:
    pytest.fail(str(error))


def text(client: Client, url: str, **query: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", client.get(url, query).content.decode()))


def test_on_the_first_page(admin: Client, key: VirtualKey) -> None:
    data = admin.get("/admin/home/chart/").json()
    assert {one["name"]: sum(one["values"]) for one in data["series"]} == {
        "answered": 5,
        "failed": 3,
        "refused": 5,
        "cut": 2,
    }
    assert "docs 120 15 3 5 2" in text(admin, "/admin/home/tops/")


def test_on_the_keys_page(admin: Client, key: VirtualKey) -> None:
    page = admin.get(f"/admin/keys/virtualkey/{key.pk}/change/")
    told = dict(page.context["traffic"])
    assert [told[f"{name}, 24 h"] for name in ("Calls", "Failed", "Refused", "Cut")] == ["15", "3", "5", "2"]
    weeks = dict(page.context["traffic_of"].figures)
    assert (weeks["Calls"], weeks["Refused"], weeks["Cut"]) == ("16", "5", "2")
    assert weeks["Failed"] == "3 (33.3 % of those let through)"
    series = {one["name"]: sum(one["values"]) for one in page.context["traffic_of"].calls_chart["series"]}
    assert series == {"answered": 6, "failed": 3, "refused": 5, "cut": 2}


def test_in_usage_and_its_csv(admin: Client, key: VirtualKey) -> None:
    page = admin.get("/admin/usage/", {"by": "key", "measure": "failed"})
    [(line, _)] = page.context["lines"]
    assert {name: getattr(line, name) for name in TOLD} == {**TOLD, "calls": 16}
    sent = b"".join(admin.get("/admin/usage/csv/", {"by": "key"}).streaming_content).decode()  # type: ignore[arg-type]
    [row] = csv.DictReader(sent.splitlines())
    assert {name: int(row[name]) for name in TOLD} == {**TOLD, "calls": 16}


@pytest.mark.parametrize("ended", ["failed", "refused", "cut"])
def test_in_the_list_of_calls(admin: Client, key: VirtualKey, ended: str) -> None:
    rows = admin.get("/admin/gateway/requestlog/", {"ended": ended}).context["cl"].result_list
    assert len(rows) == TOLD[ended]
    assert all(ended in text(admin, f"/admin/gateway/requestlog/{row.pk}/change/") for row in rows[:1])


def test_for_the_keys_holder(key: VirtualKey) -> None:
    [identity] = DatabaseDirectory().of_key(key.pk)
    usage = facts_of(key, identity)["usage"]["total"]
    assert {name: usage[name] for name in TOLD} == {**TOLD, "calls": 16}
    assert usage["errors"] == usage["failed"] + usage["refused"] + usage["cut"]


def test_the_playgrounds_keys_are_no_top_keys(admin: Client, key: VirtualKey) -> None:
    tried, _ = VirtualKey.objects.issue(name="playground of ada 12345678")
    LogStore().store([an_entry(at=time.time(), key_id=tried.pk, key_name=tried.name)], _refuse)
    told = text(admin, "/admin/home/tops/")
    assert "docs" in told
    assert "playground" not in told


@pytest.mark.parametrize(("cost", "says"), [(None, True), ("0.5", False)])
def test_what_has_no_price_is_told_alike_to_holder_and_admin(admin: Client, cost: str | None, says: bool) -> None:
    key, secret = VirtualKey.objects.issue(name="free")
    LogStore().store([an_entry(at=time.time(), key_id=key.pk, cost=cost, prompt_tokens=7, spend=[])], _refuse)
    holder = Client()
    holder.post("/me/", {"secret": secret})
    for client, url in ((holder, "/me/"), (admin, f"/admin/keys/virtualkey/{key.pk}/change/")):
        assert ("Nothing spent: no model it used has a price." in text(client, url)) is says
