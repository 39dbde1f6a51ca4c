"""Each strategy's distribution, and what happens to affinity when a server leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from upstreams.selection import (
    MOST_BUSIER,
    NO_HINTS,
    STRATEGIES,
    Candidate,
    Hints,
    Load,
    Situation,
    Target,
)

IDLE = Situation()


def servers(*weights: int) -> list[Candidate]:
    return [
        Candidate(Target(number, f"server {number}", "http://host"), weight=weight)
        for number, weight in enumerate(weights, 1)
    ]


def first_ids(name: str, candidates: Sequence[Candidate], calls: int, situation: Situation = IDLE) -> Counter[int]:
    """How often each server comes first in so many calls."""
    strategy = STRATEGIES[name]
    orders = [strategy.order(candidates, situation, NO_HINTS, turn) for turn in range(calls)]
    return Counter(order[0].upstream.id or 0 for order in orders)


def first(name: str, candidates: Sequence[Candidate], hints: Hints, situation: Situation = IDLE) -> int:
    return STRATEGIES[name].order(candidates, situation, hints, 0)[0].upstream.id or 0


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("hints", [NO_HINTS, Hints(session="s", prefix=b"p")])
def test_every_strategy_gives_each_candidate_once(name: str, hints: Hints) -> None:
    candidates = servers(1, 2, 3)
    for turn in range(7):
        order = STRATEGIES[name].order(candidates, IDLE, hints, turn)
        assert sorted(one.upstream.id or 0 for one in order) == [1, 2, 3]


def test_the_least_busy_server_comes_first_and_equals_take_turns() -> None:
    candidates = servers(1, 1, 1)
    assert first_ids("least_in_flight", candidates, 30) == {1: 10, 2: 10, 3: 10}
    busy = Situation(in_flight={1: 2, 2: 1, 3: 1})
    assert first_ids("least_in_flight", candidates, 30, busy) == {2: 20, 3: 10}
    order = STRATEGIES["least_in_flight"].order(candidates, Situation(in_flight={1: 9, 2: 5}), NO_HINTS, 0)
    assert [one.upstream.id for one in order] == [3, 2, 1]


def test_weighted_round_robin_gives_each_its_share_evenly() -> None:
    candidates = servers(5, 1, 2)
    assert first_ids("weighted_round_robin", candidates, 800) == {1: 500, 2: 100, 3: 200}
    strategy = STRATEGIES["weighted_round_robin"]
    cycle = [strategy.order(candidates, IDLE, NO_HINTS, turn)[0].upstream.id for turn in range(8)]
    assert cycle == [1, 3, 1, 2, 1, 1, 3, 1]  # not five times the first in a row


def test_large_weights_keep_their_proportions() -> None:
    shares = first_ids("weighted_round_robin", servers(3_000_000, 1_000_000, 1), 10_010)
    assert shares[1] / shares[2] == pytest.approx(3, rel=0.02)
    assert shares[3] > 0


def test_the_shortest_queue_of_the_servers_own_comes_first() -> None:
    candidates = servers(1, 1, 1)
    loads = {1: Load(waiting=4, kv_cache_use=0.1), 2: Load(waiting=0, kv_cache_use=0.9), 3: Load(waiting=0)}
    order = STRATEGIES["lowest_waiting"].order(candidates, Situation(loads=loads), NO_HINTS, 0)
    assert [one.upstream.id for one in order] == [3, 2, 1]


def test_calls_since_the_figures_were_read_decide_between_equals() -> None:
    situation = Situation(in_flight={1: 3}, loads={1: Load(0), 2: Load(0)})
    assert first("lowest_waiting", servers(1, 1), NO_HINTS, situation) == 2


def test_between_two_reads_the_calls_are_spread_as_the_queues_would_grow() -> None:
    sent: Counter[int | None] = Counter()
    situation = Situation(loads={1: Load(1), 2: Load(3)}, sent_since=sent)
    for _ in range(10):
        sent[first("lowest_waiting", servers(1, 1), NO_HINTS, situation)] += 1
    assert sent == {1: 6, 2: 4}


def test_where_nothing_waits_the_calls_of_these_seconds_are_shared_out() -> None:
    sent: Counter[int | None] = Counter()
    situation = Situation(loads={1: Load(0, 0.21), 2: Load(0, 0.29)}, sent_since=sent)
    for _ in range(10):
        sent[first("lowest_waiting", servers(1, 1), NO_HINTS, situation)] += 1
    assert sent == {1: 5, 2: 5}


def test_a_server_whose_figures_are_unknown_comes_last() -> None:
    assert first("lowest_waiting", servers(1, 1), NO_HINTS, Situation(loads={2: Load(50, 0.9)})) == 2


def test_a_session_stays_with_its_server_and_sessions_are_spread() -> None:
    candidates = servers(1, 1, 1, 1)
    sessions = [Hints(session=f"session {number}") for number in range(2000)]
    homes = [first("session_affinity", candidates, hints) for hints in sessions]
    assert homes == [first("session_affinity", candidates[::-1], hints) for hints in sessions]
    assert all(400 < count < 600 for count in Counter(homes).values())


def test_only_the_sessions_of_a_server_that_left_move() -> None:
    candidates = servers(1, 1, 1, 1)
    left = [one for one in candidates if one.upstream.id != 2]
    sessions = [Hints(session=str(number)) for number in range(1000)]
    before = [first("session_affinity", candidates, hints) for hints in sessions]
    after = [first("session_affinity", left, hints) for hints in sessions]
    assert all(old == new for old, new in zip(before, after, strict=True) if old != 2)
    moved = Counter(new for old, new in zip(before, after, strict=True) if old == 2)
    assert set(moved) == {1, 3, 4}


def test_only_the_prefixes_of_a_server_that_left_move() -> None:
    candidates = servers(1, 1, 1)
    left = candidates[1:]
    prefixes = [Hints(prefix=b"prompt %d" % number) for number in range(500)]
    before = [first("prefix_affinity", candidates, hints) for hints in prefixes]
    after = [first("prefix_affinity", left, hints) for hints in prefixes]
    assert all(old == new for old, new in zip(before, after, strict=True) if old != 1)


def test_a_prefix_does_not_pile_up_on_one_server() -> None:
    candidates = servers(1, 1)
    hints = Hints(prefix=b"all begin like this")
    home = first("prefix_affinity", candidates, hints)
    other = 3 - home
    assert first("prefix_affinity", candidates, hints, Situation(in_flight={home: MOST_BUSIER})) == home
    assert first("prefix_affinity", candidates, hints, Situation(in_flight={home: MOST_BUSIER + 1})) == other


@pytest.mark.parametrize("name", ["session_affinity", "prefix_affinity"])
def test_without_a_hint_the_least_busy_comes_first(name: str) -> None:
    assert first(name, servers(1, 1), NO_HINTS, Situation(in_flight={1: 1})) == 2


def test_a_target_does_not_show_its_address_or_credential() -> None:
    target = Target(1, "name", "http://secret-host", "secret-credential")
    assert "secret" not in repr(target)
