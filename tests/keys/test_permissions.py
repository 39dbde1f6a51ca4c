"""Tests of keys.permissions."""

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import EndpointClassDenied, ModelDenied
from keys.identity import ANONYMOUS, MASTER, Identity
from keys.permissions import check_class, check_model, may_use_any, may_use_model


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
