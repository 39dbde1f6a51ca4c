"""Which upstreams a model name means, and in which order they are tried."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from tests.upstreams.test_crypto import new_key
from tests.upstreams.test_pool import firsts, fresh, make, names
from upstreams.errors import CredentialUnreadable, ModelHidden, NoSuchUpstream, NoUpstream
from upstreams.health import Mark
from upstreams.models import DISCOVERED, Deployment, ModelAlias, Routing
from upstreams.pool import UpstreamPool
from upstreams.selection import Hints, Timeouts

pytestmark = pytest.mark.django_db


def where(pool: UpstreamPool, model: str) -> list[tuple[str, str | None]]:
    return [(one.upstream.name, one.served_name) for one in pool.candidates(model)]


# --- Names


@pytest.mark.parametrize("prefix", ["vllm/", "hosted_vllm/"])
def test_a_prefix_that_litellm_users_write_is_understood(prefix: str) -> None:
    make("default")
    make("two", "org/chat")
    pool = fresh()
    assert where(pool, f"{prefix}org/chat") == [("two", "org/chat")]
    assert pool.knows(f"{prefix}org/chat")


def test_an_alias_with_the_prefix_comes_before_one_without() -> None:
    make("one", "chat")
    make("two", "vllm/chat")
    assert where(fresh(), "vllm/chat") == [("two", None)]


@pytest.mark.parametrize("model", ["vllm/other", "vllm/", "other"])
def test_what_nobody_knows_goes_to_the_default_as_it_is(model: str) -> None:
    make("default", "chat")
    pool = fresh()
    assert where(pool, model) == [("default", None)]
    assert not pool.knows(model)


def test_an_alias_may_stand_for_another() -> None:
    make("default")
    make("two", "chat")
    ModelAlias.objects.create(name="gpt-4", stands_for="latest")
    ModelAlias.objects.create(name="latest", stands_for="chat")
    assert where(fresh(), "gpt-4") == [("two", "chat")]
    assert where(fresh(), "vllm/gpt-4") == [("two", "chat")]


def test_a_deployment_of_the_name_comes_before_what_it_stands_for() -> None:
    make("default", "chat")
    make("two", "gpt-4")
    ModelAlias.objects.create(name="gpt-4", stands_for="chat")
    assert where(fresh(), "gpt-4") == [("two", None)]


def test_aliases_that_stand_for_each_other_lead_nowhere() -> None:
    make("default")
    ModelAlias.objects.create(name="a", stands_for="b")
    ModelAlias.objects.create(name="b", stands_for="a")
    pool = fresh()
    assert where(pool, "a") == [("default", None)]
    assert not pool.knows("a")


@pytest.mark.parametrize(
    ("alias", "served", "asked", "sent"),
    [
        ("org/*", "org/*", "org/chat", None),
        ("org/*", "", "org/chat", None),
        ("*", "", "any/thing", None),
        ("org/*", "*", "org/chat", "chat"),
        ("*", "org/*", "chat", "org/chat"),
        ("org/*-fast", "*", "org/chat-fast", "chat"),
        ("org/*", "fixed", "org/chat", "fixed"),
        ("*", "", "vllm/chat", "chat"),
        ("vllm/*", "*", "vllm/chat", "chat"),
    ],
)
def test_a_pattern_passes_on_what_stood_for_its_star(alias: str, served: str, asked: str, sent: str | None) -> None:
    make("default")
    make("two").deployments.create(alias=alias, served_name=served)
    assert where(fresh(), asked) == [("two", sent)]


def test_the_most_specific_pattern_wins_and_a_name_before_all() -> None:
    make("default", "*")
    make("two", "org/*")
    make("three", "org/chat-*")
    make("four", "org/chat-1")
    pool = fresh()
    asked = ("x", "org/x", "org/chat-2", "org/chat-1")
    assert [names(pool.candidates(model)) for model in asked] == [["default"], ["two"], ["three"], ["four"]]


def test_a_pattern_does_not_match_less_than_its_own_characters() -> None:
    make("default")
    make("two", "ab*ba")
    assert not fresh().knows("aba")


# --- Hidden models


def test_a_hidden_model_is_neither_listed_nor_called_by_name() -> None:
    upstream = make("default", "other")
    upstream.deployments.create(alias="chat", hidden=True)
    pool = fresh()
    assert [one.alias for one in pool.models()] == ["other"]
    assert not pool.knows("chat")
    for asked in ("chat", "vllm/chat"):
        with pytest.raises(ModelHidden):
            pool.candidates(asked)


def test_a_pattern_does_not_uncover_a_hidden_model() -> None:
    make("default", "*").deployments.create(alias="chat", hidden=True)
    with pytest.raises(ModelHidden):
        fresh().candidates("chat")


def test_a_model_that_is_hidden_on_one_upstream_is_called_on_the_other() -> None:
    make("default").deployments.create(alias="chat", hidden=True)
    make("two", "chat")
    assert names(fresh().candidates("chat")) == ["two"]


def test_a_hidden_model_is_not_called_on_an_upstream_that_the_call_names() -> None:
    make("default", "other").deployments.create(alias="chat", hidden=True)
    make("two", "chat")
    pool = fresh()
    for asked in ("chat", "vllm/chat"):
        with pytest.raises(ModelHidden):
            pool.on(pool.named("default"), asked)
    assert names([pool.on(pool.named("two"), "chat"), pool.on(pool.named("default"), "other")]) == ["two", "default"]


# --- What the server lists


def test_a_deployment_that_the_server_does_not_list_comes_last_of_all() -> None:
    make("one", "chat", served_models=["other"])
    make("two", "chat", served_models=["chat"])
    assert names(fresh().candidates("chat")) == ["two"]


def test_a_discovered_one_that_is_gone_is_no_candidate() -> None:
    upstream = make("default", served_models=["other"])
    Deployment.objects.create(upstream=upstream, alias="chat", served_name="chat", weight=2, source=DISCOVERED)
    assert not fresh().knows("chat")


def test_models_are_listed_by_name_with_their_upstreams() -> None:
    make("one", "chat", "org/*", served_models=["chat"], served_details=[{"id": "chat", "max_model_len": 4096}])
    make("two", "chat", served_models=["chat"], served_details=[{"id": "chat", "max_model_len": 2048}])
    make("three", "embed", state="draining")
    ModelAlias.objects.create(name="gpt-4", stands_for="chat")
    ModelAlias.objects.create(name="lost", stands_for="nothing")
    models = {one.alias: one for one in fresh().models()}
    assert sorted(models) == ["chat", "gpt-4"]
    assert models["chat"].upstreams == models["gpt-4"].upstreams == ("one", "two")
    assert models["chat"].max_model_len == 2048
    assert models["chat"].created > 0


# --- One upstream by name or number


def test_an_upstream_is_found_by_its_name() -> None:
    make("one")
    make("two", state="draining")
    pool = fresh()
    assert pool.named("one").upstream.name == "one"
    with pytest.raises(NoUpstream):
        pool.named("two")
    with pytest.raises(NoSuchUpstream):
        pool.named("three")


def test_a_named_upstream_with_an_unreadable_credential_says_so(settings: Settings) -> None:
    make("one", credential="swordfish")
    settings.ENCRYPTION_KEYS = [new_key()]
    with pytest.raises(CredentialUnreadable):
        fresh().named("one")


def test_an_upstream_is_found_by_its_number_whatever_its_state() -> None:
    one = make("one", state="draining")
    pool = fresh()
    candidate = pool.by_id(one.pk)
    assert candidate is not None
    assert candidate.upstream.name == "one"
    assert pool.by_id(one.pk + 1) is None
    assert pool.by_id(None) is None


def test_an_alias_has_its_served_name_on_a_named_upstream() -> None:
    make("default", "chat")
    make("two").deployments.create(alias="chat", served_name="tiny-chat")
    pool = fresh()
    assert pool.on(pool.named("two"), "chat").served_name == "tiny-chat"
    assert pool.on(pool.named("two"), "unknown").served_name is None


def test_a_target_carries_its_ceiling_and_times() -> None:
    make("one", max_parallel=3, connect_timeout=1.5, total_timeout=60)
    target = fresh().named("one").upstream
    assert target.max_parallel == 3
    assert target.timeouts == Timeouts(connect=1.5, total=60)


# --- The order


def test_two_rows_of_one_server_are_one_candidate() -> None:
    make("one", "chat")
    make("two", "chat")
    make("again", "chat", url="http://one")
    assert names(fresh().candidates("chat")) == ["one", "two"]


def test_the_other_row_of_a_server_serves_when_the_first_is_draining() -> None:
    make("one", "chat", state="draining")
    make("again", "chat", url="http://one")
    assert names(fresh().candidates("chat")) == ["again"]


@pytest.mark.parametrize("strategy", ["session_affinity", "prefix_affinity"])
def test_when_a_server_cools_down_only_its_own_sessions_and_prefixes_move(strategy: str) -> None:
    Routing.objects.create(strategy=strategy)
    upstreams = [make(name, "chat") for name in ("one", "two", "three")]
    pool = fresh()
    hints = [Hints(session=str(number), prefix=b"%d" % number) for number in range(200)]
    before = [pool.candidates("chat", one)[0].upstream.name for one in hints]
    pool.mark(upstreams[1].pk, Mark.REFUSED)
    during = [pool.candidates("chat", one)[0].upstream.name for one in hints]
    pool.mark(upstreams[1].pk, Mark.OK)
    after = [pool.candidates("chat", one)[0].upstream.name for one in hints]
    assert set(before) == {"one", "two", "three"}
    assert all(then == now for then, now in zip(before, during, strict=True) if then != "two")
    assert "two" not in during
    assert after == before


def test_equals_take_turns() -> None:
    make("one", "chat")
    make("two", "chat")
    assert firsts(fresh(), "chat", 10) == {"one": 5, "two": 5}


def test_an_alias_may_have_a_strategy_of_its_own() -> None:
    for name, weight in (("one", 3), ("two", 1)):
        upstream = make(name, "embed")
        upstream.deployments.create(alias="chat", weight=weight)
    ModelAlias.objects.create(name="chat", strategy="weighted_round_robin")
    pool = fresh()
    assert firsts(pool, "chat", 8) == {"one": 6, "two": 2}
    assert firsts(pool, "vllm/chat", 8) == {"one": 6, "two": 2}
    assert firsts(pool, "embed", 8) == {"one": 4, "two": 4}


def test_the_strategy_of_the_routing_is_for_all_others() -> None:
    make("one").deployments.create(alias="chat", rpm=300)
    make("two").deployments.create(alias="chat", tpm=100)
    Routing.objects.create(strategy="weighted_round_robin")
    assert firsts(fresh(), "chat", 8) == {"one": 6, "two": 2}


def test_a_strategy_that_is_gone_gives_way_to_least_in_flight() -> None:
    make("one", "chat")
    make("two", "chat")
    Routing.objects.create(strategy="of_an_older_version")
    assert firsts(fresh(), "chat", 4) == {"one": 2, "two": 2}


def test_a_pattern_may_have_a_strategy() -> None:
    make("one", "org/*")
    make("two", "org/*")
    ModelAlias.objects.create(name="org/*", strategy="session_affinity")
    assert len(firsts(fresh(), "org/chat", 8, Hints(session="mine"))) == 1


def test_routing_is_in_memory_and_has_defaults() -> None:
    pool = fresh()
    assert (pool.routing.strategy, pool.routing.most_attempts, pool.routing.cooldown_seconds) == (
        "least_in_flight",
        None,
        5.0,
    )
    Routing.objects.create(most_attempts=2)
    pool.refresh()
    assert pool.routing.most_attempts == 2


def test_how_much_of_a_prompt_decides_is_said_per_alias() -> None:
    ModelAlias.objects.create(name="chat", strategy="prefix_affinity", prefix_bytes=64)
    ModelAlias.objects.create(name="long", strategy="prefix_affinity")
    ModelAlias.objects.create(name="other", strategy="session_affinity")
    pool = fresh()
    assert [pool.prefix_bytes(model) for model in ("chat", "long", "other", None)] == [64, 1024, 0, 0]


def test_a_discovered_name_costs_what_the_model_costs() -> None:
    upstream = make("one")
    upstream.deployments.create(alias="nice", served_name="tiny", input_cost_per_token="0.001")
    upstream.deployments.create(alias="tiny", source="discovered")
    upstream.deployments.create(alias="given", served_name="tiny")
    pool = fresh()
    prices = [pool.candidates(name)[0].prices for name in ("nice", "tiny", "given")]
    assert prices[0] is not None
    assert prices == [prices[0], prices[0], None]
