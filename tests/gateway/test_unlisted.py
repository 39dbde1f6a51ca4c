"""Calls that have no row in the request log: counted where they are refused, added up over workers and restarts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.errors import GatewayError
from gateway.account.retention import Pruner
from gateway.account.unlisted import MOST_CALLERS, MOST_SLOTS, Unlisted
from gateway.account.unlisted_calls import KEPT_FOR, OF_THE_KEY, UnlistedCalls
from gateway.admin_pages.unlisted import words_of
from gateway.errors import NotServing, UnsafeTarget
from keys import crypto
from keys.errors import (
    AuthorizationMalformed,
    DatabaseAway,
    KeyBlocked,
    KeyExpired,
    KeyMalformed,
    KeyMissing,
    KeyUnknown,
    ManagementRefused,
)
from tests.support.clock import Clock
from tests.support.entries import NOON

NOW = datetime.fromtimestamp(NOON, tz=UTC)
SECRET = "sk-of-another-system-123"


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def unlisted(clock: Clock) -> Unlisted:
    return Unlisted(clock)


def environ(key: str = SECRET, address: str = "192.0.2.7", agent: str = "openai/1.0") -> dict[str, Any]:
    return {"HTTP_AUTHORIZATION": f"Bearer {key}", "REMOTE_ADDR": address, "HTTP_USER_AGENT": agent}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyMissing(), "no_key"),
        (KeyMalformed(), "malformed"),
        (AuthorizationMalformed(), "malformed"),
        (KeyUnknown(), "unknown"),
        (DatabaseAway(), "database_away"),
        (NotServing(), "not_serving"),
        (UnsafeTarget(), "unsafe_path"),
        (ManagementRefused(), "no_manager"),
        (KeyBlocked(), "blocked"),
        (KeyExpired(masked="sk-...abcd", expired_at=NOON, now=NOON), "expired"),
        (GatewayError(), "other"),
    ],
)
def test_each_is_counted_by_its_reason(unlisted: Unlisted, error: GatewayError, reason: str) -> None:
    unlisted.add(error, environ())
    assert unlisted.take() == {(int(NOON), reason): 1}


@pytest.mark.parametrize(("reason", "words"), [("blocked", "that is blocked"), ("expired", "that has expired")])
def test_a_key_that_was_good_once_is_told_from_one_that_never_may(reason: str, words: str) -> None:
    assert reason in OF_THE_KEY
    assert words_of(reason).endswith(f"with a key {words}")


@pytest.mark.parametrize(("damage", "reason"), [(lambda key: key, "unknown"), (lambda key: key[:-1], "mistyped")])
def test_a_key_of_ours_that_is_cut_off_is_told_from_one_that_is_not_there(
    unlisted: Unlisted, damage: Any, reason: str
) -> None:
    unlisted.add(KeyUnknown(), environ(damage(crypto.generate())))
    assert [one["reason"] for one in unlisted.callers()] == [reason]
    assert unlisted.unknown_keys == 1


def test_the_last_callers_are_told_without_their_keys(unlisted: Unlisted, clock: Clock) -> None:
    unlisted.add(KeyUnknown(), environ())
    unlisted.add(KeyMissing(), environ(address="192.0.2.8"))
    clock.now += 60
    unlisted.add(KeyUnknown(), environ(agent="x" * 500))
    last, first = unlisted.callers()
    assert (last["address"], last["reason"], last["calls"], last["at"]) == ("192.0.2.7", "unknown", 2, int(NOON) + 60)
    assert (last["digest"], len(last["agent"])) == (crypto.digest(SECRET)[:8], 80)
    assert (first["address"], first["digest"]) == ("192.0.2.8", "")
    assert SECRET[3:] not in json.dumps(unlisted.callers())


def test_what_is_no_key_of_anybodys_leaves_no_digest(unlisted: Unlisted) -> None:
    unlisted.add(KeyMalformed(), environ("a password"))
    assert unlisted.callers()[0]["digest"] == ""


def test_few_callers_are_kept_of_many(unlisted: Unlisted) -> None:
    for number in range(MOST_CALLERS + 5):
        unlisted.add(KeyUnknown(), environ(f"{SECRET}{number}"))
    assert len(unlisted.callers()) == MOST_CALLERS
    assert unlisted.take() == {(int(NOON), "unknown"): MOST_CALLERS + 5}


def test_an_address_behind_a_proxy_is_that_of_the_client(unlisted: Unlisted, settings: Any) -> None:
    settings.TRUSTED_PROXIES = []
    unlisted.add(KeyMissing(), {**environ(), "HTTP_X_FORWARDED_FOR": "203.0.113.9"})
    assert unlisted.callers()[0]["address"] == "192.0.2.7"


def test_what_could_not_be_stored_is_told_again(unlisted: Unlisted) -> None:
    unlisted.add(KeyMissing(), environ())
    taken = unlisted.take()
    unlisted.add(KeyMissing(), environ())
    unlisted.give_back(taken)
    assert unlisted.take() == {(int(NOON), "no_key"): 2}
    assert unlisted.take() == {}


def test_what_waits_to_be_stored_is_bounded(unlisted: Unlisted) -> None:
    unlisted.give_back({(slot, "no_key"): 1 for slot in range(MOST_SLOTS + 10)})
    assert len(unlisted.take()) == MOST_SLOTS


@pytest.mark.django_db
def test_workers_add_up() -> None:
    UnlistedCalls.objects.add({(int(NOON), "unknown"): 2, (int(NOON), "no_key"): 1})
    UnlistedCalls.objects.add({(int(NOON), "unknown"): 3, (int(NOON) - 3600, "unknown"): 7})
    assert UnlistedCalls.objects.since(NOW).by_reason() == {"unknown": 5, "no_key": 1}
    assert UnlistedCalls.objects.since(NOW - timedelta(hours=1)).by_reason() == {"unknown": 12, "no_key": 1}


@pytest.mark.django_db
def test_old_sums_are_removed() -> None:
    old = int(NOON - KEPT_FOR.total_seconds() - 1)
    UnlistedCalls.objects.add({(old, "unknown"): 1, (int(NOON), "unknown"): 1})
    assert Pruner(2, clock=lambda: NOON).turn() == 1
    assert [str(row) for row in UnlistedCalls.objects.all()] == ["2026-05-04 12:30 unknown"]
