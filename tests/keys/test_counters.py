"""Tests of keys.counters: all kinds keep the same promises; those that are shared, among processes and failures too."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError, connection, connections
from django.utils import timezone

from keys.counters import Charge, Counters, MemoryCounters, PostgresCounters, Spent, Standing, make_counters, merged
from keys.counters import shared as shared_module
from keys.counters.redis import RedisCounters
from keys.counters.shared import SharedCounters
from keys.errors import BudgetExceeded, LimitExceeded, LimitsAway
from keys.models import Counter, Lease
from tests.support import redis_server
from tests.support.clock import Clock
from tests.support.redis_server import RedisServer
from tests.support.tls import self_signed
from tests.support.upstream import unused_port

ONE = Charge("key:1", 1, 1, subject="laptop", limit="max_parallel_requests")
OTHER = Charge("key:2", 1, 1)
RATE = Charge("key:1/rpm", 1, 3, held=False, seconds=60.0, counts="requests")
TOKENS = Charge("key:1/tpm", 40, 100, seconds=60.0, elastic=True, unit="tokens", counts="tokens")
BUDGET = Charge("key:1/usd", 400, 1000, seconds=None, elastic=True, unit="usd", counts="budget")

postgresql = pytest.mark.skipif(settings.EMBEDDED, reason="needs TEST_DATABASE=postgresql")
STORES = [
    pytest.param("postgresql", marks=[postgresql, pytest.mark.django_db]),
    pytest.param("redis", marks=[redis_server.needed, pytest.mark.sockets]),
]
Make = Callable[..., SharedCounters]


@pytest.fixture(scope="module")
def standing_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis(request: pytest.FixtureRequest) -> RedisServer:
    """An empty one."""
    server: RedisServer = request.getfixturevalue("standing_redis")
    server.client().flushall()
    return server


@pytest.fixture(params=STORES)
def make(request: pytest.FixtureRequest) -> Make:
    """Makes counters of another process, as it were, in an empty store."""
    if request.param == "redis":
        url = request.getfixturevalue("redis").url
        return lambda **options: RedisCounters(url, **options)
    return PostgresCounters


@pytest.fixture
def shared(make: Make) -> SharedCounters:
    return make()


@pytest.fixture(params=["memory", *STORES])
def counters(request: pytest.FixtureRequest) -> Counters:
    if request.param == "memory":
        return MemoryCounters()
    if request.param == "redis":
        return RedisCounters(request.getfixturevalue("redis").url)
    return PostgresCounters()


def is_free(counters: Counters, *charges: Charge) -> bool:
    try:
        counters.take("probe", charges)
    except LimitExceeded:
        return False
    counters.release("probe")
    return True


def take(counters: Counters, lease: str, charge: Charge) -> Standing:
    (standing,) = counters.take(lease, [charge])
    return standing


def settle(counters: Counters, lease: str, charge: Charge, amount: int) -> None:
    counters.settle(lease, [Spent(charge.counter, amount, charge.seconds)])
    counters.flush()


# --- What all keep: places


def test_a_place_is_taken_once(counters: Counters) -> None:
    counters.take("a", [ONE])
    with pytest.raises(LimitExceeded, match=r"api_key: laptop\. .* Current limit: 1, Remaining: 0\."):
        counters.take("b", [ONE])


def test_a_refusal_tells_how_its_limit_stood(counters: Counters) -> None:
    rate = replace(RATE, ceiling=1, limit="rpm_limit")
    counters.take("a", [ONE, rate])
    for charge, told in (
        (ONE, ("max_parallel_requests", None, None, 1, 1, 1)),
        (rate, ("rpm_limit", None, None, 1, 1, 1)),
    ):
        with pytest.raises(LimitExceeded) as refused:
            counters.take("b", [OTHER, charge])
        kind, *found, left, enforced, exceeded = refused.value.told["limit"]
        assert (kind, *found, enforced, exceeded) == ("key", *told, True, True)
        assert left is None if charge is ONE else 0 < left <= 60


def test_a_released_place_is_free_again(counters: Counters) -> None:
    counters.take("a", [ONE])
    counters.release("a")
    assert is_free(counters, ONE)


def test_all_charges_are_taken_or_none(counters: Counters) -> None:
    counters.take("a", [OTHER])
    assert not is_free(counters, ONE, OTHER)
    assert is_free(counters, ONE)


def test_of_two_charges_on_one_counter_the_stricter_counts() -> None:
    strict, lax = replace(ONE, ceiling=1), replace(ONE, ceiling=5)
    assert merged([lax, OTHER, strict]) == [strict, OTHER]


def test_what_is_used_of_a_counter_is_used_once(counters: Counters) -> None:
    shadow = replace(ONE, enforced=False, ceiling=0)
    assert [one.taken for one in counters.take("a", merged([shadow, ONE]))] == [1, 0]
    counters.release("a")
    assert is_free(counters, ONE)


def test_of_a_rate_in_shadow_beside_one_that_is_not_each_call_counts_once(counters: Counters) -> None:
    charges = merged([replace(RATE, enforced=False, ceiling=1), RATE])
    found = [[(one.used, one.exceeded) for one in counters.take(lease, charges)] for lease in "ab"]
    assert found == [[(1, False), (0, False)], [(2, False), (1, True)]]


def test_a_lease_that_takes_more_keeps_what_it_has(counters: Counters) -> None:
    counters.take("a", [ONE])
    counters.take("a", [OTHER])
    with pytest.raises(LimitExceeded):
        counters.take("a", [ONE])
    assert not is_free(counters, ONE)
    counters.release("a")
    assert is_free(counters, ONE, OTHER)


def test_a_lease_may_take_of_one_counter_twice(counters: Counters) -> None:
    two = replace(ONE, ceiling=2)
    counters.take("a", [two])
    counters.take("a", [two])
    assert not is_free(counters, two)
    counters.release("a")
    assert is_free(counters, replace(two, amount=2))


def test_releasing_and_renewing_what_was_never_taken_is_harmless(counters: Counters) -> None:
    counters.take("a", [])
    counters.release("a")
    counters.release("b")
    counters.renew(["a", "b"])
    counters.flush()
    assert is_free(counters, ONE)
    assert not counters.is_degraded


# --- What all keep: windows


def test_a_window_says_what_is_used_and_when_it_ends(counters: Counters) -> None:
    standings = [take(counters, lease, RATE) for lease in "abc"]
    assert [(one.used, one.taken) for one in standings] == [(1, 1), (2, 1), (3, 1)]
    assert all(59 < (one.seconds_left or 0) <= 60 for one in standings)
    with pytest.raises(LimitExceeded) as refused:
        counters.take("d", [RATE])
    assert 59 <= (refused.value.retry_after or 0) <= 60
    counters.release("a")
    assert not is_free(counters, RATE)  # the call has been made


def test_a_window_ends_by_itself(counters: Counters) -> None:
    short = replace(RATE, seconds=0.5, ceiling=1)
    counters.take("a", [short])
    assert not is_free(counters, short)
    time.sleep(0.55)
    assert is_free(counters, short)


def test_tokens_are_reserved_and_then_booked_as_they_were(counters: Counters) -> None:
    assert take(counters, "a", TOKENS).used == 40
    assert take(counters, "b", TOKENS).used == 80
    assert take(counters, "c", TOKENS)[:3:2] == (100, 20)  # what is left
    assert not is_free(counters, TOKENS)
    settle(counters, "a", TOKENS, 10)
    counters.release("b")
    assert take(counters, "d", TOKENS).used == 10 + 20 + 40
    settle(counters, "c", TOKENS, 75)  # more than was reserved
    assert take(counters, "e", replace(TOKENS, enforced=False))[:4:3] == (10 + 75 + 40 + 40, True)


def test_what_is_settled_without_a_lease_counts(counters: Counters) -> None:
    settle(counters, "a", TOKENS, 90)
    standing = take(counters, "b", TOKENS)
    assert (standing.used, standing.taken) == (100, 10)
    assert 59 < (standing.seconds_left or 0) <= 60


def test_what_is_known_to_have_been_used_counts(counters: Counters) -> None:
    assert take(counters, "a", replace(BUDGET, floor=700)) == Standing(1000, None, 300)
    settle(counters, "a", BUDGET, 100)
    assert take(counters, "b", BUDGET).used == 700 + 100 + 200
    counters.release("b")
    with pytest.raises(BudgetExceeded):
        counters.take("c", [replace(BUDGET, floor=1000)])


def test_a_floor_that_others_have_passed_changes_nothing(counters: Counters) -> None:
    settle(counters, "a", BUDGET, 500)
    assert take(counters, "b", replace(BUDGET, floor=200)).used == 900


def test_a_limit_that_is_not_enforced_counts_on(counters: Counters) -> None:
    shadow = replace(RATE, enforced=False, ceiling=1)
    assert [(one.used, one.exceeded) for one in (take(counters, lease, shadow) for lease in "abc")] == [
        (1, False),
        (2, True),
        (3, True),
    ]


def test_numbers_that_no_store_can_count_are_cut(counters: Counters) -> None:
    huge = replace(TOKENS, amount=10**30, ceiling=10**25, elastic=False)
    with_floor = replace(BUDGET, amount=10**24, ceiling=10**22)
    counters.take("a", [replace(huge, enforced=False), with_floor])
    counters.settle("a", [Spent(huge.counter, 10**30, 60.0), Spent(with_floor.counter, 12_345_678_901_234_567, None)])
    counters.flush()
    assert not counters.is_degraded
    assert not is_free(counters, replace(huge, ceiling=1, amount=1))


@pytest.mark.parametrize(
    "name", ['end_user:"quoted"/rpm', "end_user:back\\slash/rpm", "end_user:{a,b}/rpm", "Zoë 🙂/rpm"]
)
def test_any_name_of_a_counter_will_do(counters: Counters, name: str) -> None:
    odd = replace(TOKENS, counter=name)
    counters.take("a", [odd])
    settle(counters, "a", odd, 90)
    counters.renew(["a"])
    assert take(counters, "b", odd).used == 100


def test_amounts_are_exact_beyond_what_a_script_would_round(counters: Counters) -> None:
    amount = 9_007_199_254_740_993 // 2 + 1  # more digits than Lua writes by itself
    large = replace(BUDGET, amount=amount, ceiling=2 * amount, elastic=False)
    assert take(counters, "a", large).used == amount
    settle(counters, "a", large, amount - 1)
    assert take(counters, "b", replace(large, amount=1)).used == amount


def test_all_stores_come_to_the_same(shared: SharedCounters) -> None:
    """The same calls, in any order, leave the same standings as in memory."""
    chance, memory = random.Random(7), MemoryCounters()
    pool = [replace(ONE, ceiling=3), replace(RATE, ceiling=40), TOKENS, BUDGET, replace(TOKENS, counter="t/tpm")]
    pool += [replace(RATE, counter="t/rpm", enforced=False, ceiling=5), replace(BUDGET, counter="t/usd", floor=300)]
    leases: list[str] = []
    for number in range(300):
        if leases and chance.random() < 0.45:
            lease = leases.pop(chance.randrange(len(leases)))
            booked = [Spent(one.counter, chance.randrange(30), one.seconds) for one in chance.sample(pool[2:5], 2)]
            for counters in (memory, shared):
                counters.settle(lease, booked)
                counters.flush()
            continue
        charges = merged(replace(one, amount=1 if one.amount == 1 else chance.randrange(60)) for one in pool[::2])
        charges = merged([*charges, *chance.sample(pool, 3)])
        found = [_outcome(counters, f"call-{number}", charges) for counters in (memory, shared)]
        assert found[0] == found[1], number
        if isinstance(found[0], list):
            leases.append(f"call-{number}")


def _outcome(counters: Counters, lease: str, charges: list[Charge]) -> Any:
    try:
        return [(one.used, one.taken, one.exceeded) for one in counters.take(lease, charges)]
    except (LimitExceeded, BudgetExceeded) as error:
        return error.message.partition(" Limit resets at")[0]  # each asks its own clock


# --- Many at once


def outcomes_of_simultaneous_takes(counters: Counters, threads: int = 8) -> list[bool]:
    def attempt(number: int) -> bool:
        try:
            counters.take(f"call-{number}", merged([OTHER, ONE] if number % 2 else [ONE, OTHER]))
        except LimitExceeded:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(attempt, range(threads)))


def test_one_of_eight_simultaneous_takes_succeeds_in_memory() -> None:
    assert outcomes_of_simultaneous_takes(MemoryCounters()).count(True) == 1


@pytest.mark.sockets
@redis_server.needed
def test_one_of_eight_simultaneous_takes_succeeds_in_redis(redis: RedisServer) -> None:
    assert outcomes_of_simultaneous_takes(RedisCounters(redis.url)).count(True) == 1


@postgresql
@pytest.mark.django_db(transaction=True)
def test_one_of_eight_simultaneous_takes_succeeds_in_postgresql() -> None:
    for _ in range(5):
        assert outcomes_of_simultaneous_takes(PostgresCounters()).count(True) == 1
        Lease.objects.all().delete()


def spent_by_calls_that_overlap(counters: SharedCounters) -> int:
    """What stands in the end after four threads took and settled, 50 times each, on two counters of mixed names."""
    # The order of these is another one in most locales than among code points.
    budgets = [replace(BUDGET, counter=name, ceiling=10**9) for name in ("key:Z/usd", "key:a/usd", "key:_/usd")]

    def work(number: int) -> None:
        try:
            for n in range(50):
                lease = f"{number}-{n}"
                counters.take(lease, merged(budgets))
                counters.settle(lease, [Spent(one.counter, 1, None) for one in reversed(budgets)])
                counters.flush()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert not counters.is_degraded
    return min(standing.used - 400 for standing in counters.take("end", merged(budgets)))


@pytest.mark.sockets
@redis_server.needed
def test_nothing_that_is_settled_is_lost_in_redis(redis: RedisServer) -> None:
    assert spent_by_calls_that_overlap(RedisCounters(redis.url)) == 200


@postgresql
@pytest.mark.django_db(transaction=True)
def test_nothing_that_is_settled_is_lost_in_postgresql() -> None:
    assert spent_by_calls_that_overlap(PostgresCounters()) == 200


@postgresql
@pytest.mark.django_db(transaction=True)
def test_no_connection_is_held_after_a_take() -> None:
    PostgresCounters().take("a", [ONE])
    assert connection.connection is None


# --- Among processes


def test_places_and_windows_are_shared_between_processes(make: Make) -> None:
    here, there = make(), make()
    here.take("a", [ONE, RATE, TOKENS])
    assert not is_free(there, ONE)
    assert take(there, "b", RATE).used == 2
    settle(here, "a", TOKENS, 70)
    assert take(there, "c", TOKENS)[:3:2] == (100, 30)


def test_what_a_killed_process_held_becomes_free_by_itself(make: Make) -> None:
    make(lifetime=0.5).take("a", [ONE, replace(TOKENS, amount=100)])
    assert not is_free(make(), ONE)
    time.sleep(0.55)
    assert is_free(make(), ONE, TOKENS)


def test_a_renewed_place_stays_taken(make: Make) -> None:
    counters = make(lifetime=1)
    counters.take("a", [ONE])
    for _ in range(3):
        time.sleep(0.4)  # on a busy machine it is more
        counters.renew(["a"])
    assert not is_free(make(), ONE)
    time.sleep(1.05)
    assert is_free(make(), ONE)


def test_some_places_run_out_while_others_stay(make: Make) -> None:
    charge = replace(ONE, ceiling=3)
    dead, alive = make(lifetime=1), make(lifetime=1)
    dead.take("a", [charge])
    alive.take("b", [charge])
    dead.take("c", [charge])
    time.sleep(0.6)
    alive.renew(["b"])
    time.sleep(0.5)
    assert take(make(), "d", charge).used == 2


def test_renewing_brings_back_what_the_store_has_lost(make: Make, request: pytest.FixtureRequest) -> None:
    counters = make()
    counters.take("a", [ONE, TOKENS])
    counters.take("b", [replace(TOKENS, enforced=False)])
    if isinstance(counters, RedisCounters):
        request.getfixturevalue("redis").client().flushall()
    else:
        Lease.objects.all().delete()
    assert is_free(make(), ONE)
    counters.settle("b", [])
    counters.renew(["a", "b"])
    assert not is_free(make(), ONE)
    assert take(make(), "c", TOKENS).used == 80
    counters.release("a")
    assert is_free(make(), ONE)


@pytest.mark.sockets
@redis_server.needed
def test_redis_keeps_nothing_for_ever(redis: RedisServer) -> None:
    counters = RedisCounters(redis.url)
    for charge in (ONE, RATE, TOKENS, BUDGET):
        counters.take("a", [charge])
    settle(counters, "a", BUDGET, 1)
    counters.take("b", [ONE, TOKENS])
    client = redis.client()
    names = client.keys()
    assert len(names) == 5  # a rate, a budget, two counters' leases, a batch
    assert all(name.startswith("vgw:{limits}:") for name in names)
    assert all(client.ttl(name) > 0 for name in names)
    counters.release("b")
    assert client.keys("*:held:*") == []


@postgresql
@pytest.mark.django_db
def test_renewing_clears_away_what_ended_long_ago() -> None:
    counters = PostgresCounters()
    counters.take("a", [ONE, RATE])
    PostgresCounters().renew([])
    assert Lease.objects.exists()
    assert Counter.objects.exists()
    Lease.objects.update(expires_at=timezone.now() - timedelta(hours=2))
    Counter.objects.update(ends_at=timezone.now() - timedelta(hours=2))
    PostgresCounters().renew([])
    assert not Lease.objects.exists()
    assert not Counter.objects.exists()


# --- While the store is away


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Away:
    """A store that a test may take away and bring back."""

    def __init__(self, request: pytest.FixtureRequest, name: str, clock: Clock) -> None:
        self.is_redis = name == "redis"
        if self.is_redis:
            self._server = RedisServer()
            request.addfinalizer(lambda: self._server.__exit__(None, None, None))
            self._server.start()
            self.counters: SharedCounters = RedisCounters(self._server.url, clock=clock)
        else:
            request.addfinalizer(lambda: vars(connections["default"]).pop("connect", None))
            self.counters = PostgresCounters(clock=clock)

    def leave(self) -> None:
        if self.is_redis:
            self._server.kill()
            return
        connection.close()
        connection.connect = _refuse  # type: ignore[method-assign]

    def come_back(self) -> None:
        if self.is_redis:
            self._server.start()
        else:
            del connection.connect


def _refuse() -> None:
    raise OperationalError("connection refused")


COMMITTING = pytest.param("postgresql", marks=[postgresql, pytest.mark.django_db(transaction=True)])


@pytest.fixture(params=[COMMITTING, STORES[1]])
def away(request: pytest.FixtureRequest, clock: Clock) -> Away:
    return Away(request, request.param, clock)


def test_without_the_store_limits_hold_within_the_process(away: Away) -> None:
    away.leave()
    counters = away.counters
    counters.take("a", [ONE])
    assert counters.is_degraded
    assert not is_free(counters, ONE)
    counters.release("a")
    counters.renew(["a"])
    assert is_free(counters, ONE)
    away.come_back()


def test_without_the_store_calls_may_be_refused(away: Away, settings: Any) -> None:
    settings.REFUSE_WITHOUT_LIMITS = True
    away.counters.take("a", [ONE])
    away.leave()
    for _ in range(2):
        with pytest.raises(LimitsAway) as refused:
            away.counters.take("b", [OTHER])
        assert refused.value.status_code == 503
    away.come_back()


def test_the_store_is_asked_again_after_a_second_and_by_no_call(away: Away, clock: Clock) -> None:
    counters = away.counters
    away.leave()
    counters.take("a", [ONE])
    away.come_back()
    counters.flush()
    assert counters.is_degraded  # too early
    clock.now = 1.5
    counters.take("b", [OTHER])
    assert counters.is_degraded
    counters.flush()
    assert not counters.is_degraded
    counters.renew(["a", "b"])  # what was taken meanwhile holds among all processes from now on
    with pytest.raises(LimitExceeded):
        counters.take("c", [ONE])


def test_what_was_settled_meanwhile_is_sent_before_anybody_takes(away: Away, clock: Clock) -> None:
    counters = away.counters
    counters.take("a", [BUDGET, replace(TOKENS, counter="old", amount=100)])
    away.leave()
    counters.take("b", [ONE])
    counters.settle("a", [Spent(BUDGET.counter, 300, None), Spent("old", 100, 60.0)])
    counters.settle("b", [Spent(BUDGET.counter, 50, None)])
    counters.flush()
    assert counters.is_degraded
    away.come_back()
    clock.now = 70.0
    counters.flush()
    assert not counters.is_degraded
    assert take(counters, "c", BUDGET).used == 350 + 400
    assert take(counters, "d", replace(TOKENS, counter="old")).used == 40  # that minute is over
    assert is_free(counters, ONE)


def test_what_cannot_be_released_now_is_released_later(away: Away, clock: Clock) -> None:
    if away.is_redis:
        pytest.skip("a Redis that comes back here is empty")
    away.counters.take("a", [ONE])
    away.leave()
    away.counters.release("a")
    away.come_back()
    clock.now = 1.5
    away.counters.flush()
    assert is_free(PostgresCounters(), ONE)


def test_a_queue_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_module, "MOST_UNSENT", 3)
    counters = RedisCounters("redis://127.0.0.1:1")
    for number in range(10):
        counters.settle(f"call-{number}", [Spent("counter", 1, None)])
    assert [call.lease_id for call in counters._unsent] == ["call-7", "call-8", "call-9"]


# --- Redis alone


@pytest.mark.sockets
def test_a_redis_that_refuses_connections_is_away_and_its_password_stays_untold(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counters = RedisCounters(f"redis://:hush-hush@127.0.0.1:{unused_port()}")
    counters.take("a", [ONE])
    assert counters.is_degraded
    assert "Redis does not answer (ConnectionError): limits hold in each process." in caplog.text
    assert "hush" not in caplog.text


@pytest.mark.sockets
@redis_server.needed
def test_a_redis_that_hangs_holds_nobody_up_for_long() -> None:
    with RedisServer() as server:
        counters = RedisCounters(server.url, timeout=0.3)
        counters.take("a", [OTHER])
        server.freeze()
        began = time.monotonic()
        counters.take("b", [ONE])
        counters.take("c", [RATE])
        assert 0.25 < time.monotonic() - began < 1.5
        assert counters.is_degraded
        server.thaw()


@pytest.mark.sockets
@redis_server.needed
def test_a_batch_whose_answer_was_lost_is_booked_once() -> None:
    with RedisServer() as server:
        clock = Clock()
        counters = RedisCounters(server.url, timeout=0.3, clock=clock)
        counters.take("a", [BUDGET])
        server.freeze()
        counters.settle("a", [Spent(BUDGET.counter, 300, None)])
        counters.flush()  # it is read when the server goes on
        assert counters.is_degraded
        server.thaw()
        clock.now = 1.5
        counters.flush()
        assert not counters.is_degraded
        assert take(counters, "b", replace(BUDGET, amount=0)).used == 300


@pytest.mark.sockets
@redis_server.needed
def test_scripts_that_redis_forgot_are_told_again(redis: RedisServer) -> None:
    counters = RedisCounters(redis.url)
    counters.take("a", [ONE])
    redis.client().script_flush()
    counters.release("a")
    assert is_free(counters, ONE)
    assert not counters.is_degraded


@pytest.mark.sockets
@redis_server.needed
def test_connections_that_redis_closed_are_opened_again(redis: RedisServer) -> None:
    counters = RedisCounters(redis.url)
    counters.take("a", [ONE])
    redis.client().client_kill_filter(_type="normal", skipme=True)
    counters.release("a")
    assert not counters.is_degraded


@pytest.mark.sockets
@redis_server.needed
def test_redis_with_a_password_over_tls(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with RedisServer(password="hush/hush", certificate=self_signed(tmp_path)) as server:
        counters = RedisCounters(server.url)
        counters.take("a", [ONE])
        assert not is_free(counters, ONE)
        assert not counters.is_degraded
        untrusting = RedisCounters(server.url.partition("?")[0])
        untrusting.take("a", [ONE])
        assert untrusting.is_degraded
        wrong = RedisCounters(server.url.replace("hush%2Fhush", "wrong-word"))
        wrong.take("a", [ONE])
        assert wrong.is_degraded
        for one in (counters, untrusting, wrong):
            one._redis.connection_pool.disconnect()
    assert "AuthenticationError" in caplog.text
    assert "hush" not in caplog.text
    assert "wrong-word" not in caplog.text


@pytest.mark.sockets
@redis_server.needed
def test_a_redis_that_takes_no_writes_is_away(redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    client = redis.client()
    client.config_set("maxmemory", "1")
    try:
        counters = RedisCounters(redis.url)
        counters.take("a", [ONE])
        assert counters.is_degraded
        assert "OutOfMemoryError" in caplog.text
    finally:
        client.config_set("maxmemory", "0")


# --- Which


def test_the_counters_fit_the_settings(settings: Any) -> None:
    settings.EMBEDDED, settings.REDIS_URL = True, "redis://127.0.0.1"
    assert isinstance(make_counters(), MemoryCounters)
    settings.EMBEDDED = False
    assert isinstance(make_counters(), RedisCounters)
    settings.REDIS_URL = ""
    assert isinstance(make_counters(), PostgresCounters)


def test_each_kind_says_where_it_counts() -> None:
    kinds = (MemoryCounters(), PostgresCounters(), RedisCounters("redis://127.0.0.1:1"))
    assert [one.store for one in kinds] == ["memory", "postgresql", "redis"]


def test_sums_stop_before_they_are_too_large(counters):
    counter = "key:1/usd//0/0"
    for _ in range(3):
        for number in range(400):
            counters.settle(f"call-{number}", [Spent(counter, 2**53, None)])
        counters.flush()
    charge = Charge(counter, 1, 2**60, seconds=None, elastic=True, counts="budget", unit="usd")
    with pytest.raises(BudgetExceeded):
        counters.take("last", [charge])
    assert not counters.is_degraded
