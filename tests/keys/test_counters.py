"""Tests of keys.counters: both kinds keep the same promises; those of PostgreSQL among processes too."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.utils import timezone

from keys.counters import Charge, MemoryCounters, PostgresCounters, make_counters, merged
from keys.errors import LimitExceeded
from keys.models import Lease

ONE = Charge("key:1", 1, 1, subject="laptop", limit="max_parallel_requests")
OTHER = Charge("key:2", 1, 1)
postgresql = pytest.mark.skipif(settings.EMBEDDED, reason="needs TEST_DATABASE=postgresql")


@pytest.fixture(params=["memory", pytest.param("postgresql", marks=postgresql)])
def counters(request, db):
    return MemoryCounters() if request.param == "memory" else PostgresCounters()


def is_free(counters, *charges):
    try:
        counters.take("probe", charges)
    except LimitExceeded:
        return False
    counters.release("probe")
    return True


def test_a_place_is_taken_once(counters):
    counters.take("a", [ONE])
    with pytest.raises(LimitExceeded, match=r"api_key: laptop\. .* Current limit: 1, Remaining: 0\."):
        counters.take("b", [ONE])


def test_a_released_place_is_free_again(counters):
    counters.take("a", [ONE])
    counters.release("a")
    assert is_free(counters, ONE)


def test_all_charges_are_taken_or_none(counters):
    counters.take("a", [OTHER])
    assert not is_free(counters, ONE, OTHER)
    assert is_free(counters, ONE)


def test_of_two_charges_on_one_counter_the_stricter_counts():
    strict, lax = replace(ONE, ceiling=1), replace(ONE, ceiling=5)
    assert merged([lax, OTHER, strict]) == [strict, OTHER]


def test_what_is_used_of_a_counter_is_used_once(counters):
    shadow = replace(ONE, enforced=False, ceiling=0)
    assert [one.taken for one in counters.take("a", merged([shadow, ONE]))] == [1, 0]
    counters.release("a")
    assert is_free(counters, ONE)


def test_a_lease_that_takes_more_keeps_what_it_has(counters):
    counters.take("a", [ONE])
    counters.take("a", [OTHER])
    with pytest.raises(LimitExceeded):
        counters.take("a", [ONE])
    assert not is_free(counters, ONE)
    counters.release("a")
    assert is_free(counters, ONE, OTHER)


def test_releasing_and_renewing_what_was_never_taken_is_harmless(counters):
    counters.take("a", [])
    counters.release("a")
    counters.release("b")
    counters.renew(["a", "b"])
    assert is_free(counters, ONE)
    assert not counters.is_degraded


def outcomes_of_simultaneous_takes(counters, threads=8):
    def take(number):
        try:
            counters.take(f"call-{number}", merged([OTHER, ONE] if number % 2 else [ONE, OTHER]))
        except LimitExceeded:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(take, range(threads)))


def test_one_of_eight_simultaneous_takes_succeeds_in_memory():
    assert outcomes_of_simultaneous_takes(MemoryCounters()).count(True) == 1


@postgresql
@pytest.mark.django_db(transaction=True)
def test_one_of_eight_simultaneous_takes_succeeds_in_postgresql():
    for _ in range(5):
        assert outcomes_of_simultaneous_takes(PostgresCounters()).count(True) == 1
        Lease.objects.all().delete()


@postgresql
@pytest.mark.django_db(transaction=True)
def test_no_connection_is_held_after_a_take():
    PostgresCounters().take("a", [ONE])
    assert connection.connection is None


@postgresql
@pytest.mark.django_db
def test_places_are_shared_between_processes():
    PostgresCounters().take("a", [ONE])
    assert not is_free(PostgresCounters(), ONE)


@postgresql
@pytest.mark.django_db
def test_the_place_of_a_killed_worker_becomes_free_by_itself():
    PostgresCounters().take("a", [ONE])
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert is_free(PostgresCounters(), ONE)


@postgresql
@pytest.mark.django_db
def test_a_renewed_place_stays_taken():
    counters = PostgresCounters()
    counters.take("a", [ONE])
    Lease.objects.update(expires_at=timezone.now() + timedelta(seconds=1))
    counters.renew(["a"])
    assert Lease.objects.get().expires_at > timezone.now() + timedelta(seconds=80)


@postgresql
@pytest.mark.django_db
def test_renewing_clears_away_leases_that_ended_long_ago():
    PostgresCounters().take("a", [ONE])
    Lease.objects.update(expires_at=timezone.now() - timedelta(hours=2))
    PostgresCounters().renew([])
    assert not Lease.objects.exists()


@pytest.fixture
def unreachable(django_db_blocker, monkeypatch):
    """A database that refuses every connection."""

    def refuse():
        raise OperationalError("connection refused")

    connection.close()
    monkeypatch.setattr(connection, "connect", refuse)
    with django_db_blocker.unblock():
        yield


@pytest.mark.usefixtures("unreachable")
def test_without_the_database_limits_hold_within_the_process(monkeypatch):
    counters = PostgresCounters()
    counters.take("a", [ONE])
    assert counters.is_degraded
    assert not is_free(counters, ONE)
    counters.release("a")
    assert is_free(counters, ONE)


@postgresql
@pytest.mark.django_db
def test_the_database_is_asked_again_after_a_second():
    now = [0.0]
    counters = PostgresCounters(clock=lambda: now[0])
    counters._note_failure()
    counters.take("a", [ONE])
    assert not Lease.objects.exists()
    now[0] = 1.5
    counters.take("b", [ONE])
    assert Lease.objects.get().lease_id == "b"
    assert not counters.is_degraded


def test_the_counters_fit_the_database(settings):
    settings.EMBEDDED = True
    assert isinstance(make_counters(), MemoryCounters)
    settings.EMBEDDED = False
    assert isinstance(make_counters(), PostgresCounters)
