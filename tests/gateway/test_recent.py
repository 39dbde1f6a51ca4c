"""What ended in the last minute and in the last five, counted where calls end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.account.entry import Outcome
from gateway.account.recent import MOST_TEAMS, RecentTraffic, joined
from tests.support.clock import Clock


def call(**facts: Any) -> Any:
    plain = {
        "team_id": None,
        "outcome": Outcome.COMPLETED,
        "status": 200,
        "prompt_tokens": None,
        "completion_tokens": None,
        "ttft_ms": None,
    }
    return SimpleNamespace(**{**plain, **facts})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recent(clock: Clock) -> RecentTraffic:
    return RecentTraffic(clock)


def test_it_counts_by_team(recent: RecentTraffic, clock: Clock) -> None:
    recent.add(call(team_id="red", prompt_tokens=10, completion_tokens=5))
    recent.add(call(team_id="red", prompt_tokens=1))
    recent.add(call())
    clock.now = 5
    assert recent.minute() == {"red": {"calls": 2, "prompt": 11, "completion": 5}, "": {"calls": 1}}


def test_what_is_refused_or_cut_is_not_a_failure(recent: RecentTraffic, clock: Clock) -> None:
    recent.add(call(outcome=Outcome.REFUSED, status=429))
    recent.add(call(outcome=Outcome.UPSTREAM_FAILED, status=502))
    recent.add(call(status=400))
    recent.add(call(outcome=Outcome.CLIENT_DISCONNECTED, status=None))
    recent.add(call(outcome=Outcome.REVOKED, status=200))
    clock.now = 5
    assert recent.minute()[""] == {"calls": 5, "refused": 1, "failed": 2, "cut": 1}


def test_the_slot_that_still_runs_is_not_told(recent: RecentTraffic, clock: Clock) -> None:
    recent.add(call())
    clock.now = 4.9
    assert recent.minute() == {}


@pytest.mark.parametrize(("seconds", "minute", "five"), [(60, 1, 1), (65, 0, 1), (300, 0, 1), (305, 0, 0)])
def test_it_forgets(recent: RecentTraffic, clock: Clock, seconds: float, minute: int, five: int) -> None:
    recent.add(call(ttft_ms=15.0))
    clock.now = seconds
    assert sum(figures["calls"] for figures in recent.minute().values()) == minute
    assert sum(figures["ttft1"] for figures in recent.five_minutes().values()) == five


def test_a_long_silence_costs_no_more_than_a_short_one(recent: RecentTraffic, clock: Clock) -> None:
    recent.add(call())
    clock.now = 1e9
    recent.add(call())
    clock.now += 5
    assert recent.five_minutes() == {"": {"calls": 1}}


def test_of_many_teams_the_busiest_are_told(recent: RecentTraffic, clock: Clock) -> None:
    for number in range(MOST_TEAMS + 1):
        recent.add(call(team_id=f"team-{number}"))
    recent.add(call(team_id="team-500"))
    clock.now = 5
    told = recent.minute()
    assert len(told) == MOST_TEAMS
    assert told["team-500"] == {"calls": 2}


def test_figures_join() -> None:
    assert joined([{"calls": 1, "failed": 1}, {"calls": 2}]) == {"calls": 3, "failed": 1}
