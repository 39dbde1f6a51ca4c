"""What has to change: values in, changes out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.config.document import ConfigError
from gateway.config.plan import Plan, State, Stored, StoredKey, StoredUpstream, make_plan
from gateway.config.reader import read_text
from gateway.config.wanted import AliasSpec, DeploymentSpec, KeySpec, UpstreamSpec, Wanted
from keys import crypto
from tests.gateway.config.seeds import LITELLM, row, rows

SECRET = "sk-0123456789abcdefghij"


def wanted(text: str) -> Wanted:
    return read_text(text, {}).wanted


def stored(source: str = "config", *models: Stored[DeploymentSpec], **values: object) -> StoredUpstream:
    spec = UpstreamSpec(**{"name": "m", "url": "http://a:1", "state": "active", "is_default": True, **values})  # type: ignore[arg-type]
    return StoredUpstream(1, source, spec, models)


def model(source: str = "config", alias: str = "m", served: str = "s", **values: object) -> Stored[DeploymentSpec]:
    return Stored(1, source, DeploymentSpec(alias=alias, served_name=served, **values))  # type: ignore[arg-type]


def plan(text: str, *upstreams: StoredUpstream) -> Plan:
    return make_plan(State(upstreams=upstreams), wanted(text))


def test_an_empty_database_gets_everything() -> None:
    assert plan(LITELLM).lines() == [
        "+ upstream my-vllm-model: url https://my-vllm-server.com, is_default yes",
        "+ deployment my-vllm-model on my-vllm-model: served_name vllm-1.72, weight 1",
    ]
    assert plan(LITELLM).summary() == "2 added, 0 changed, 0 removed"


def test_what_is_there_needs_nothing() -> None:
    assert plan(rows(row()), stored("config", model())) == Plan()


def test_a_state_and_a_default_that_the_file_does_not_say_are_left() -> None:
    assert plan(rows(row()), stored("config", model(), state="draining", is_default=True)) == Plan()


def test_a_new_credential_is_a_change_and_is_not_shown() -> None:
    found = plan(rows(row(api_key="hunter2")), stored("config", model()))
    assert found.lines() == ["~ upstream m: credential changed"]
    assert "hunter2" not in repr(found)
    new = plan(rows(row(api_key="hunter2")))
    assert "with credential" in new.lines()[0]
    assert "hunter2" not in repr(new) + str(new.lines())


def test_what_the_file_no_longer_has_is_removed() -> None:
    assert plan("", stored("config", model())).lines() == ["- upstream m"]
    both = stored("config", model(), model(alias="old"))
    assert plan(rows(row()), both).lines() == ["- deployment old on m"]


@pytest.mark.parametrize("source", ["admin", "environment", "api"])
def test_rows_of_others_are_left_alone(source: str) -> None:
    assert plan("", stored(source, model(source))) == Plan()
    found = plan(rows(row(weight=5)), stored(source, model(source)))
    assert found.changes == ()
    assert found.warnings == ("The deployment m on m is not the file's and stays as it is (weight would differ).",)


def test_a_file_adds_its_models_to_an_upstream_of_people_s() -> None:
    found = plan(rows(row("new")), stored("admin", model("admin"), credential="theirs"))
    assert found.lines() == ["+ deployment new on m: served_name s, weight 1"]


def test_with_a_credential_of_its_own_it_is_another_upstream() -> None:
    found = plan(rows(row(api_key="mine")), stored("admin", credential="theirs"))
    assert found.lines()[0].startswith("+ upstream m-2: ")


def test_the_file_s_models_leave_an_upstream_of_people_s_again() -> None:
    found = plan("", stored("admin", model("admin", "theirs"), model()))
    assert found.lines() == ["- deployment m on m"]


def test_an_upstream_on_which_people_have_put_models_becomes_theirs() -> None:
    found = plan("", stored("config", model("admin", "theirs"), model()))
    assert found.lines() == [
        "- deployment m on m",
        "~ upstream m: left to the admin, because it has deployments that are not the file's",
    ]


def test_a_discovered_model_becomes_the_file_s() -> None:
    """Unless people have said something of it."""
    listed, asked = stored("config", model("discovered", "s")), rows(row("s"))
    (change,) = plan(rows(row("s", weight=2)), listed).changes
    assert (change.action, change.id, change.values) == ("change", 1, {"weight": 2})
    assert plan(asked, listed).lines() == ["~ deployment s on m: kept by the file"]
    priced = stored("config", model("discovered", "s", rpm=1))
    assert (plan(asked, priced).changes, plan(rows(row("s", rpm=1)), priced)) == ((), Plan())


def test_a_named_upstream_moves_and_an_unnamed_one_gets_a_name() -> None:
    moved = "gateway: {upstreams: [{name: m, url: http://b}]}"
    assert plan(moved, stored()).lines() == ["~ upstream m: url http://a:1 → http://b"]
    named = "gateway: {upstreams: [{name: chat, url: http://a:1}]}"
    assert plan(named, stored()).lines() == ["~ upstream m: name m → chat"]


def test_a_name_that_people_have_given_to_another_address_is_an_error() -> None:
    with pytest.raises(ConfigError, match="exists already, with another address"):
        plan("gateway: {upstreams: [{name: m, url: http://b}]}", stored("admin"))


def test_a_default_is_named_only_when_there_is_none() -> None:
    other = replace(stored("admin", url="http://else"), id=2)
    assert "is_default" not in plan(rows(row()), other).lines()[0]
    assert "is_default yes" in plan(rows(row()), stored("config", url="http://gone")).lines()[1]


def test_a_default_that_goes_without_another_is_said() -> None:
    other = replace(stored("admin", name="theirs", url="http://else", is_default=False), id=2)
    assert "default upstream away" in plan("", stored(), other).warnings[0]
    assert plan("", stored()).warnings == plan("", stored(is_default=False), other).warnings == ()


def test_names_of_new_upstreams_differ_and_tell_no_address() -> None:
    found = plan(rows(row("org/a model"), row("org/a model", base="http://b:1"), row("'*'", base="http://c:1")))
    names = [change.name for change in found.changes if change.table == "upstream"]
    assert names == ["org-a-model", "org-a-model-2", "upstream"]


def test_aliases_and_routing_follow() -> None:
    rows_ = (
        Stored(1, "config", AliasSpec(name="old", stands_for="m")),
        Stored(2, "config", AliasSpec(name="fast", stands_for="m")),
        Stored(3, "admin", AliasSpec(name="theirs", stands_for="m")),
    )
    text = "router_settings: {num_retries: 1, model_group_alias: {fast: n, theirs: n}}"
    found = make_plan(State(aliases=rows_, routing={"most_attempts": None}), wanted(text))
    assert found.lines() == [
        "- model alias old",
        "~ model alias fast: stands_for m → n",
        "~ routing: most_attempts none → 2",
    ]
    assert "theirs is not the file's" in found.warnings[0]


def test_keys_are_compared_by_digest() -> None:
    spec = KeySpec(name="ci", secret="", models=("m",), endpoint_classes=("inference", "monitoring"))
    there = StoredKey(1, is_of_the_file=True, spec=spec, digests=frozenset({crypto.digest(SECRET)}))
    asked = Wanted(keys=(replace(spec, secret=SECRET),))
    assert make_plan(State(keys=(there,)), asked) == Plan()
    other = Wanted(keys=(replace(spec, secret=SECRET + "x", models=("n",)),))
    assert make_plan(State(keys=(there,)), other).lines() == ["~ virtual key ci: secret changed, models [m] → [n]"]
    assert make_plan(State(keys=(there,)), Wanted()).lines() == ["- virtual key ci"]
    theirs = replace(there, is_of_the_file=False)
    assert make_plan(State(keys=(theirs,)), other).changes == ()
