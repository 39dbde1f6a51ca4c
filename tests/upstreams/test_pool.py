"""The upstreams in memory."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection
from pytest_django import DjangoAssertNumQueries, Settings

from tests.upstreams.test_crypto import new_key
from upstreams.errors import CredentialUnreadable, NoUpstream
from upstreams.models import DeletedUpstream, Upstream, UpstreamsVersion
from upstreams.pool import LONGEST_GAP, Candidate, UpstreamPool
from upstreams.selection import Hints

pytestmark = pytest.mark.django_db


def make(name: str, *aliases: str, **fields: Any) -> Upstream:
    upstream = Upstream.objects.create(**{"name": name, "url": f"http://{name}", **fields})
    for alias in aliases:
        upstream.deployments.create(alias=alias)
    return upstream


def fresh() -> UpstreamPool:
    pool = UpstreamPool()
    pool.refresh()
    return pool


def names(candidates: Any) -> list[str]:
    return [candidate.upstream.name for candidate in candidates]


def firsts(pool: UpstreamPool, model: str, calls: int, hints: Hints | None = None) -> Counter[str]:
    return Counter(pool.candidates(model, hints or Hints())[0].upstream.name for _ in range(calls))


# --- Candidates -----------------------------------------------------------------------------------------------


def test_an_alias_leads_to_its_deployment() -> None:
    make("default")
    make("two").deployments.create(alias="chat", served_name="tiny-chat")
    (candidate,) = fresh().candidates("chat")
    assert (candidate.upstream.name, candidate.served_name) == ("two", "tiny-chat")


def test_an_alias_that_is_the_served_name_leaves_the_call_alone() -> None:
    make("one", "chat")
    assert fresh().candidates("chat")[0].served_name is None


def test_an_unknown_model_goes_to_the_default() -> None:
    make("default")
    make("two", "chat")
    (candidate,) = fresh().candidates("other")
    assert (candidate.upstream.name, candidate.served_name) == ("default", None)


def test_a_call_without_model_goes_to_the_default() -> None:
    make("default", "chat")
    assert names(fresh().candidates(None)) == ["default"]


def test_several_upstreams_with_one_alias_are_all_candidates() -> None:
    make("one", "chat")
    make("two", "chat")
    assert names(fresh().candidates("chat")) == ["one", "two"]


def test_the_upstream_with_fewer_open_calls_comes_first() -> None:
    one, _ = make("one", "chat"), make("two", "chat")
    pool = fresh()
    pool.enter(one.pk)
    assert names(pool.candidates("chat")) == ["two", "one"]


@pytest.mark.parametrize("state", ["draining", "disabled"])
def test_only_active_upstreams_take_calls(state: str) -> None:
    make("one", "chat", state=state)
    make("two", "chat")
    assert names(fresh().candidates("chat")) == ["two"]


def test_an_alias_whose_upstreams_are_all_away_does_not_fall_to_the_default() -> None:
    make("default")
    make("two", "chat", state="disabled")
    with pytest.raises(NoUpstream, match="draining or disabled"):
        fresh().candidates("chat")


def test_a_default_that_takes_no_calls_is_no_candidate() -> None:
    make("default", state="draining")
    pool = fresh()
    assert pool.default is None
    with pytest.raises(NoUpstream, match="draining or disabled"):
        pool.candidates("any")


def test_without_default_only_aliases_are_served() -> None:
    make("one", "chat")
    Upstream.objects.update(is_default=False)
    pool = fresh()
    assert names(pool.candidates("chat")) == ["one"]
    with pytest.raises(NoUpstream, match="none is marked as default"):
        pool.candidates("other")


def test_the_built_in_upstream_stands_in_while_there_is_none(settings: Settings) -> None:
    settings.UPSTREAM_CREDENTIAL = "swordfish"
    (candidate,) = fresh().candidates("any")
    target = candidate.upstream
    assert (target.id, target.name, target.base_url) == (None, "fallback", "http://localhost:8000")
    assert target.credential == "swordfish"


def test_the_built_in_upstream_goes_when_there_is_one() -> None:
    pool = fresh()
    make("one")
    pool.refresh()
    assert pool.default is not None
    assert pool.default.name == "one"


def test_no_call_goes_anywhere_before_the_first_refresh() -> None:
    with pytest.raises(NoUpstream, match="starting"):
        UpstreamPool().candidates("any")


# --- Credentials ----------------------------------------------------------------------------------------------


def test_the_credential_is_decrypted_in_memory() -> None:
    make("one", credential="swordfish")
    assert fresh().candidates(None)[0].upstream.credential == "swordfish"


def test_an_unreadable_credential_stops_calls_to_that_upstream(settings: Settings) -> None:
    make("one", "chat", credential="swordfish")
    settings.ENCRYPTION_KEYS = [new_key()]
    pool = fresh()
    assert pool.default is None
    with pytest.raises(CredentialUnreadable):
        pool.candidates("chat")


def test_calls_go_to_a_sibling_of_an_unreadable_upstream(settings: Settings) -> None:
    make("one", "chat", credential="swordfish")
    make("two", "chat")
    settings.ENCRYPTION_KEYS = [new_key()]
    assert names(fresh().candidates("chat")) == ["two"]


# --- The default's model --------------------------------------------------------------------------------------


def test_the_default_model_is_the_first_that_the_default_serves() -> None:
    make("one", served_models=["tiny-chat", "lora"])
    assert fresh().default_served_model() == "tiny-chat"


def test_a_single_deployment_tells_the_default_model() -> None:
    make("one").deployments.create(alias="chat", served_name="tiny-chat")
    assert fresh().default_served_model() == "tiny-chat"


def test_the_default_model_is_unknown_otherwise() -> None:
    assert fresh().default_served_model() is None
    make("one", "chat", "embed")
    assert fresh().default_served_model() is None


# --- Refreshing -----------------------------------------------------------------------------------------------


def rename(upstream: Upstream) -> None:
    upstream.name = "renamed"
    upstream.save()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (rename, ["renamed"]),
        (lambda one: Upstream.objects.update(name="renamed"), ["renamed"]),
        (lambda one: one.delete(), ["two"]),
        (lambda one: Upstream.objects.filter(pk=one.pk).delete(), ["two"]),
        (lambda one: one.deployments.all().delete(), ["two"]),
        (lambda one: make("three", "chat"), ["one", "three"]),
    ],
    ids=["save", "update", "delete", "delete many", "deployment", "create"],
)
def test_a_refresh_brings_every_change(change: Callable[[Upstream], Any], expected: list[str]) -> None:
    one = make("one", "chat")
    pool = fresh()
    change(one)
    if "two" in expected:
        make("two", "chat")
    assert pool.refresh()
    assert names(pool.candidates("chat")) == expected


def test_a_refresh_costs_one_query_while_nothing_has_changed(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    make("one", "chat")
    pool = fresh()
    with django_assert_num_queries(1):
        assert not pool.refresh()


def test_a_refresh_reads_only_what_is_newer(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    one, two = make("one", "chat"), make("two", "chat")
    pool = fresh()
    Upstream.objects.filter(pk=two.pk).update_quietly(name="quietly renamed")
    rename(one)
    with django_assert_num_queries(6):  # version, graves, upstreams, deployments, aliases, routing
        pool.refresh()
    assert names(pool.candidates("chat")) == ["renamed", "two"]


def test_candidates_cost_no_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    make("one", "chat")
    pool = fresh()
    with django_assert_num_queries(0):
        pool.candidates("chat")
        pool.candidates(None)


def test_an_older_database_is_read_anew() -> None:
    one = make("one", "chat")
    pool = fresh()
    rename(one)
    UpstreamsVersion.objects.update(value=0)
    pool.refresh()
    assert pool.version == 0
    assert names(pool.candidates("chat")) == ["renamed"]


def test_a_row_with_the_number_of_a_deleted_one_is_seen() -> None:
    one = make("one", "chat")
    number = one.pk
    one.delete()
    Upstream.objects.create(pk=number, name="restored", url="http://restored")
    assert names(fresh().candidates(None)) == ["restored"]


def test_what_is_known_stays_while_the_database_is_away() -> None:
    make("one", "chat")
    pool = fresh()

    def away(*_: Any) -> None:
        raise DatabaseError("away")

    with connection.execute_wrapper(away), pytest.raises(DatabaseError):
        pool.refresh()
    assert names(pool.candidates("chat")) == ["one"]


# --- In flight ------------------------------------------------------------------------------------------------


def test_open_calls_are_counted_by_upstream() -> None:
    pool = UpstreamPool()
    pool.enter(1)
    pool.enter(1)
    pool.enter(None)
    pool.leave(1)
    assert dict(pool.in_flight) == {1: 1, None: 1}


def test_a_count_never_falls_below_zero() -> None:
    pool = UpstreamPool()
    pool.leave(1)
    pool.enter(1)
    assert pool.in_flight[1] == 1


def test_a_candidate_is_a_value() -> None:
    make("one")
    pool = fresh()
    assert isinstance(pool.candidates(None)[0], Candidate)
    assert pool.candidates(None) == pool.candidates(None)


def test_a_pool_that_has_not_looked_for_long_reads_everything_again() -> None:
    now = [0.0]
    pool = UpstreamPool(lambda: now[0])
    make("default")
    gone = make("two", "chat")
    pool.refresh()
    gone.delete()
    DeletedUpstream.objects.all().delete()  # as after a day
    now[0] = LONGEST_GAP + 1
    pool.refresh()
    assert names(pool.candidates("chat")) == ["default"]


def test_those_that_rest_have_the_model_too() -> None:
    default = make("default")
    one, two = make("one", "chat"), make("two", "chat", state="draining")
    pool = fresh()
    assert pool.upstreams_with("chat") == {one.pk, two.pk}
    assert pool.upstreams_with("other") == pool.upstreams_with(None) == {default.pk}


def test_what_another_process_passes_over_comes_last() -> None:
    one, _ = make("one", "chat"), make("two", "chat")
    pool = fresh()
    pool.adopt_cooldowns({one.pk: 9.0})
    assert names(pool.candidates("chat")) == ["two", "one"]
    assert pool.cooling()[one.pk] > 8
