"""The page of a key, and those of teams, owners and end users: what is left, what was used, what went wrong."""

from __future__ import annotations

import re
import time
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from gateway.account.log_store import LogStore
from gateway.limits_in_use import in_use
from keys.counters import Charge, Counters
from keys.models import EndUser, Owner, Team, VirtualKey
from tests.support.counting import counted_here
from tests.support.entries import an_entry
from tests.support.people import signed_in
from tests.support.ports import unused_port

pytestmark = pytest.mark.django_db
KEYS = "/admin/keys/virtualkey/"
DAY = 86_400


@pytest.fixture
def admin() -> Client:
    return signed_in()


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> Counters:
    return counted_here(monkeypatch)


def issue(**fields: object) -> VirtualKey:
    return VirtualKey.objects.issue(name="docs bot", **fields)[0]


def calls(*fields: dict[str, object]) -> None:
    LogStore().store([an_entry(**{"at": time.time(), **one}) for one in fields], pytest.fail)


def page(client: Client, row: VirtualKey | Team | Owner | EndUser):
    return client.get(f"/admin/keys/{row._meta.model_name}/{row.pk}/change/")


def text(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


# --- What it may use -----------------------------------------------------------------------------


def test_the_models_are_those_that_team_and_owner_may_use_too(admin: Client) -> None:
    Team(team_id="red", models=["tiny-*"]).save()
    Owner(user_id="ada", models=["tiny-chat"]).save()
    told = text(page(admin, issue(team_id="red", user_id="ada")))
    assert (
        "Models every model of these only what the team may use: tiny-* of these only what the owner may use: tiny-chat"
        in told
    )


def test_the_page_asks_nothing_twice(admin: Client) -> None:
    Team(team_id="red", max_budget=5).save()
    Owner(user_id="ada", max_budget=5).save()
    key = issue(team_id="red", user_id="ada")
    page(admin, key)
    with CaptureQueriesContext(connection) as asked:
        page(admin, key)
    questions = Counter(one["sql"] for one in asked.captured_queries)
    assert [question for question, times in questions.items() if times > 1] == []


def test_what_was_posted_and_refused_is_not_told_as_what_holds(admin: Client) -> None:
    key = issue(max_parallel_requests=3)
    answer = admin.post(f"{KEYS}{key.pk}/change/", {"name": "", "max_parallel_requests": "7", "max_budget": "many"})
    assert answer.status_code == 200
    told = text(answer)
    assert ("3 calls" in told, "7 calls" in told) == (True, False)


# --- What is left --------------------------------------------------------------------------------


def test_all_limits_are_told_with_whose_they_are(admin: Client, counters: Counters) -> None:
    Team(team_id="red", alias="Research", max_budget=Decimal(5), budget_duration="1d").save()
    Owner(user_id="ada", token_budget=1_000).save()
    key = issue(team_id="red", user_id="ada", rpm_limit=60, max_parallel_requests=4, model_tpm_limit={"qwen-*": 7})
    told = text(page(admin, key))
    for line in ("Calls a minute", "Tokens a minute, qwen-*", "0 of 4 calls", "4 calls", "Team Research"):
        assert line in told
    assert re.search(r"\$0.00 of \$5.00 \$5.00 \d{4}-", told)
    assert "0 of 1,000 tokens 1,000 tokens never" in told


def test_open_calls_and_rates_are_told_as_they_are_counted(admin: Client, counters: Counters) -> None:
    key = issue(max_parallel_requests=4, rpm_limit=60, tpm_limit=100, team_id="red")
    Team(team_id="red", max_parallel_requests=10).save()
    for number in range(3):
        counters.take(
            f"call {number}",
            [
                Charge(f"key:{key.pk}/parallel", 1, 4),
                Charge("team:red/parallel", 1, 10),
                Charge(f"key:{key.pk}/rpm", 4, 60, held=False, seconds=60),
            ],
        )
    told = text(page(admin, key))
    assert "3 of 4 calls 1 call when one ends" in told
    assert "3 of 10 calls 7 calls when one ends" in told
    assert re.search(r"12 of 60 calls 48 calls \d{4}-", told)
    assert "0 of 100 tokens 100 tokens —" in told


def test_what_is_in_use_is_asked_once_for_all(
    admin: Client, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    look = "gateway.admin_pages.known_models.in_use"
    monkeypatch.setattr(look, lambda charges: asked.append(len(charges)) or in_use(charges))
    Team(team_id="red", rpm_limit=5, tpm_limit=5).save()
    Owner(user_id="ada", max_parallel_requests=2).save()
    told = text(page(admin, issue(team_id="red", user_id="ada", rpm_limit=60)))
    assert asked == [4]
    for line in ("0 of 60 calls", "0 of 5 calls", "0 of 5 tokens", "0 of 2 calls"):
        assert line in told


@pytest.mark.sockets
@pytest.mark.skipif(connection.vendor == "postgresql", reason="the database counts")
def test_while_nobody_tells_what_is_in_use_ceilings_are_told(admin: Client, settings: Any) -> None:
    settings.PORT = unused_port()
    told = text(page(admin, issue(rpm_limit=60, max_parallel_requests=4)))
    assert "60 calls at most told in each answer" in told
    assert "4 calls at most — —" in told


def test_a_key_without_limits_says_so(admin: Client) -> None:
    assert "No limit and no budget" in text(page(admin, issue()))


def test_what_an_owner_spends_is_not_for_the_manager_of_one_team() -> None:
    Owner(user_id="ada", max_budget=Decimal(5)).save()
    Team(team_id="red").save()
    key = issue(team_id="red", user_id="ada")
    manager = signed_in("keys.view_virtualkey", teams=["red"])
    assert [group.word for group in page(manager, key).context["limit_groups"]] == ["", "Team"]


# --- Traffic -------------------------------------------------------------------------------------


def test_two_weeks_are_drawn_by_day(admin: Client) -> None:
    key = issue()
    now = time.time()
    calls({"key_id": key.pk, "status": 500}, {"key_id": key.pk}, {"key_id": key.pk, "at": now - 3 * DAY})
    calls({"key_id": key.pk, "at": now - 20 * DAY}, {"key_id": key.pk + 1})
    traffic = page(admin, key).context["traffic_of"]
    assert [traffic.calls_chart["dates"], traffic.tokens_chart["dates"]] == ["day", "day"]
    answered, failed, refused = (series["values"] for series in traffic.calls_chart["series"])
    assert (len(answered), answered[-1], answered[-4], sum(answered)) == (14, 1, 1, 2)
    assert (failed[-1], sum(failed), sum(refused)) == (1, 1, 0)
    assert dict(traffic.figures)["Calls"] == "3"


def test_the_last_errors_are_told_in_words(admin: Client) -> None:
    key = issue()
    calls(
        {"key_id": key.pk, "outcome": "revoked", "status": None},
        {
            "key_id": key.pk,
            "at": time.time() - DAY,
            "outcome": "refused",
            "status": 429,
            "error_type": "throttling_error",
        },
        {"key_id": key.pk},
    )
    told = text(page(admin, key))
    assert "blocked or deleted while the call was open" in told
    assert "A limit was reached" in told
    assert len(page(admin, key).context["traffic_of"].last_calls) == 3


def test_calls_are_for_who_may_see_them() -> None:
    key = issue()
    calls({"key_id": key.pk, "status": 500})
    traffic = page(signed_in("keys.view_virtualkey"), key).context["traffic_of"]
    assert (traffic.last_calls, traffic.last_errors) == ([], [])


@pytest.mark.parametrize(
    ("row", "column"),
    [(Team(team_id="a"), "team_id"), (Owner(user_id="a"), "user_id"), (EndUser(end_user_id="a"), "end_user")],
)
def test_groups_have_the_same_facts(admin: Client, row: Team | Owner | EndUser, column: str) -> None:
    row.max_budget = Decimal(5)
    row.save()
    calls({column: "a", "status": 500}, {column: "other"})
    response = page(admin, row)
    assert dict(response.context["traffic_of"].figures)["Calls"] == "1"
    assert len(response.context["traffic_of"].last_errors) == 1
    assert "$0.00 of $5.00" in text(response)


def test_a_manager_sees_calls_of_their_teams_only() -> None:
    key = issue(team_id="red")
    calls({"key_id": key.pk, "team_id": "red"}, {"key_id": key.pk, "team_id": "blue"})
    manager = signed_in("keys.view_virtualkey", "gateway.view_requestlog", teams=["red"])
    traffic = page(manager, key).context["traffic_of"]
    assert len(traffic.last_calls) == 1
    assert dict(traffic.figures)["Calls"] == "1"


def test_the_newest_history_is_on_the_page(admin: Client) -> None:
    key = issue()
    assert "Nothing was written down yet" in text(page(admin, key))
    admin.post(f"{KEYS}{key.pk}/block/", {"post": "yes"})
    assert "Blocked. ada" in text(page(admin, key))
