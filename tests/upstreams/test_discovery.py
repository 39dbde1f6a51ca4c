"""Deployments that come from the server's own list of models."""

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from upstreams.discovery import note_models
from upstreams.models import DISCOVERED, Deployment, Upstream, UpstreamsVersion
from upstreams.pool import UpstreamPool

pytestmark = pytest.mark.django_db


@pytest.fixture
def upstream() -> Upstream:
    return Upstream.objects.create(name="one", url="http://one")


def listed(*names: str, **said: Any) -> list[dict[str, Any]]:
    rest = {"root": None, "parent": None, "max_model_len": 2048, "created": 100, **said}
    return [{"id": name, **rest} for name in names]


def aliases() -> dict[str, str]:
    return dict(Deployment.objects.values_list("alias", "served_name"))


def fresh() -> UpstreamPool:
    pool = UpstreamPool()
    pool.refresh()
    return pool


def test_each_listed_model_can_be_called(upstream: Upstream) -> None:
    assert note_models(upstream, listed("chat", "lora"))
    assert aliases() == {"chat": "chat", "lora": "lora"}
    assert set(Deployment.objects.values_list("source", flat=True)) == {DISCOVERED}
    assert fresh().knows("lora")


def test_a_list_that_says_the_same_writes_nothing(
    upstream: Upstream, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    note_models(upstream, listed("chat"))
    version = UpstreamsVersion.current()
    with django_assert_num_queries(2):
        assert not note_models(upstream, listed("chat", created=999))
    assert UpstreamsVersion.current() == version


def test_a_model_keeps_the_time_at_which_it_was_first_seen(upstream: Upstream) -> None:
    note_models(upstream, listed("chat"))
    note_models(upstream, listed("chat", "lora", created=999))
    created = {one["id"]: one["created"] for one in Upstream.objects.get().served_details}
    assert created == {"chat": 100, "lora": 999}


def test_a_model_that_has_become_another_is_noted(upstream: Upstream) -> None:
    note_models(upstream, listed("chat"))
    assert note_models(upstream, listed("chat", max_model_len=4096, created=999))
    assert Upstream.objects.get().served_details == listed("chat", max_model_len=4096, created=999)


def test_a_model_that_vanished_loses_its_deployment(upstream: Upstream) -> None:
    note_models(upstream, listed("chat", "lora"))
    note_models(upstream, listed("chat"))
    assert aliases() == {"chat": "chat"}


@pytest.mark.parametrize(
    "edit",
    [
        {"alias": "mine"},
        {"hidden": True},
        {"weight": 3},
        {"rpm": 10},
        {"input_cost_per_token": "0.000001"},
        {"info": {"mode": "chat"}},
    ],
)
def test_what_people_have_edited_survives(upstream: Upstream, edit: dict[str, Any]) -> None:
    note_models(upstream, listed("chat", "other"))
    Deployment.objects.filter(alias="chat").update(**edit)
    note_models(upstream, listed("chat", "other", "third"))
    note_models(upstream, listed("other"))
    note_models(upstream, listed("other", "chat"))
    (kept,) = Deployment.objects.filter(served_name="chat")
    assert {name: str(getattr(kept, name)) for name in edit} == {name: str(value) for name, value in edit.items()} or (
        kept.input_cost_per_token is not None and "input_cost_per_token" in edit
    )


def test_an_edited_model_takes_no_calls_while_the_server_does_not_list_it(upstream: Upstream) -> None:
    note_models(upstream, listed("chat"))
    Deployment.objects.update(weight=3)
    note_models(upstream, listed("other"))
    assert not fresh().knows("chat")
    note_models(upstream, listed("chat"))
    assert fresh().knows("chat")


def test_an_alias_of_an_admin_stays_beside_the_servers_own_name(upstream: Upstream) -> None:
    upstream.deployments.create(alias="mine", served_name="chat")
    note_models(upstream, listed("chat"))
    assert aliases() == {"mine": "chat", "chat": "chat"}
    note_models(upstream, listed())
    assert aliases() == {"mine": "chat"}


def test_an_alias_of_an_admin_is_not_taken_over(upstream: Upstream) -> None:
    upstream.deployments.create(alias="chat", served_name="another")
    note_models(upstream, listed("chat"))
    assert aliases() == {"chat": "another"}


def test_one_model_on_two_servers_has_two_candidates(upstream: Upstream) -> None:
    two = Upstream.objects.create(name="two", url="http://two")
    for one in (upstream, two):
        note_models(one, listed("chat"))
    assert [candidate.upstream.name for candidate in fresh().candidates("chat")] == ["one", "two"]


def test_an_upstream_that_was_deleted_meanwhile_is_left_alone(upstream: Upstream) -> None:
    Upstream.objects.all().delete()
    assert not note_models(upstream, listed("chat"))


def test_discovered_models_tell_what_the_server_said(upstream: Upstream) -> None:
    note_models(upstream, [*listed("chat", root="/models/chat"), *listed("lora", parent="chat", created=7)])
    chat, lora = fresh().models()
    assert (chat.alias, chat.root, chat.max_model_len, chat.created, chat.upstreams) == (
        "chat",
        "/models/chat",
        2048,
        100,
        ("one",),
    )
    assert (lora.alias, lora.parent) == ("lora", "chat")
