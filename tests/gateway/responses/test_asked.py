"""What a responses call says of other responses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from common.errors import InvalidRequest
from gateway.responses.asked import MOST_PARSED, Asked, read


def asked(body: bytes, *, length: int | None = None) -> Asked:
    return read([body[:10], body[10:]], len(body) if length is None else length)


def of(**fields: Any) -> Asked:
    return asked(json.dumps({"input": "x", **fields}).encode())


def test_it_works() -> None:
    assert of(previous_response_id="resp_1", request_id="mine", store=False) == Asked("resp_1", "mine", stores=False)


def test_what_is_not_said_is_none() -> None:
    assert of() == of(previous_response_id=None, store=None) == asked(b"") == Asked()


@pytest.mark.parametrize("value", [False, 0, "false", "off", "0", "No"])
def test_false_is_what_vllm_takes_for_it(value: object) -> None:
    assert not of(store=value).stores


@pytest.mark.parametrize("value", [True, 1, "true", None, [], "maybe"])
def test_all_else_stores(value: object) -> None:
    assert of(store=value).stores


@pytest.mark.parametrize(
    "body",
    [
        rb'{"previous\u005fresponse_id": "resp_1"}',
        rb'{"previous_response_id": "resp_0", "previous_response_id": "resp_1"}',
        rb'{"previous_response_id": "resp\u005f1"}',
        '{"previous_response_id": "resp_1"}'.encode("utf-16"),
        b'{"a": "\\ud800", "b": ' + b"[" * 600 + b"]" * 600 + b', "previous_response_id": "resp_1"}',
    ],
)
def test_an_id_cannot_be_hidden(body: bytes) -> None:
    assert asked(body).previous == "resp_1"


@pytest.mark.parametrize("body", [b"nonsense", b"[]", b'{"previous_response_id": "resp_1"', b"\xff"])
def test_what_a_server_refuses_passes(body: bytes) -> None:
    assert asked(body) == Asked()


@pytest.mark.parametrize("body", [b'{"previous_response_id": ["resp_1"]}', b'{"request_id": 1}', b"[" * 100_000])
def test_what_cannot_be_told_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        asked(body)


def test_a_long_body_that_is_odd_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        asked(b"nonsense", length=MOST_PARSED + 1)
