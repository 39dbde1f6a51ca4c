"""Tests of /me."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from common.money import units
from keys.counters import Counters
from keys.errors import HolderBlocked
from keys.limit_values import COLUMNS, limits_of
from keys.limits import Asked, charges_for
from keys.models import Owner, Team, VirtualKey
from keys.spending import party_named, start_with
from tests.gateway.spend_api.conftest import API, at, store
from tests.support.counting import counted_here
from tests.support.ports import unused_port

pytestmark = pytest.mark.django_db


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> Counters:
    return counted_here(monkeypatch)


def test_it_works(api: API, ann: tuple[VirtualKey, str]) -> None:
    found = api.get("/me", key=ann[1])
    assert (found["key"]["key_alias"], found["key"]["key_name"]) == ("ann", ann[0].masked)
    assert found["spend"] == [{"of": "key", "name": "ann", "spend": 0.0, "resets_at": None}]
    assert (found["limits"], found["errors"]) == ([], [])
    assert found["usage"]["total"]["calls"] == 0


def test_a_budget_says_what_is_left_and_when_it_starts_anew(api: API) -> None:
    key, secret = VirtualKey.objects.issue(name="a", max_budget=Decimal(10), budget_duration="1d", token_budget=5)
    start_with(key, units(Decimal("2.5")))
    money, tokens = api.get("/me", key=secret)["limits"]
    assert money == {
        "of": "key",
        "name": "a",
        "limit": "max_budget",
        "model": None,
        "unit": "usd",
        "enforced": True,
        "period": "1d",
        "ceiling": 10.0,
        "used": 2.5,
        "left": 7.5,
        "resets_at": "2026-05-21T00:00:00+00:00",
    }
    assert (tokens["unit"], tokens["ceiling"], tokens["used"], tokens["left"]) == ("tokens", 5, 0, 5)
    assert tokens["resets_at"] is None


def test_nothing_is_left_of_a_budget_that_is_overspent(api: API) -> None:
    key, secret = VirtualKey.objects.issue(max_budget=Decimal(1))
    start_with(key, units(Decimal(3)))
    (line,) = api.get("/me", key=secret)["limits"]
    assert (line["used"], line["left"]) == (3.0, 0.0)


@pytest.mark.sockets
@pytest.mark.skipif(connection.vendor == "postgresql", reason="the database counts")
def test_rates_are_told_without_use_while_nobody_tells(api: API, settings: Any) -> None:
    settings.PORT = unused_port()
    _, secret = VirtualKey.objects.issue(
        rpm_limit=60, max_parallel_requests=2, model_tpm_limit={"q*": 7}, shadow_limits=["rpm_limit"]
    )
    lines = api.get("/me", key=secret)["limits"]
    told = [(one["limit"], one["model"], one["period"], one["ceiling"], one["enforced"]) for one in lines]
    assert told == [
        ("max_parallel_requests", None, None, 2, True),
        ("rpm_limit", None, "1m", 60, False),
        ("model_tpm_limit", "q*", "1m", 7, True),
    ]
    assert {one["used"] for one in lines} == {None}


def test_what_is_left_of_rates_is_asked_where_calls_are_counted(api: API, counters: Counters) -> None:
    key, secret = VirtualKey.objects.issue(rpm_limit=60, max_parallel_requests=2, model_tpm_limit={"q*": 7})
    party = replace(party_named(key), limits=limits_of({name: getattr(key, name) for name in COLUMNS}))
    counters.take("open", charges_for([party], Asked(model="m"), lambda _: 0))
    parallel, rpm, tpm = api.get("/me", key=secret)["limits"]
    assert [(one["used"], one["left"]) for one in (parallel, rpm, tpm)] == [(1, 1), (1, 59), (0, 7)]
    assert (parallel["resets_at"], tpm["resets_at"]) == (None, None)
    assert 0 < datetime.fromisoformat(rpm["resets_at"]).timestamp() - time.time() <= 61


def test_the_limits_of_team_and_owner_hold_too(api: API, ann: tuple[VirtualKey, str], counters: Counters) -> None:
    start_with(Team.objects.create(team_id="blue", alias="Blue", max_budget=Decimal(4)), units(Decimal(1)))
    Owner.objects.create(user_id="ann", rpm_limit=3, soft_budget=Decimal(1))
    found = api.get("/me", key=ann[1])
    told = [(one["of"], one["name"], one["limit"], one["ceiling"], one["left"]) for one in found["limits"]]
    assert told == [
        ("team", "Blue", "max_budget", 4.0, 3.0),
        ("user", "ann", "soft_budget", 1.0, 1.0),
        ("user", "ann", "rpm_limit", 3, 3),
    ]
    assert found["limits"][1]["enforced"] is False
    assert [one["spend"] for one in found["spend"]] == [0.0, 1.0, 0.0]


def test_who_stops_every_call_is_told_as_the_relay_refuses(api: API, ann: tuple[VirtualKey, str]) -> None:
    assert api.get("/me", key=ann[1])["blocked_by"] == []
    Team.objects.create(team_id="blue", alias="Blue", blocked=True)
    Owner.objects.create(user_id="ann", blocked=True)
    found = api.get("/me", key=ann[1])["blocked_by"]
    assert [(one["of"], one["name"], one["who_can_mend"]) for one in found] == [
        ("team", "Blue", "the admin"),
        ("user", "ann", "the admin"),
    ]
    assert [one["reason"] for one in found] == [str(HolderBlocked(one["of"], one["name"]).message) for one in found]


def test_a_management_key_calls_nothing_that_a_block_could_stop(api: API) -> None:
    Team.objects.create(team_id="blue", blocked=True)
    _, secret = VirtualKey.objects.issue(team_id="blue", key_type="management")
    assert api.get("/me", key=secret)["blocked_by"] == []


def test_usage_is_told_by_model_and_day(api: API, ann: tuple[VirtualKey, str]) -> None:
    mine = ann[0].pk
    store(
        at(0, key_id=mine, cost="0.5"),
        at(1, key_id=mine, model="two", status=500, cost=None),
        at(0, key_id=mine + 1),
        at(31, key_id=mine),
    )
    usage = api.get("/me", key=ann[1])["usage"]
    figures = {"refused": 0, "cut": 0, "prompt_tokens": 3, "completion_tokens": 5, "cached_tokens": 1}
    assert usage["by_model_and_day"] == [
        {"date": "2026-05-20", "model": "qwen", "calls": 1, "errors": 0, "failed": 0, **figures, "spend": 0.5},
        {"date": "2026-05-19", "model": "two", "calls": 1, "errors": 1, "failed": 1, **figures, "spend": None},
    ]
    assert (usage["days"], usage["total"]["calls"], usage["total"]["spend"]) == (30, 2, 0.5)


def test_the_last_ten_errors_have_their_reason(api: API, ann: tuple[VirtualKey, str]) -> None:
    mine: dict[str, Any] = {"key_id": ann[0].pk, "status": 429, "outcome": "refused", "error_type": "throttling_error"}
    store(*(at(number / 10, **mine, error_text=f"reason {number}") for number in range(12)))
    store(at(0.01, key_id=ann[0].pk), at(0.02, **{**mine, "key_id": 999}, error_text="of another"))
    errors = api.get("/me", key=ann[1])["errors"]
    assert [one["reason"] for one in errors] == [f"reason {number}" for number in range(10)]
    assert (errors[0]["status"], errors[0]["type"], errors[0]["who_can_mend"]) == (
        429,
        "throttling_error",
        "the caller",
    )


def test_an_error_without_a_text_has_a_reason_too(api: API, ann: tuple[VirtualKey, str]) -> None:
    store(at(0, key_id=ann[0].pk, outcome="lost", status=None))
    (error,) = api.get("/me", key=ann[1])["errors"]
    assert error["reason"].startswith("The gateway was killed")


def test_nothing_of_another_key_and_no_digest_is_told(api: API, ann: tuple[VirtualKey, str]) -> None:
    other, _ = VirtualKey.objects.issue(name="other-key", user_id="ann", team_id="blue")
    store(at(0, key_id=other.pk, model="other-model", upstream_name="secret-server"))
    store(at(0, key_id=ann[0].pk, status=500, upstream_name="secret-server"))
    text = api.ask("/me", key=ann[1]).content.decode()
    digests = [secret.digest for key in (ann[0], other) for secret in key.secrets.all()]
    for hidden in (*digests, ann[1], "other-key", "other-model", "secret-server"):
        assert hidden not in text


def test_a_management_key_reads_about_itself(api: API) -> None:
    _, secret = VirtualKey.objects.issue(name="m", key_type="management")
    assert api.get("/me", key=secret)["key"]["endpoint_classes"] == []


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("sk-of-nobody-at-all", 401)])
def test_nobody_reads_without_a_key(api: API, key: str | None, status: int) -> None:
    assert api.ask("/me", key=key).status_code == status


def test_the_master_key_has_no_usage_of_its_own(api: API) -> None:
    assert api.ask("/me").status_code == 400
    assert api.ask("/me", colour="red").status_code == 400


def test_anonymous_callers_have_nothing_to_read(api: API, settings: Any) -> None:
    settings.REQUIRE_KEYS = False
    assert api.ask("/me", key="anything").status_code == 401


def test_a_blocked_key_is_refused(api: API, ann: tuple[VirtualKey, str]) -> None:
    ann[0].block()
    assert api.ask("/me", key=ann[1]).status_code == 401
