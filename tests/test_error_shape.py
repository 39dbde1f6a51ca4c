"""Walks all ways to fail: every error class of the four trees has the one shape, and gives nothing away."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from pytest_django import Settings
from rest_framework import exceptions

from common.errors import GatewayError
from gateway import errors as gateway_errors
from gateway.error_handler import answer, handle, not_found, server_error
from keys import crypto
from keys import errors as key_errors
from keys.authentication import authenticate
from keys.registry import KeyRegistry
from upstreams import errors as upstream_errors

TREES = ("common.errors", "gateway.errors", "keys.errors", "upstreams.errors")
# What the classes that cannot do without are told.
TOLD: dict[type[GatewayError], dict[str, Any]] = {
    gateway_errors.BodyTooLarge: {"limit": 1_000_000},
    key_errors.EndpointClassDenied: {"endpoint_class": "server_control"},
    key_errors.KeyExpired: {"masked": "sk-...abcd", "expired_at": 1.0, "now": 2.0},
    key_errors.LimitExceeded: {
        "subject": "a key",
        "limit": "max_parallel_requests",
        "ceiling": 1,
        "remaining": 0,
        "retry_after": 1,
    },
    key_errors.BudgetExceeded: {
        "kind": "team",
        "subject": "a team",
        "spent": "1.5",
        "ceiling": "1",
        "limit": "max_budget",
        "retry_after": 60,
    },
    key_errors.HolderBlocked: {"kind": "team", "name": "a team"},
    key_errors.EndUserBlocked: {"end_user": "a person"},
    key_errors.RouteDenied: {"allowed": ["/v1/embeddings"], "route": "/vllm/health"},
    key_errors.ModelDenied: {"model": "a-model"},
    key_errors.NameTaken: {"name": "a name"},
    gateway_errors.ResponseUnknown: {"response_id": "resp_1"},
    gateway_errors.ModelUnknown: {"model": "a-model", "usable": ["another"]},
    upstream_errors.UpgradeRefused: {"status": 403},
    gateway_errors.UpstreamSaid: {"status": 502, "error": {"code": "502"}},
}
ADDRESS = re.compile(r"://|\b\d+\.\d+\.\d+\.\d+\b|localhost")


def subclasses(error: type[GatewayError]) -> Iterator[type[GatewayError]]:
    yield error
    for subclass in error.__subclasses__():
        yield from subclasses(subclass)


def every_class() -> list[type[GatewayError]]:
    for tree in TREES:
        importlib.import_module(tree)
    return sorted((c for c in subclasses(GatewayError) if c.__module__ in TREES), key=lambda c: c.__qualname__)


def shape(body: bytes) -> dict[str, str | None]:
    """The error in a body, which is in the one shape."""
    whole = json.loads(body)
    assert list(whole) == ["error"]
    assert set(whole["error"]) == {"message", "type", "param", "code"}
    error: dict[str, str | None] = whole["error"]
    return error


VLLMS_OWN = {"NotFoundError"}  # of an unknown model, whoever says it

every_error = pytest.mark.parametrize(
    "error", [c(**TOLD.get(c, {})) for c in every_class()], ids=lambda error: type(error).__qualname__
)


@every_error
def test_an_error_has_four_fields_and_its_status_as_a_string(error: GatewayError) -> None:
    written = shape(answer(error).content)
    assert written["code"] == str(error.status_code)
    assert written["type"] == error.type
    assert written["param"] == error.param


@every_error
def test_an_error_has_a_status_of_a_refusal_or_a_failure(error: GatewayError) -> None:
    assert 400 <= error.status_code <= 599
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.type) or error.type in VLLMS_OWN


@every_error
def test_an_error_is_a_sentence(error: GatewayError) -> None:
    assert error.message[0].isupper()
    assert error.message[-1] in ".0"  # KeyExpired ends, as LiteLLM's, in a time


@every_error
def test_an_error_names_no_address_and_no_secret(error: GatewayError) -> None:
    text = json.dumps(error.body())
    assert ADDRESS.search(text) is None
    assert re.search(r"sk-[A-Za-z0-9_-]{8}", text) is None
    assert settings.MASTER_KEY not in text


@every_error
def test_retry_after_is_sent_where_there_is_one(error: GatewayError) -> None:
    seconds = None if error.retry_after is None else str(error.retry_after)
    assert answer(error).headers.get("Retry-After") == seconds
    assert handle(error, {}).headers.get("Retry-After") == seconds


@every_error
def test_a_view_and_the_relay_write_the_same_body(error: GatewayError) -> None:
    response = handle(error, {})
    assert (response.status_code, response.data) == (error.status_code, json.loads(answer(error).content))


@every_error
def test_a_class_stands_in_the_tree_of_its_module(error: GatewayError) -> None:
    module = importlib.import_module(type(error).__module__)
    assert re.search(rf"\b{type(error).__name__}\b", module.__doc__ or "")


@pytest.mark.parametrize(
    "error",
    [exceptions.MethodNotAllowed("PATCH"), exceptions.UnsupportedMediaType("a/b"), exceptions.ParseError()],
    ids=lambda error: type(error).__name__,
)
def test_what_the_framework_refuses_has_the_shape_too(error: exceptions.APIException) -> None:
    response = handle(error, {})
    assert response.status_code == error.status_code
    assert shape(json.dumps(response.data).encode())["code"] == str(error.status_code)


def test_what_nobody_foresaw_says_nothing_of_itself() -> None:
    response = handle(RuntimeError("/a/path and sk-a-secret-of-somebody"), {})
    assert response.status_code == 500
    assert response.data == GatewayError().body()


def test_an_address_without_anything_has_the_shape(rf: Any) -> None:
    assert shape(not_found(rf.get("/nothing")).content)["code"] == "404"


def test_a_host_name_that_is_not_allowed_has_the_shape(client: Client, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["gateway.example.com"]
    response = client.get("/key/info", headers={"Host": "elsewhere.example.com"})
    assert shape(response.content)["code"] == "400"


def test_a_failure_outside_of_views_has_the_shape(rf: Any) -> None:
    assert shape(server_error(rf.get("/")).content)["code"] == "500"


@pytest.mark.parametrize(
    "secret",
    [crypto.generate(), crypto.generate()[:-1] + "-", "sk-somebody-elses-long-key", "not-a-key-at-all", "Basic dTpw"],
    ids=["unknown", "typo", "foreign", "malformed", "other scheme"],
)
def test_a_refused_key_is_not_echoed(secret: str) -> None:
    value = secret if secret.startswith("Basic") else f"Bearer {secret}"
    with pytest.raises(key_errors.AuthenticationRefused) as refusal:
        authenticate({"HTTP_AUTHORIZATION": value}, KeyRegistry(), 0.0, lambda: None)
    assert secret.split()[-1] not in answer(refusal.value).content.decode()
