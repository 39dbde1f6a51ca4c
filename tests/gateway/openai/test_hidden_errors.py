"""Errors with status 200 are recognised by how an answer begins, and get a status of their own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.openai.hidden_errors import error_in, may_be_error


@pytest.mark.parametrize(
    ("body", "status", "message", "kind"),
    [
        ({"error": {"message": "m", "type": "NotFoundError", "code": 404}}, 404, "m", "NotFoundError"),
        ({"error": {"message": "m", "code": "429"}}, 429, "m", "upstream_error"),
        ({"error": {"message": "", "code": 7}}, 502, "The upstream failed without a word.", "upstream_error"),
        ({"error": "text"}, 502, "text", "upstream_error"),
        ({"error": {"message": "not \ud800 Unicode", "code": "²"}}, 502, "not \ud800 Unicode", "upstream_error"),
        ({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}, 400, "m", "BadRequestError"),
        ({"detail": "Not Found"}, 502, "Not Found", "upstream_error"),
        ({"detail": [{"loc": ["body"]}]}, 502, '[{"loc": ["body"]}]', "upstream_error"),
    ],
)
def test_each_shape_of_an_error(body: Any, status: int, message: str, kind: str) -> None:
    written = json.dumps(body).encode()
    assert may_be_error(written)
    found = error_in(written)
    assert found is not None
    error = json.loads(found[1])["error"]
    assert (found[0], error["message"], error["type"], error["code"]) == (status, message, kind, str(status))


@pytest.mark.parametrize(
    "body",
    [
        {"id": "chatcmpl-1", "object": "chat.completion", "error": None},
        {"object": "list", "data": []},
        {"count": 3},
        {"id": "resp_1", "error": None, "status": "completed"},
        {"data": [], "detail": "of something"},
    ],
)
def test_what_is_no_error_is_none(body: Any) -> None:
    assert error_in(json.dumps(body).encode()) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"no json", b'"error"', b"{" * 100_000])
def test_what_is_no_object_is_none(body: bytes) -> None:
    assert error_in(body) is None


@pytest.mark.parametrize(
    "begun", [b'{"id":"chatcmpl-1"', b'{"object":"list","da', b'{ "count": 12345', b"[1, 2, 3, 4, 5, 6"]
)
def test_most_answers_are_known_by_their_first_field(begun: bytes) -> None:
    assert not may_be_error(begun)


@pytest.mark.parametrize(
    "begun", [b"", b" {", b'{"err', b'{"error": {"message": "a long', b'{"object" : ', b'{"object":"er']
)
def test_what_may_become_an_error_is_waited_for(begun: bytes) -> None:
    assert may_be_error(begun)
