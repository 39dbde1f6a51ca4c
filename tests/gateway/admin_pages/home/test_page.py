"""The page as a whole: the tiles of upstreams, who may see what, and what it may cost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from common.money import units
from gateway.admin_pages.home import attention as attention_page
from gateway.models import RequestLog
from keys.models import VirtualKey
from keys.spending import start_with
from tests.gateway.admin_pages.home.page import PARTS, an_upstream, calls, home, part, report
from tests.support.people import browser_of, signed_in
from upstreams.models import DRAINING, HEALTHY, UNHEALTHY, Upstream

pytestmark = pytest.mark.django_db


# --- Upstreams ------------------------------------------------------------------------------------


def test_an_upstream_has_a_tile(admin: Client) -> None:
    upstream = an_upstream()
    load = {"running": 3, "waiting": 2, "kv_cache_use": 0.41, "load_at": timezone.now()}
    Upstream.objects.update_quietly(health=HEALTHY, vllm_version="0.30.1", **load)
    report(in_flight={str(upstream.pk): 5})
    told = part(admin, "upstreams")
    assert "gpu-1 Healthy Running 3 Waiting 2 In flight 5 KV cache 41 % used vLLM 0.30.1 · default upstream" in told


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"health": HEALTHY}, "gpu-1 Asleep It is there."),
        ({"health": HEALTHY, "state": DRAINING}, "gpu-1 Draining Asleep It is there."),
        ({"health": UNHEALTHY}, "gpu-1 Unhealthy It is there."),
    ],
)
def test_the_tile_of_an_upstream_that_sleeps_says_so(admin: Client, fields: dict[str, str], told: str) -> None:
    an_upstream()
    posture = {"dev_mode": True, "models": True, "invocations": True, "asleep": True}
    Upstream.objects.update_quietly(posture=posture, health_text="It is there.", **fields)
    assert told in part(admin, "upstreams")


def test_without_upstreams_the_way_to_one_is_shown(admin: Client) -> None:
    assert "No upstream yet. Add an upstream" in part(admin, "upstreams")


# --- Who may see what -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["figures", "upstreams", "tops", "chart"])
def test_a_part_is_only_for_who_may_see_it(name: str) -> None:
    assert signed_in("auth.view_user").get(f"/admin/home/{name}/").status_code == 403


@pytest.mark.parametrize("name", PARTS)
def test_who_is_not_signed_in_sees_no_part(name: str) -> None:
    assert Client().get(f"/admin/home/{name}/").status_code == 302


def test_the_page_tells_only_what_one_may_see() -> None:
    an_upstream()
    Upstream.objects.update_quietly(health=UNHEALTHY)
    told = home(signed_in("auth.view_user"))
    assert "gpu-1" not in told
    assert "Tokens" not in told
    assert "relay" not in told.lower()


def test_who_has_no_role_is_not_told_that_all_is_well() -> None:
    told = home(signed_in("auth.view_user"))
    assert "All well" not in told
    nobody = browser_of(User.objects.create(username="eve", is_staff=True, last_login=timezone.now()))
    for told in (home(nobody), part(nobody, "attention")):
        assert "No role yet You have no role here, so there is nothing to see: an Owner can give you one." in told
        assert "All well" not in told


def test_a_teams_manager_sees_only_the_teams_calls() -> None:
    mine, _ = VirtualKey.objects.issue(name="mine", team_id="red", max_budget=5)
    other, _ = VirtualKey.objects.issue(name="theirs", team_id="blue", max_budget=5)
    soon = timezone.now() + timedelta(days=1, hours=1)
    VirtualKey.objects.update(expires_at=soon)
    for key in (mine, other):
        start_with(key, units(5))
    calls(
        {"key_id": mine.pk, "team_id": "red", "model": "qwen", "cost": "1"},
        {"key_id": other.pk, "team_id": "blue", "model": "secret", "cost": "2"},
    )
    report(
        minute={"red": {"calls": 1}, "blue": {"calls": 90}},
        open_by_team={"red": 1, "blue": 80},
        in_flight={"1": 81},
    )
    manager = signed_in("gateway.view_requestlog", "keys.view_virtualkey", "keys.view_team", teams=["red"])
    page = home(manager) + manager.get("/admin/home/chart/?by=key").content.decode()
    page += manager.get("/admin/home/chart/?by=model").content.decode()
    assert "theirs" not in page
    assert "secret" not in page
    assert "Calls 1 /min" in page
    assert "In flight 1 call" in page
    assert "Spend today, UTC $1.00" in page
    assert "mine expires in 25 hours" in page
    assert "virtual key mine is spent" in page


# --- What it costs --------------------------------------------------------------------------------


def test_it_never_reads_the_request_log(admin: Client) -> None:
    calls({})
    admin.get("/admin/")
    table = RequestLog._meta.db_table
    with CaptureQueriesContext(connection) as captured:
        admin.get("/admin/")
        for name in PARTS:
            admin.get(f"/admin/home/{name}/")
    assert not [one["sql"] for one in captured.captured_queries if f'"{table}"' in one["sql"]]


def test_it_takes_as_many_queries_for_many_keys_and_upstreams(admin: Client) -> None:
    def queries() -> int:
        attention_page.forget()
        with CaptureQueriesContext(connection) as captured:
            admin.get("/admin/")
        return len(captured)

    def add(number: int) -> None:
        key, _ = VirtualKey.objects.issue(name=f"key-{number}", max_budget=5)
        start_with(key, units(5))
        an_upstream(f"gpu-{number}")
        calls({"key_id": key.pk, "model": f"model-{number}"})

    add(0)
    queries()
    few = queries()
    for number in range(1, 4):
        add(number)
    assert queries() == few
