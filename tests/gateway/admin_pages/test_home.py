"""The first page: what is on it, for whom, and what it may cost."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from common.money import units
from gateway.account.journal import JournalStatus
from gateway.account.log_store import LogStore
from gateway.account.relay_report import RelayReport
from gateway.admin_pages.home import attention as attention_page
from gateway.admin_pages.home import day
from gateway.admin_pages.home.attention import MANY_NOT_TAKEN, MANY_UNKNOWN, journal_notices
from gateway.admin_pages.home.day import HOURS
from gateway.admin_pages.home.now import NOT_AVAILABLE
from gateway.models import RequestLog, UnlistedCalls, UsageDay
from keys.admin_near import likeliest, likeliest_of, nearly_spent
from keys.limit_values import COLUMNS, limits_of
from keys.limits import budget_counter
from keys.models import EndUser, Owner, SpendWindow, Team, VirtualKey
from keys.spending import party_named, start_with
from tests.support.entries import an_entry
from tests.support.people import browser_of, signed_in
from upstreams.models import DISABLED, DRAINING, HEALTHY, UNHEALTHY, Deployment, Upstream

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC).timestamp()
PARTS = ("attention", "figures", "upstreams", "tops", "chart")


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> Iterator[None]:
    forget()
    yield
    forget()


def forget() -> None:
    attention_page.forget()
    day.forget()


@pytest.fixture
def admin() -> Client:
    return signed_in()


def an_upstream(name: str = "gpu-1", **fields: Any) -> Upstream:
    upstream = Upstream(name=name, url=f"http://{name}:8000", **fields)
    upstream.save()
    return upstream


def calls(*fields: dict[str, Any]) -> None:
    LogStore().store([an_entry(**{"at": time.time(), **one}) for one in fields], _refuse)


def _refuse(entry: dict[str, Any], error: Exception) -> None:
    pytest.fail(str(error))


def report(**facts: Any) -> None:
    RelayReport.objects.replace(node="n", worker="1", keys_version=1, facts=facts)


def text(html: bytes) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.decode()))


def home(client: Client) -> str:
    return text(client.get("/admin/").content)


def part(client: Client, name: str) -> str:
    response = client.get(f"/admin/home/{name}/")
    assert response.status_code == 200
    return text(response.content)


def chart(client: Client, **query: str) -> dict[str, int]:
    """The sums of each series."""
    data = client.get("/admin/home/chart/", query).json()
    return {one["name"]: sum(one["values"]) for one in data["series"]}


# --- First steps and attention --------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("spent", "words"),
    [
        (Decimal("3.9"), ""),
        (Decimal(4), "The budget of virtual key docs is used to 80 %: $4.00 of $5.00."),
        (Decimal(5), "The budget of virtual key docs is spent: $5.00 of $5.00. Its calls are refused."),
    ],
)
def test_a_budget_that_is_nearly_spent_needs_attention(admin: Client, spent: Decimal, words: str) -> None:
    key, _ = VirtualKey.objects.issue(name="docs", max_budget=5)
    start_with(key, units(spent))
    told = part(admin, "attention")
    assert words in told
    assert words or "budget of virtual key" not in told


def test_a_soft_budget_that_is_passed_is_told(admin: Client) -> None:
    key, _ = VirtualKey.objects.issue(name="docs", soft_budget=5)
    start_with(key, units(6))
    told = part(admin, "attention")
    assert "The soft budget of virtual key docs is passed: $6.00 of $5.00. Calls go on." in told


def test_a_teams_budget_is_told(admin: Client) -> None:
    team = Team(team_id="red", max_budget=Decimal(5))
    team.save()
    start_with(team, units(5))
    assert "The budget of team red is spent" in part(admin, "attention")


@pytest.mark.parametrize("fields", [
    {"max_budget": Decimal(5), "budget_duration": "30d", "spend_epoch": 3},
    {"budget_limits": [{"budget_duration": "1h", "max_budget": 5}], "max_budget": Decimal(900)},
    {"model_max_budget": {"qwen": {"budget_limit": 5, "time_period": "1d"}}},
    {"token_budget": 50_000_000_000, "token_budget_duration": "7d"},
    {"max_budget": Decimal("0.00000001")},
    {"max_budget": Decimal("123456.78901234"), "soft_budget": Decimal(4)},
])  # fmt: skip
@pytest.mark.parametrize("model", [VirtualKey, Team, Owner, EndUser])
@time_machine.travel(NOW, tick=True)  # a day that ends meanwhile takes its budget with it
def test_budgets_of_every_kind_and_period_are_found(model: Any, fields: dict[str, Any]) -> None:
    row = model(**fields)
    row.save()
    (budget, *_) = sorted(
        limits_of({name: getattr(row, name) for name in COLUMNS}).budgets, key=lambda one: one.ceiling
    )
    counter, _seconds = budget_counter(party_named(row), budget, time.time())
    window = SpendWindow.objects.create(counter=counter, used=budget.ceiling, updated_at=timezone.now())

    def found() -> list[str]:
        rows = likeliest(VirtualKey.objects.all()) if model is VirtualKey else likeliest_of(model.objects.all())
        return [use.budget.name for _, use in nearly_spent(rows)]

    assert found() == [budget.name]
    window.used = budget.ceiling * 3 // 4
    window.save()
    assert found() == []


def test_what_more_is_nearly_spent_leads_to_the_lists(admin: Client) -> None:
    for number in range(6):
        key, _ = VirtualKey.objects.issue(name=f"key-{number}", max_budget=5)
        start_with(key, units(Decimal("4.9") - number / Decimal(100)))
    VirtualKey.objects.issue(name="fresh", max_budget=5)
    team = Team(team_id="red", max_budget=Decimal(5))
    team.save()
    start_with(team, units(4))
    page = admin.get("/admin/home/attention/").content
    assert "2 more keys used to 80 % and over: key-4, key-5. See them" in text(page)
    assert "1 more team used to 80 % and over: red. See them" in text(page)
    assert 'href="/admin/keys/virtualkey/?budget=near"' in page.decode()


def test_a_budget_in_dollars_without_prices_is_told(admin: Client) -> None:
    Deployment(upstream=an_upstream(), alias="qwen").save()
    VirtualKey.objects.issue(name="docs", max_budget=5)
    assert "docs: a budget in dollars, but no model" in part(admin, "attention")
    attention_page.forget()
    Deployment.objects.update(input_cost_per_token=Decimal("0.001"))
    assert "a budget in dollars" not in part(admin, "attention")


def test_of_keys_that_wait_for_prices_a_few_are_named(admin: Client) -> None:
    Deployment(upstream=an_upstream(), alias="qwen").save()
    for number in range(5):
        VirtualKey.objects.issue(name=f"key-{number}", max_budget=5)
    VirtualKey.objects.issue(name="by-model", model_max_budget={"qwen": {"budget_limit": 5, "time_period": "1d"}})
    nothing = [{"budget_duration": "1h", "max_budget": 0}]
    VirtualKey.objects.issue(name="spent", max_budget=5, budget_limits=nothing)  # waits for nothing
    assert "by-model, key-4, key-3 and 3 more: a budget in dollars" in part(admin, "attention")
    Deployment.objects.update(input_cost_per_token=Decimal("0.001"))
    VirtualKey.objects.filter(name="key-1").update(models=["phi"])
    attention_page.forget()
    assert "key-1: a budget in dollars, but no model" in part(admin, "attention")


def test_a_budget_of_nothing_is_spent_and_waits_for_no_price(admin: Client) -> None:
    Deployment(upstream=an_upstream(), alias="qwen").save()
    VirtualKey.objects.issue(name="docs", max_budget=0)
    told = part(admin, "attention")
    assert "The budget of virtual key docs is spent: $0.00 of $0.00. Its calls are refused." in told
    assert "a budget in dollars" not in told


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


# --- Figures --------------------------------------------------------------------------------------


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


# --- The last day ---------------------------------------------------------------------------------

THREE = (
    {"model": "qwen", "key_id": 1},
    {"model": "qwen", "key_id": 1, "status": 502, "outcome": "upstream_failed"},
    {"model": "phi", "key_id": 2, "status": 429, "outcome": "refused"},
)


def test_the_chart_tells_refused_calls_from_failed_ones(admin: Client) -> None:
    calls(*THREE)
    assert chart(admin) == {"answered": 1, "failed": 1, "refused": 1}
    assert (chart(admin, figure="failed"), chart(admin, figure="refused")) == ({"failed": 1}, {"refused": 1})
    calls({"outcome": "revoked"})
    assert chart(admin) == {"answered": 1, "failed": 1, "refused": 1, "cut": 1}


def test_the_chart_can_be_divided(admin: Client) -> None:
    key, _ = VirtualKey.objects.issue(name="docs")
    calls(*({**one, "key_id": key.pk} for one in THREE))
    assert chart(admin, by="model") == {"qwen": 2, "phi": 1}
    assert chart(admin, by="key") == {"docs": 3}
    assert chart(admin, figure="tokens", by="model") == {"qwen": 16, "phi": 8}
    assert chart(admin, figure="failed", by="model") == {"qwen": 1}
    assert chart(admin, figure="refused", by="model") == {"phi": 1}


def test_the_chart_has_every_hour_and_nothing_older(admin: Client) -> None:
    calls({"at": time.time() - 3600}, {"at": time.time() - 25 * 3600})
    data = admin.get("/admin/home/chart/").json()
    assert len(data["x"]) == HOURS
    assert chart(admin) == {"answered": 1, "failed": 0, "refused": 0}


def test_what_is_seldom_used_becomes_others(admin: Client) -> None:
    calls(*({"model": f"model-{number}"} for number in range(9)), {"model": "model-1"})
    told = chart(admin, by="model")
    assert (len(told), told["model-1"], told["others"]) == (8, 2, 2)


def test_a_chart_without_calls_is_empty(admin: Client) -> None:
    assert admin.get("/admin/home/chart/").json()["series"] == []


@pytest.mark.parametrize("query", [{"figure": "money"}, {"by": "owner"}, {"figure": "", "by": "\0"}])
def test_what_is_no_choice_is_the_first_one(admin: Client, query: dict[str, str]) -> None:
    calls({})
    assert chart(admin, **query) == {"answered": 1, "failed": 0, "refused": 0}
    assert admin.get("/admin/", query).status_code == 200


def test_the_most_used_come_first(admin: Client) -> None:
    key, _ = VirtualKey.objects.issue(name="docs")
    calls(*({**one, "key_id": key.pk} for one in THREE), {"key_id": None, "model": None})
    told = part(admin, "tops")
    assert "docs 24 3 1 1" in told
    assert told.index("qwen 16 2 1 0") < told.index("phi 8 1 0 1")
    assert "master key, or none" in told


def test_calls_that_were_cut_have_a_figure_of_their_own(admin: Client) -> None:
    calls({}, *({"outcome": outcome, "status": None} for outcome in ("revoked", "drained", "upstream_failed")))
    told = part(admin, "tops")
    assert told.count("Tokens Calls Failed Refused Cut") == 2  # of keys and of models
    assert "qwen 32 4 1 0 2" in told


def test_a_key_that_is_gone_keeps_its_name(admin: Client) -> None:
    calls({"key_id": 99, "key_name": "gone"})
    assert "gone 8 1" in part(admin, "tops")
    page = admin.get("/admin/home/tops/").content.decode()
    assert "/admin/keys/virtualkey/99/" not in page  # where nothing is any more
    assert "/admin/gateway/requestlog/?period=24h&amp;key=99" in page


def test_of_many_keys_the_busiest_are_found(admin: Client) -> None:
    calls(
        *({"key_id": number, "key_name": f"key-{number}"} for number in range(1, 40)),
        {"key_id": 39, "key_name": "key-39"},
    )
    assert chart(admin, by="key")["others"] == 39 + 1 - 8
    assert "key-39 16 2" in part(admin, "tops")


@time_machine.travel(NOW, tick=True)  # in the last hour of a day there is no day before
def test_of_many_keys_the_sums_of_a_day_are_not_looked_through_at_each_view(admin: Client) -> None:
    calls(*({"key_id": number, "key_name": f"key-{number}"} for number in range(1, 31)))

    def days_looked_through() -> int:
        with CaptureQueriesContext(connection) as captured:
            part(admin, "tops")
        return len([one for one in captured.captured_queries if "gateway_usageday" in one["sql"]])

    # Today's teams, and their keys; of the day before, of which there are no sums, the teams alone.
    assert [days_looked_through(), days_looked_through()] == [3, 1]
    calls(*[{"key_id": 99, "key_name": "late"}] * 2)
    assert "late" not in part(admin, "tops")
    day.forget()
    assert "late 16 2" in part(admin, "tops")


@pytest.mark.parametrize("seed", range(4))
def test_no_busy_key_is_missed_in_a_team_with_little_else(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(day, "MOST_KEYS", 6)
    monkeypatch.setattr(day, "SURE_KEYS", 3)
    monkeypatch.setattr(day, "FEW_TEAMS", 2)
    monkeypatch.setattr(day, "MOST_TEAMS", 4 + seed)
    rows = Random(seed)
    weights = [(int(rows.paretovariate(0.6)), str(key), f"team-{rows.randrange(10)}") for key in range(1, 61)]
    of_teams: dict[str, int] = {}
    for weight, _, team in weights:
        of_teams[team] = of_teams.get(team, 0) + weight
    sums = [("key", team, key, weight) for weight, key, team in weights]
    sums += [("team", team, team, weight) for team, weight in of_teams.items()]
    today = timezone.now().date()
    UsageDay.objects.bulk_create(
        UsageDay(dimension=dimension, day=today, team_id=team, value=value, prompt_tokens=weight)
        for dimension, team, value, weight in sums
    )
    user = User.objects.create(username="ann", is_superuser=True)
    most = sorted(((weight, key) for weight, key, _ in weights), key=lambda one: (-one[0], one[1]))
    assert day._ranking(user, "tokens", today)[:3] == most[:3]
    assert set(day.busiest_keys(user, "tokens")) >= {int(key) for _, key in most[:3]}


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
