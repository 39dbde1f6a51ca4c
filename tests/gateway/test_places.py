"""Places at upstreams with a ceiling: taken, waited for, given back, also by calls that end early."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gevent
import pytest

from gateway import waiting as waiting_rooms
from gateway.account.entry import Outcome
from gateway.cuts import CallCut, client_gone
from gateway.errors import UpstreamSaturated
from gateway.open_call import OpenCall
from gateway.places import Places
from keys.counters import Charge, MemoryCounters, Standing
from keys.errors import LimitsAway
from tests.support.patience import PATIENCE
from upstreams.selection import Candidate, Target

FREE = Candidate(Target(1, "free", "http://a"))
SMALL = Candidate(Target(2, "small", "http://b", max_parallel=1))
OTHER = Candidate(Target(3, "other", "http://c", max_parallel=1))


@pytest.fixture
def places(settings: Any) -> Places:
    settings.QUEUE_SECONDS = PATIENCE
    return Places(MemoryCounters())


def call(name: str, priority: int = 0) -> OpenCall:
    made = OpenCall(call_id=name, request_id="r", received_at=0, method="POST", on_end=lambda call: None)
    made.priority = priority
    return made


def test_an_upstream_without_a_ceiling_is_always_free(places: Places) -> None:
    assert [places.choose(call(str(number)), [FREE, SMALL]) for number in range(3)] == [FREE] * 3


def test_a_full_one_makes_way_for_the_next(places: Places) -> None:
    assert [places.choose(call(name), [SMALL, OTHER]) for name in "ab"] == [SMALL, OTHER]
    assert places.choose(call("c"), [SMALL, OTHER, FREE]) == FREE


def test_a_full_one_that_is_well_is_waited_for_while_another_is_ill(places: Places) -> None:
    ill = replace(FREE, is_last_resort=True)
    first, second = call("a"), call("b")
    assert places.choose(first, [SMALL, ill]) == SMALL
    gevent.spawn_later(0.05, places.give_back, first, SMALL.upstream)
    assert places.choose(second, [SMALL, ill]) == SMALL
    assert places.choose(second, [ill]) == ill


def test_when_all_are_full_a_call_waits_and_says_how_long(places: Places) -> None:
    first, second = call("a"), call("b")
    places.choose(first, [SMALL])
    gevent.get_hub().loop.update_now()  # what ran before this may have taken longer
    began = time.monotonic()
    gevent.spawn_later(0.1, places.give_back, first, SMALL.upstream)
    assert places.choose(second, [SMALL]) == SMALL
    assert 90 < (second.queue_ms or 0) <= (time.monotonic() - began) * 1000
    assert first.queue_ms is None


def test_nobody_overtakes_who_waits(places: Places) -> None:
    first = call("a")
    places.choose(first, [SMALL])
    served: list[str] = []

    def wait(name: str, priority: int) -> None:
        waiting = call(name, priority)
        places.choose(waiting, [SMALL])
        served.append(name)
        places.give_back(waiting, SMALL.upstream)

    waiters = [gevent.spawn(wait, name, priority) for name, priority in (("low", 0), ("high", 5))]
    gevent.sleep(0)
    places.give_back(first, SMALL.upstream)
    newcomer = gevent.spawn(wait, "new", 0)
    gevent.joinall([*waiters, newcomer], timeout=PATIENCE, raise_error=True)
    assert served == ["high", "low", "new"]


def test_a_full_queue_for_one_upstream_does_not_keep_calls_from_another(settings: Any) -> None:
    settings.QUEUE_SECONDS, settings.QUEUE_LENGTH = PATIENCE, 1
    places = Places(MemoryCounters())
    places.choose(call("a"), [SMALL])
    waiter = gevent.spawn(places.choose, call("b"), [SMALL])
    gevent.sleep(0)
    with pytest.raises(UpstreamSaturated):
        places.choose(call("c"), [SMALL])
    assert places.choose(call("d"), [OTHER]) == OTHER
    assert places.choose(call("e"), [SMALL, FREE]) == FREE
    waiter.kill()


def test_who_waits_too_long_is_refused_and_keeps_no_place(settings: Any) -> None:
    settings.QUEUE_SECONDS = 0.1
    places = Places(MemoryCounters())
    first, second = call("a"), call("b")
    places.choose(first, [SMALL])
    with pytest.raises(UpstreamSaturated):
        places.choose(second, [SMALL])
    places.give_back(first, SMALL.upstream)
    assert places.choose(call("c"), [SMALL]) == SMALL


def in_a_greenlet_that_is_cut(act: Callable[[OpenCall], object]) -> OpenCall:
    """A call of a greenlet that is cut while it acts."""
    made: list[OpenCall] = []

    def run() -> None:
        made.append(call("cut"))
        gevent.spawn(made[0].cut, client_gone())
        try:
            act(made[0])
        except CallCut as cut:
            made[0].fail(cut.outcome, None)

    gevent.spawn(run).join(PATIENCE)
    return made[0]


def test_a_call_that_is_cut_while_it_waits_keeps_no_place(places: Places) -> None:
    first = call("a")
    places.choose(first, [SMALL])
    cut = in_a_greenlet_that_is_cut(lambda one: places.choose(one, [SMALL]))
    assert cut.outcome == Outcome.CLIENT_DISCONNECTED
    places.give_back(first, SMALL.upstream)
    assert places.choose(call("b"), [SMALL]) == SMALL
    assert places.waiting == 0


def test_a_call_that_is_cut_while_it_takes_gives_its_place_back(settings: Any) -> None:
    settings.QUEUE_SECONDS = PATIENCE

    class Slow(MemoryCounters):
        def take(self, lease_id: str, charges: object) -> None:
            super().take(lease_id, charges)  # type: ignore[arg-type]
            if lease_id.startswith("cut"):
                gevent.sleep(0.05)

    places = Places(Slow())
    cut = in_a_greenlet_that_is_cut(lambda one: places.choose(one, [SMALL]))
    assert cut.outcome == Outcome.CLIENT_DISCONNECTED
    assert places.choose(call("b"), [SMALL]) == SMALL


class Unreliable(MemoryCounters):
    """Counters whose store may be away, where calls are refused without it."""

    is_away = False

    def take(self, lease_id: str, charges: Sequence[Charge]) -> list[Standing]:
        if self.is_away:
            raise LimitsAway
        return super().take(lease_id, charges)


def test_who_waits_outlives_a_store_that_is_away_for_a_moment(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.QUEUE_SECONDS = PATIENCE
    monkeypatch.setattr(waiting_rooms, "POLL_SECONDS", 0.05)
    counters = Unreliable()
    places = Places(counters)
    first, second = call("a"), call("b")
    places.choose(first, [SMALL])
    waiting = gevent.spawn(places.choose, second, [SMALL])
    gevent.sleep(0)
    counters.is_away = True
    with pytest.raises(LimitsAway):
        places.choose(call("c"), [OTHER])
    places.give_back(first, SMALL.upstream)
    gevent.sleep(0.08)
    counters.is_away = False
    assert waiting.get(timeout=PATIENCE) == SMALL
