"""What needs attention, and the first steps of a gateway that is empty."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from common.money import units
from gateway.account.journal import JournalStatus
from gateway.admin_pages.home import attention as attention_page
from gateway.admin_pages.home.attention import MANY_NOT_TAKEN, MANY_UNKNOWN, journal_notices
from gateway.models import UnlistedCalls
from keys.models import VirtualKey
from keys.spending import start_with
from tests.gateway.admin_pages.home.page import NOW, an_upstream, calls, home, part, report, text
from tests.support.people import signed_in
from upstreams.models import DISABLED, DRAINING, UNHEALTHY, Deployment, Upstream

pytestmark = pytest.mark.django_db


def test_an_empty_gateway_says_what_to_do_first(admin: Client) -> None:
    told = home(admin)
    assert "No upstream yet" in told
    assert "No virtual key yet" in told
    assert "Make a call" in told


def test_a_step_that_is_done_is_ticked(admin: Client) -> None:
    an_upstream()
    assert "Add an upstream Done" in home(admin)


def test_the_first_call_ends_the_first_steps(admin: Client) -> None:
    an_upstream()
    calls({})
    assert "First steps" not in home(admin)


def test_all_is_well(admin: Client) -> None:
    an_upstream()
    report()
    assert "All well" in part(admin, "attention")


def test_all_is_not_well_where_calls_have_nowhere_to_go(admin: Client) -> None:
    report()
    told = part(admin, "attention")
    assert "All well" not in told
    assert "Needs attention" not in told
    assert "First steps" in home(admin)


def test_a_relay_that_says_nothing_needs_attention(admin: Client) -> None:
    assert "No relay says that it is there" in part(admin, "attention")


def test_an_unhealthy_upstream_needs_attention(admin: Client) -> None:
    an_upstream()
    Upstream.objects.update_quietly(health=UNHEALTHY, health_text="The connection is refused.")
    assert "gpu-1: The connection is refused. Look at it" in home(admin)


def test_a_disabled_upstream_may_be_down(admin: Client) -> None:
    an_upstream(state=DISABLED)
    Upstream.objects.update_quietly(health=UNHEALTHY, health_text="The connection is refused.")
    assert "The connection is refused. Look at it" not in home(admin)


def test_many_unhealthy_upstreams_are_one_line(admin: Client) -> None:
    for number in range(5):
        an_upstream(f"gpu-{number}")
    Upstream.objects.update_quietly(health=UNHEALTHY, health_text="The connection is refused.")
    assert "5 of 5 upstreams: gpu-0, gpu-1, gpu-2 and 2 more." in part(admin, "attention")


def test_a_missing_default_needs_attention(admin: Client) -> None:
    an_upstream()
    Upstream.objects.update(is_default=False)
    assert "No upstream is the default" in home(admin)


def test_upstreams_none_of_which_takes_calls_need_attention(admin: Client) -> None:
    an_upstream(state=DISABLED)
    an_upstream("gpu-2", state=DRAINING)
    told = part(admin, "attention")
    assert (
        "No upstream takes calls: gpu-1 is disabled, gpu-2 is draining. Every call is refused with status 503." in told
    )
    assert "default upstream" not in told


def test_a_default_that_takes_no_calls_needs_attention(admin: Client) -> None:
    an_upstream(state=DRAINING)
    an_upstream("gpu-2")
    assert "The default upstream, gpu-1, is draining: calls whose model is nobody" in part(admin, "attention")


def test_a_model_whose_upstreams_all_take_no_calls_needs_attention(admin: Client) -> None:
    an_upstream()
    Deployment(upstream=an_upstream("gpu-2", state=DISABLED), alias="qwen").save()
    told = part(admin, "attention")
    assert "No upstream takes calls for qwen: gpu-2 is disabled. Such calls are refused with status 503." in told
    Deployment(upstream=Upstream.objects.get(name="gpu-1"), alias="qwen").save()
    assert "takes calls" not in part(admin, "attention")


def test_an_upstream_that_anybody_may_use_needs_attention(admin: Client) -> None:
    an_upstream()
    Upstream.objects.update_quietly(posture={"dev_mode": True, "models": True, "invocations": True, "asleep": True})
    told = part(admin, "attention")
    assert "gpu-1 is in dev mode and answers without a key." in told
    assert "gpu-1 sleeps" in told


def test_a_key_about_to_expire_needs_attention(admin: Client) -> None:
    VirtualKey.objects.issue(name="old", expires_at=timezone.now() + timedelta(days=3, minutes=5))
    VirtualKey.objects.issue(name="late", expires_at=timezone.now() + timedelta(days=8))
    VirtualKey.objects.issue(name="gone", expires_at=timezone.now() - timedelta(days=1))
    assert "old expires in 3 days. Extend it" in part(admin, "attention")


def test_several_keys_about_to_expire_are_one_line(admin: Client) -> None:
    for name in ("one", "two"):
        VirtualKey.objects.issue(name=name, expires_at=timezone.now() + timedelta(hours=5, minutes=5))
    assert "2 keys expire within 7 days, one in 5 hours: one, two. See them" in part(admin, "attention")


def test_a_journal_in_trouble_is_on_the_first_page(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_page, "journal_status", lambda _: JournalStatus(lost=1_200))
    assert "1,200 calls could not be written to the journal" in home(admin)


def test_a_journal_that_cannot_be_read_is_on_the_first_page(admin: Client, settings: Any, tmp_path: Any) -> None:
    settings.DATA_DIR = tmp_path
    (tmp_path / "journal").write_text("no directory")
    assert "The journal of calls cannot be read" in home(admin)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (JournalStatus(), []),
        (JournalStatus(quarantined=2), ["Quarantine"]),
        (JournalStatus(backlog_bytes=5_000, oldest=NOW - 30), []),
        (JournalStatus(lost=1, backlog_bytes=5_000, oldest=NOW - 600), ["Calls lost", "Backlog"]),
        (JournalStatus(backlog_bytes=5_000, oldest=NOW - 86_400), ["Backlog"]),
    ],
)
def test_what_is_wrong_with_the_journal_is_named(status: JournalStatus, words: list[str]) -> None:
    assert [notice.word for notice in journal_notices(status, now=NOW)] == words


def test_trouble_of_the_gateway_leads_to_the_doctor(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    trouble = JournalStatus(lost=1, quarantined=1, backlog_bytes=5_000, oldest=NOW)
    monkeypatch.setattr(attention_page, "journal_status", lambda _: trouble)
    page = admin.get("/admin/home/attention/").content.decode()
    assert page.count('href="/admin/settings/#doctor"') == len(["Relay", "Calls lost", "Quarantine", "Backlog"])
    looks_only = signed_in("gateway.view_requestlog", name="eve").get("/admin/home/attention/").content.decode()
    assert "Who can ask the doctor: an Owner" in looks_only
    assert "/admin/settings/" not in looks_only


def test_many_calls_without_a_known_key_need_attention(admin: Client) -> None:
    now = int(time.time())
    UnlistedCalls.objects.add({(now, "unknown"): MANY_UNKNOWN - 1, (now, "not_serving"): MANY_NOT_TAKEN - 1})
    assert "known" not in part(admin, "attention")
    UnlistedCalls.objects.add({(now, "no_key"): 1, (now, "database_away"): 1})
    told = part(admin, "attention")
    assert f"{MANY_UNKNOWN} calls of the last hour came without a valid key." in told
    assert f"{MANY_NOT_TAKEN} calls of the last hour were refused before their key was looked at" in told
    manager = signed_in("gateway.view_requestlog", name="eve", teams=["red"])
    assert "known" not in part(manager, "attention") + part(manager, "figures")


def test_keys_of_the_playground_need_no_attention(admin: Client) -> None:
    Deployment(upstream=an_upstream(), alias="qwen").save()
    soon = timezone.now() + timedelta(minutes=15)
    key, _ = VirtualKey.objects.issue(name="playground of ada 12345678", max_budget=1, expires_at=soon)
    start_with(key, units(1))
    assert "playground" not in part(admin, "attention")


def test_keys_that_manage_are_not_named_to_who_manages_a_team() -> None:
    Deployment(upstream=an_upstream(), alias="qwen").save()
    soon = timezone.now() + timedelta(days=3, minutes=5)
    for name, kind in (("covert", "management"), ("open", "default")):
        key, _ = VirtualKey.objects.issue(name=name, team_id="red", key_type=kind, max_budget=1, expires_at=soon)
        start_with(key, units(1))
    told = part(signed_in(*AUDITOR, teams=["red"]), "attention")
    assert "open expires in 3 days" in told
    assert "covert" not in told


AUDITOR = ("keys.view_virtualkey", "upstreams.view_upstream")


def test_a_remedy_is_offered_to_who_may_do_it_alone() -> None:
    VirtualKey.objects.issue(name="old", expires_at=timezone.now() + timedelta(days=3, minutes=5))
    key, _ = VirtualKey.objects.issue(name="docs", max_budget=5)
    start_with(key, units(5))
    Deployment(upstream=an_upstream(), alias="qwen").save()
    Upstream.objects.update_quietly(
        posture={"dev_mode": False, "models": False, "invocations": False, "asleep": True}, is_default=False
    )
    page = signed_in(*AUDITOR).get("/admin/home/attention/").content
    told = text(page)
    assert "old expires in 3 days. Who can extend it: an Owner, an Operator or a Key manager. Look at it" in told
    assert "refused. Who can raise it: an Owner, an Operator or a Key manager. Look at it" in told
    assert "Who can set prices: an Owner or an Operator. " in told
    assert "Who can choose one: an Owner or an Operator. Look at it" in told
    assert "Who can wake it up: an Owner or an Operator. Look at it" in told
    assert "/admin/upstreams/modelalias/" not in page.decode()  # which they may not even see


def test_who_may_add_no_upstream_reads_who_can() -> None:
    calls({})
    told = part(signed_in(*AUDITOR), "attention")
    assert "No upstream: calls go to" in told
    assert "Who can add one: an Owner or an Operator. Look at it" in told
