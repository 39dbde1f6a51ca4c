"""Tests of keys.permissions."""

import fnmatch
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import (
    AddressDenied,
    EndpointClassDenied,
    ManagementKeyDenied,
    ManagementRefused,
    ModelDenied,
    RouteDenied,
    UpstreamDenied,
)
from keys.identity import ANONYMOUS, MASTER, Identity
from keys.permissions import (
    check_address,
    check_class,
    check_manager,
    check_manages,
    check_model,
    check_route,
    check_served,
    check_upstream,
    is_manager,
    may_use_any,
    may_use_model,
    resolve_alias,
)


def limited_to(*models):
    return Identity(key_id=1, name=None, models=models)


@pytest.mark.parametrize("identity", [Identity(key_id=1, name=None), ANONYMOUS])
def test_server_control_is_not_granted_by_default(identity):
    check_class(identity, "inference")
    check_class(identity, "monitoring")
    with pytest.raises(EndpointClassDenied, match="Ask your admin to grant server control"):
        check_class(identity, "server_control")


def test_the_master_key_may_do_all():
    check_class(MASTER, "server_control")
    check_model(MASTER, None)


@pytest.mark.parametrize("model", ["any", "", None])
def test_an_empty_list_allows_every_model(model):
    check_model(limited_to(), model)


@pytest.mark.parametrize(
    ("pattern", "model"),
    [("m", "m"), ("qwen-*", "qwen-7b"), ("*", ""), ("a*b*c", "a--b-b-c"), ("*-7b", "x-7b"), ("org/*", "org/a/b")],
)
def test_names_and_patterns_allow(pattern, model):
    check_model(limited_to("other", pattern), model)


@pytest.mark.parametrize(
    ("pattern", "model"),
    [
        ("m", "M"),
        ("m", "m2"),
        ("", "m"),
        ("a*a", "a"),
        ("a*b*c", "a-c-b"),
        ("[m]", "m"),
        ("m?", "mm"),
        ("*b*b", "b"),
    ],
)
def test_what_does_not_fit_is_denied(pattern, model):
    with pytest.raises(ModelDenied):
        check_model(limited_to(pattern), model)


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_patterns_match_as_fnmatch_does(pattern, model):
    expected = pattern != "" and fnmatch.fnmatchcase(model, pattern)
    assert may_use_model(limited_to(pattern, "-"), model) == (expected or pattern == model)


def test_a_limited_key_may_not_call_a_model_that_cannot_be_told():
    with pytest.raises(ModelDenied) as refusal:
        check_model(limited_to("m*"), None)
    assert refusal.value.status_code == 403
    assert refusal.value.param == "model"


def test_a_refusal_can_always_be_written():
    assert ModelDenied("\ud800" + "x" * 10_000).message.encode("utf-8")
    assert len(ModelDenied("x" * 10_000).message) < 500


def test_one_of_several_models_is_enough():
    assert may_use_any(limited_to("a"), ["b", "a"])
    assert not may_use_any(limited_to("a"), ["b"])
    assert not may_use_any(limited_to(), [])


# --- Names of the key's own


def test_a_name_of_the_keys_own_stands_for_a_model():
    identity = Identity(key_id=1, name=None, aliases={"fast": "qwen-7b"})
    assert [resolve_alias(identity, name) for name in ("fast", "qwen-7b", "")] == ["qwen-7b", "qwen-7b", ""]


def test_a_name_stands_for_a_model_and_not_for_another_name():
    identity = Identity(key_id=1, name=None, aliases={"a": "b", "b": "c"})
    assert resolve_alias(identity, "a") == "b"


@pytest.mark.parametrize(
    ("models", "asked", "allowed"),
    [
        ([], "fast", True),
        (["fast"], "fast", True),
        (["qwen-*"], "fast", True),
        (["fast"], "qwen-7b", False),
        (["other"], "fast", False),
        (["other"], "qwen-7b", False),
    ],
)
def test_a_list_allows_the_name_asked_for_or_what_it_stands_for(models, asked, allowed):
    identity = Identity(key_id=1, name=None, models=tuple(models), aliases={"fast": "qwen-7b"})
    assert may_use_model(identity, asked) is allowed


def test_a_name_of_the_keys_own_says_nothing_of_the_model_that_answers_when_none_is_named():
    identity = Identity(key_id=1, name=None, models=("qwen-*",), aliases={"llama": "qwen-7b"})
    check_model(identity, "llama")
    check_served(identity, "qwen-7b")
    for model in ("llama", None):
        with pytest.raises(ModelDenied):
            check_served(identity, model)
    check_served(limited_to(), None)


# --- Upstreams by name


@pytest.mark.parametrize(
    ("grants", "name"), [(["gpu-1"], "gpu-1"), (["lab-*"], "lab-2"), (["*"], "any"), (["a", "b"], "b")]
)
def test_a_grant_lets_a_call_name_the_upstream(grants, name):
    check_upstream(Identity(key_id=1, name=None, allowed_upstreams=tuple(grants)), name)


@pytest.mark.parametrize("grants", [[], ["gpu-10"], ["lab-*"], ["GPU-1"], [""]])
def test_without_a_grant_no_upstream_can_be_named(grants):
    with pytest.raises(UpstreamDenied) as refusal:
        check_upstream(Identity(key_id=1, name=None, allowed_upstreams=tuple(grants)), "gpu-1")
    assert (refusal.value.status_code, refusal.value.type) == (403, "key_upstream_access_denied")
    assert not any(name in refusal.value.message for name in ("gpu", "lab"))


def test_the_master_key_may_name_every_upstream_and_anonymous_callers_none():
    check_upstream(MASTER, "gpu-1")
    with pytest.raises(UpstreamDenied):
        check_upstream(ANONYMOUS, "gpu-1")


# --- Managers


def of_type(key_type):
    return Identity(key_id=1, name=None, key_type=key_type, endpoint_classes=frozenset())


def test_managers_are_the_master_key_and_management_keys():
    assert is_manager(MASTER)
    assert is_manager(of_type("management"))
    check_manager(of_type("management"))


@pytest.mark.parametrize("identity", [ANONYMOUS, of_type("default"), of_type("llm_api"), of_type("read_only")])
def test_all_others_are_no_managers(identity):
    assert not is_manager(identity)
    with pytest.raises(ManagementRefused):
        check_manager(identity)


def test_management_keys_are_managed_with_the_master_key_only():
    check_manages(MASTER, ["management"])
    check_manages(of_type("management"), ["default", "llm_api"])
    with pytest.raises(ManagementKeyDenied):
        check_manages(of_type("management"), ["default", "management"])


def test_a_management_key_is_told_to_use_another_key_for_calls():
    with pytest.raises(EndpointClassDenied, match="Use another key for calls"):
        check_class(of_type("management"), "inference")


@pytest.mark.parametrize(
    ("allowed", "path", "is_allowed"),
    [
        ((), "/vllm/health", True),
        (("/v1/embeddings",), "/v1/embeddings", True),
        (("/v1/embeddings",), "/v1/embeddings/x", False),
        (("/vllm/*",), "/vllm/v1/score", True),
        (("/vllm/*",), "/v1/score", False),
        (("openai_routes",), "/v1/score", True),
        (("management_routes",), "/v1/score", False),
    ],
)
def test_routes_are_paths_patterns_or_groups(allowed, path, is_allowed):
    identity = Identity(key_id=1, name=None, allowed_routes=allowed)
    if is_allowed:
        check_route(identity, path, {"openai_routes"})
        return
    with pytest.raises(RouteDenied, match="Tried to call route"):
        check_route(identity, path, {"openai_routes"})


@pytest.mark.parametrize(
    ("networks", "address", "is_allowed"),
    [
        ((), "192.0.2.1", True),
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), "192.0.2.1", False),
        (("10.0.0.0/8",), "unix", False),
        (("2001:db8::/32",), "2001:db8::7", True),
    ],
)
def test_addresses_are_in_one_of_the_networks(networks, address, is_allowed):
    identity = Identity(key_id=1, name=None, networks=tuple(map(ip_network, networks)))
    if is_allowed:
        check_address(identity, address)
        return
    with pytest.raises(AddressDenied):
        check_address(identity, address)
