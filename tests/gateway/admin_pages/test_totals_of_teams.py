"""Who manages one team learns nothing of what others use: of no total, standing or name that calls of other teams are
part of, whichever way they ask."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client

from gateway.account.log_store import LogStore
from gateway.admin_pages import log_search
from gateway.models import RequestLog
from keys.counters import MemoryCounters
from keys.errors import BudgetExceeded, LimitExceeded
from keys.models import Owner, Team, VirtualKey
from keys.shared_use import without_amounts
from tests.support.admin_lists import SEES_ALL, listed
from tests.support.entries import an_entry
from tests.support.people import signed_in
from upstreams.models import PricePeriod, Upstream

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 5, 20, 12, 30, tzinfo=UTC)
LIST = "/admin/gateway/requestlog/"
DECISIONS = {
    "among": [["gpu-1", 654321, 654322, False], ["gpu-2", 654323, None, False]],
    "strategy": "least_in_flight",
    "limits": [
        ["team", "rpm_limit", None, None, 1111, 1110, 1, 42.0, True, False],
        ["user", "rpm_limit", None, None, 765431, 765432, 1, 42.0, True, False],
        ["end_user", "model_tpm_limit", "qwen*", "tokens", 765433, 765434, 300, 42.0, False, True],
    ],
}
BUDGET = BudgetExceeded(
    kind="user", subject="bob (max", spent="765432.1", ceiling="765432", limit="max_budget", retry_after=None
).message
RATE = LimitExceeded(
    kind="end_user", subject="eve", limit="tokens", ceiling=7654321, remaining=765432, retry_after=60
).message


def calls(*entries: dict[str, Any]) -> list[RequestLog]:
    first = NOW.timestamp() - 7200
    made = [an_entry(**{"received_at": first + n, "key_id": n + 1, **fields}) for n, fields in enumerate(entries)]
    LogStore().store(made, pytest.fail)
    return [RequestLog.objects.get(pk=UUID(entry["call_id"])) for entry in made]


@pytest.fixture(autouse=True)
def today() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def manager() -> Client:
    """Of the team red."""
    return signed_in(
        "gateway.view_requestlog", "gateway.view_usagehour", "gateway.use_policy_check", "keys.view_virtualkey",
        teams=["red"],
    )  # fmt: skip


@pytest.fixture
def admin() -> Client:
    return signed_in(name="root")


# --- The page of a call, and the export


def test_a_call_s_page_tells_the_standing_of_the_team_s_own_limits_only(manager: Client, admin: Client) -> None:
    (call,) = calls({"team_id": "red", "user_id": "bob", "end_user": "eve", "decisions": DECISIONS})
    told, of_all = (one.get(f"{LIST}{call.pk}/change/").content.decode() for one in (manager, admin))
    assert all(figure in of_all for figure in ("765,432", "765,434", "654321", "654322", "654323"))
    assert "1,110" in told
    assert "counts calls of other teams too" in told
    assert "gone over, in shadow" in told
    assert not any(figure in told.replace(",", "") for figure in ("76543", "65432"))


@pytest.mark.parametrize(("text", "kind"), [(BUDGET, "budget_exceeded"), (RATE, "throttling_error")])
def test_neither_page_nor_file_tells_what_an_owner_has_used(
    manager: Client, admin: Client, text: str, kind: str
) -> None:
    refusal = {"outcome": "refused", "status": 429, "error_type": kind, "error_text": text, "decisions": {}}
    (call,) = calls({"team_id": "red", "user_id": "bob", **refusal})
    for path in (f"{call.pk}/change/", "export.csv", "export.ndjson", ""):
        response = manager.get(f"{LIST}{path}")
        body = b"".join(response.streaming_content) if response.streaming else response.content  # type: ignore[attr-defined]
        assert b"765432" not in body, path
    assert "has " in manager.get(f"{LIST}{call.pk}/change/").content.decode()  # the cause is told all the same
    whole = b"".join(admin.get(f"{LIST}export.csv").streaming_content).decode()  # type: ignore[attr-defined]
    assert text in next(csv.DictReader(io.StringIO(whole)))["error_text"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (BUDGET, "Budget has been exceeded! User=bob (max (max_budget)."),
        ("Budget has been exceeded! Team=red Current cost: 5, Max budget: 4 (max_budget).", None),
        ("Budget has been exceeded! User=a Current cost: 1, Max budget: 2 (x). Current cost: 5, Max budget: 4 (y).",
         "Budget has been exceeded! User=a Current cost: 1, Max budget: 2 (x). (y)."),
        ("Budget has been exceeded! End user=eve Current cost: 5, Max bu", "Budget has been exceeded! End user=eve"),
        ("Rate limit exceeded for team: red. Limit type: tokens. Current limit: 5, Remaining: 2.", None),
        ("Rate limit exceeded for user: b. Limit type: tokens. Current limit: 5, Remaining: 2. Limit resets at: x",
         "Rate limit exceeded for user: b. Limit type: tokens. Limit resets at: x"),
        ("The model says: Current cost: 5", None),
    ],
)  # fmt: skip
def test_of_errors_only_amounts_that_are_of_several_teams_go(text: str, left: str | None) -> None:
    assert without_amounts(text) == (text if left is None else left)


# --- The policy check


def test_the_policy_check_tells_of_an_owner_s_limit_only_that_there_is_one(
    manager: Client, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    Upstream.objects.create(name="gpu", url="http://127.0.0.1:1", is_default=True)
    Team.objects.create(team_id="red", rpm_limit=1111)
    Owner.objects.create(user_id="bob", rpm_limit=7777)
    VirtualKey.objects.issue(name="dev", team_id="red", user_id="bob")
    counters = MemoryCounters()
    monkeypatch.setattr("gateway.rehearsal.looking.ask_relay", lambda wanted: [(3, 42.0) for _ in wanted])
    monkeypatch.setattr("gateway.rehearsal.looking.shared_counters", lambda: counters)
    asked = {"key": "dev", "route": "/v1/chat/completions", "method": "POST", "model": "m"}
    told, of_all = (one.get("/admin/policy-check/", asked).content.decode() for one in (manager, admin))
    assert "of 7,777 in use" in of_all
    assert "of 1,111 in use" in told
    assert "(owner bob): counts calls of other teams too" in told
    assert "7,777" not in told


# --- The statement


def test_a_statement_tells_no_number_of_all_calls(
    manager: Client, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    Upstream(name="gpu", url="http://127.0.0.1:1", price_per_hour=Decimal(36)).save()
    PricePeriod.objects.update(begins_at=NOW - timedelta(days=40))
    calls({"team_id": "red"}, *[{"team_id": "blue"}] * 3)
    monkeypatch.setattr("gateway.admin_pages.usage_statement.MOST_CALLS", 3)
    told, of_all = (one.get("/admin/usage/statement/").content.decode() for one in (manager, admin))
    assert "The GPU hours of 4 calls are not split" in of_all
    assert "The GPU hours are not split while you wait" in told


def test_a_statement_tells_no_number_of_all_hours_and_no_other_server(manager: Client, admin: Client) -> None:
    for number, price in ((1, Decimal(36)), (2, None)):
        Upstream(name=f"gpu-{number}", url=f"http://127.0.0.1:{number}", price_per_hour=price).save()
    PricePeriod.objects.update(begins_at=NOW - timedelta(days=40))
    ids = dict(Upstream.objects.values_list("name", "pk"))
    entries = [{"team_id": team, "upstream_id": ids["gpu-1"]} for team in ("red", "blue")]
    calls(*entries, {"team_id": "blue", "upstream_id": ids["gpu-2"], "upstream_name": "gpu-2"})
    told, of_all = (one.get("/admin/usage/statement/").content.decode() for one in (manager, admin))
    assert "not in the bill: gpu-2" in of_all
    assert "gpu-2" not in told
    assert "who sees every team is told which" in told


def test_a_key_that_went_to_another_team_keeps_the_name_that_it_had(manager: Client, admin: Client) -> None:
    key, _ = VirtualKey.objects.issue(name="dev", team_id="red")
    calls({"team_id": "red", "key_id": key.pk, "key_name": "dev"})
    VirtualKey.objects.filter(pk=key.pk).update(team_id="blue", name="secret-project")
    told, of_all = (one.get("/admin/usage/", {"by": "key"}).content.decode() for one in (manager, admin))
    assert "secret-project" in of_all
    assert ">dev<" in told
    assert "secret-project" not in told


# --- The search


def found(text: str, *, user: Any = None) -> tuple[list[str], bool]:
    """The key names of the rows that are listed for the manager, or the `user`, and whether it is said that there may
    be more."""
    changes = listed(RequestLog, {"q": text}, user=user or User.objects.get(username="ada"))
    return sorted(row.key_name for row in changes.result_list), changes.found.is_cut


def test_names_of_other_teams_take_no_place_in_a_search(manager: Client) -> None:
    others = [{"team_id": "blue", "key_name": f"app-{n:02}", "end_user": f"app-{n:02}"} for n in range(25)]
    calls(*others, {"team_id": "red", "key_name": "app-zz"}, {"team_id": "red", "key_name": "x", "end_user": "app-zz"})
    assert found("app-") == (["app-zz", "x"], False)
    assert found("app-0") == ([], False)
    assert found("app-00") == ([], False)  # a whole name
    assert found("app-", user=SEES_ALL)[1]


def test_ids_of_other_teams_take_no_place_in_a_search(manager: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_search, "MOST_FOUND", 3)
    others = [{"team_id": "blue", "request_id": f"job-{n}"} for n in range(5)]
    mine, *_ = calls({"team_id": "red", "key_name": "mine", "request_id": "job-9"}, *others)
    assert found("job-") == (["mine"], False)
    assert found(mine.pk.hex[:6]) == (["mine"], False)
    assert found("job-3") == ([], False)


def test_a_search_goes_through_every_team_of_its_own() -> None:
    calls(*[{"team_id": team, "key_name": team, "request_id": f"job-{team}"} for team in ("blue", "green", "red")])
    signed_in("gateway.view_requestlog", teams=["red", "green"])
    assert found("job-") == (["green", "red"], False)
    assert found("g") == (["green"], False)


def test_old_names_are_looked_for_as_far_back_as_the_log_goes(manager: Client, settings: Any) -> None:
    for days in (3, 12):
        received = (NOW - timedelta(days=days)).timestamp()
        calls({"team_id": "red", "key_name": f"app-{days}", "received_at": received})
    settings.LOG_RETENTION_DAYS = 10
    assert found("app-1") == ([], False)
    assert found("app-3") == (["app-3"], False)
