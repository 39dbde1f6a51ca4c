"""The figures of this moment and of today."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from gateway.admin_pages.home.now import NOT_AVAILABLE
from gateway.models import UnlistedCalls
from tests.gateway.admin_pages.home.page import calls, forget, home, part, report
from tests.support.people import signed_in

pytestmark = pytest.mark.django_db


def test_the_figures_are_the_relays(admin: Client) -> None:
    report(
        minute={"red": {"calls": 30, "prompt": 3000, "completion": 600}, "": {"calls": 12}},
        five_minutes={"red": {"calls": 100, "failed": 3, "refused": 38, "cut": 2, "ttft3": 100}},
        open_by_team={"red": 4, "": 1},
    )
    told = part(admin, "figures")
    assert "Calls 42 /min" in told
    assert "Failed 5.0 % 3 failed, 38 refused, 2 cut" in told  # of the 60 that were let through and not cut
    assert "Tokens 60 /s 50 in, 10 out" in told
    assert "TTFT p50 60 ms p95 78 ms" in told
    assert "In flight 5 calls 1 relay worker" in told


def test_figures_have_a_line_of_the_whole_hours(admin: Client) -> None:
    assert "<svg" not in admin.get("/admin/home/figures/").content.decode()
    forget()
    hour = time.time() // 3600 * 3600
    calls({"at": hour - 1}, {"at": hour - 1}, {"at": hour - 3601}, {"at": hour})
    page = admin.get("/admin/home/figures/").content.decode()
    assert 'role="img" aria-label="Calls by the hour, last 23 hours: 0 to 2, at last 2"' in page
    assert 'aria-label="Tokens by the hour, last 23 hours: 0 to 16, at last 16"' in page
    assert page.count("<svg") == 2  # none failed


def test_the_lines_of_a_teams_manager_are_of_the_teams_calls() -> None:
    hour = time.time() // 3600 * 3600
    calls({"at": hour - 1, "team_id": "red"}, {"at": hour - 1, "team_id": "blue"})
    manager = signed_in("gateway.view_requestlog", teams=["red"])
    assert "Calls by the hour, last 23 hours: 0 to 1," in manager.get("/admin/home/figures/").content.decode()


def test_the_lines_cost_nothing_more_for_a_while(admin: Client) -> None:
    def queries(name: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            admin.get(f"/admin/home/{name}/")
        return sum("gateway_usagehourtotal" in one["sql"] for one in captured.captured_queries)

    assert [queries("figures"), queries("figures")] == [1, 0]


def test_calls_that_are_in_no_figure_are_told_beside_them(admin: Client) -> None:
    assert "in no figure" not in part(admin, "figures")
    UnlistedCalls.objects.add({(int(time.time()), "unknown"): 12})
    for told in (part(admin, "figures"), home(admin)):
        assert "12 calls in the last hour, 12 today (UTC), came without a key" in told


def test_without_a_relay_no_figure_is_made_up(admin: Client) -> None:
    told = part(admin, "figures")
    assert "Calls — /min No relay reports." in told
    assert "Failed — No relay reports." in told


def test_without_calls_no_rate_is_made_up(admin: Client) -> None:
    report()
    told = part(admin, "figures")
    assert "Calls 0 /min" in told
    assert "Failed — no call in 5 min" in told
    assert "TTFT p50 — no stream in 5 min" in told


def test_spend_is_that_of_today_and_yesterday(admin: Client) -> None:
    noon = datetime.now(UTC).replace(hour=12).timestamp()
    calls({"at": noon, "cost": "1.5"}, {"at": noon - 86_400, "cost": "0.25"}, {"at": noon - 2 * 86_400, "cost": "9"})
    assert "Spend today, UTC $1.50 yesterday $0.25" in part(admin, "figures")


def test_spend_without_prices_is_not_available(admin: Client) -> None:
    calls({})
    assert f"Spend today, UTC {NOT_AVAILABLE} no call had a price" in part(admin, "figures")
