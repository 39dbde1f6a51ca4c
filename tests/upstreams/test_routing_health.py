"""What the health and the load of upstreams do to the order in which they are tried."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tests.upstreams.test_pool import firsts, fresh, make, names
from upstreams.health import Mark
from upstreams.models import ModelAlias, Routing, Upstream
from upstreams.pool import UpstreamPool
from upstreams.selection import Candidate, Hints

pytestmark = pytest.mark.django_db


def healthy(pool: UpstreamPool, **healths: str) -> None:
    for name, health in healths.items():
        Upstream.objects.filter(name=name).update_quietly(health=health)
    pool.observe()


def test_one_that_the_probes_find_ill_goes_behind_all_others() -> None:
    for name in ("one", "two", "three"):
        make(name, "chat")
    pool = fresh()
    healthy(pool, one="unhealthy")
    orders = [names(pool.candidates("chat")) for _ in range(4)]
    assert {order[-1] for order in orders} == {"one"}
    assert Counter(order[0] for order in orders) == {"two": 2, "three": 2}
    assert [one.is_last_resort for one in pool.candidates("chat")] == [False, False, True]


def test_the_only_one_is_called_however_ill() -> None:
    make("one", "chat")
    pool = fresh()
    healthy(pool, one="unhealthy")
    pool.mark(pool.named("one").upstream.id, Mark.REFUSED)
    assert names(pool.candidates("chat")) == ["one"]


def test_one_that_cools_down_is_passed_over_until_one_call_has_tried_it() -> None:
    clock = [0.0]
    one, two = make("one", "chat"), make("two", "chat")
    pool = UpstreamPool(lambda: clock[0])
    pool.refresh()
    pool.mark(one.pk, Mark.REFUSED)
    assert {names(pool.candidates("chat"))[0] for _ in range(4)} == {"two"}
    clock[0] += 5
    pool.enter(two.pk)
    pool.enter(one.pk, is_trial=False)  # who only asks for its metrics
    assert names(pool.candidates("chat"))[0] == "one"
    pool.enter(one.pk)
    pool.leave(one.pk)
    pool.leave(one.pk)
    assert {names(pool.candidates("chat"))[0] for _ in range(4)} == {"two"}
    pool.mark(one.pk, Mark.OK)
    assert "one" in {names(pool.candidates("chat"))[0] for _ in range(4)}


def test_where_all_cool_down_the_one_that_is_free_soonest_is_tried_first() -> None:
    clock = [0.0]
    one, two = make("one", "chat"), make("two", "chat")
    pool = UpstreamPool(lambda: clock[0])
    pool.refresh()
    pool.mark(two.pk, Mark.REFUSED)
    clock[0] += 1
    pool.mark(one.pk, Mark.REFUSED)
    assert names(pool.candidates("chat")) == ["two", "one"]
    assert not any(one.is_last_resort for one in pool.candidates("chat"))


def test_one_that_the_probes_find_well_again_is_called_at_once() -> None:
    one, _ = make("one", "chat"), make("two", "chat")
    pool = fresh()
    pool.mark(one.pk, Mark.REFUSED)
    healthy(pool, one="unhealthy")
    healthy(pool, one="healthy")
    assert firsts(pool, "chat", 4)["one"] == 2


def test_the_routing_says_when_and_for_how_long() -> None:
    clock = [0.0]
    Routing.objects.create(cooldown_seconds=30, failures_before_cooldown=2)
    one, _ = make("one", "chat"), make("two", "chat")
    pool = UpstreamPool(lambda: clock[0])
    pool.refresh()
    pool.mark(one.pk, Mark.TIMEOUT)
    assert firsts(pool, "chat", 4)["one"] == 2
    pool.mark(one.pk, Mark.TIMEOUT)
    clock[0] += 29
    assert firsts(pool, "chat", 4)["one"] == 0


def test_states_and_health_are_counted_without_the_disabled() -> None:
    make("one", health="healthy")
    make("two", health="unhealthy", state="draining")
    make("three", state="disabled")
    assert fresh().observe() == {"healthy": 1, "unhealthy": 1}


def test_observing_costs_one_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    make("one")
    pool = fresh()
    with django_assert_num_queries(1):
        pool.observe()


# --- Load


def loaded(name: str, waiting: int, *, seconds_ago: float = 1, **fields: Any) -> None:
    load_at = timezone.now() - timedelta(seconds=seconds_ago)
    make(name, "chat", waiting=waiting, kv_cache_use=0.1, load_at=load_at, **fields)


def test_the_shortest_queue_comes_first() -> None:
    Routing.objects.create(strategy="lowest_waiting")
    loaded("one", 5)
    loaded("two", 1)
    loaded("three", 3)
    pool = fresh()
    pool.observe()
    assert names(pool.candidates("chat")) == ["two", "three", "one"]


def test_calls_sent_since_the_figures_were_read_count_until_the_next() -> None:
    Routing.objects.create(strategy="lowest_waiting")
    loaded("one", 1)
    loaded("two", 2)
    pool = fresh()
    pool.observe()
    one = pool.named("one").upstream.id
    for _ in range(3):
        pool.enter(one)
        pool.leave(one)
    assert names(pool.candidates("chat")) == ["two", "one"]
    pool.observe()
    assert names(pool.candidates("chat")) == ["two", "one"]
    Upstream.objects.filter(name="one").update_quietly(load_at=timezone.now())
    pool.observe()
    assert names(pool.candidates("chat")) == ["one", "two"]


def test_old_figures_count_as_unknown() -> None:
    Routing.objects.create(strategy="lowest_waiting")
    loaded("one", 0, seconds_ago=20)
    loaded("two", 1)
    pool = fresh()
    pool.observe()
    assert names(pool.candidates("chat")) == ["two", "one"]


def test_candidates_cost_no_query_whatever_the_strategy(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    ModelAlias.objects.create(name="chat", strategy="prefix_affinity")
    make("one", "chat", "org/*")
    make("two", "chat", "org/*")
    pool = fresh()
    pool.observe()
    with django_assert_num_queries(0):
        for model in ("chat", "vllm/chat", "org/x", "unknown"):
            assert isinstance(pool.candidates(model, Hints(session="s", prefix=b"p"))[0], Candidate)
        pool.models()
        pool.named("one")
