"""The last day: its chart, and who was busiest."""

from __future__ import annotations

import time
from random import Random

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from gateway.admin_pages.home import day
from gateway.admin_pages.home.day import HOURS
from gateway.models import UsageDay
from keys.models import VirtualKey
from tests.gateway.admin_pages.home.page import NOW, calls, chart, part

pytestmark = pytest.mark.django_db


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
