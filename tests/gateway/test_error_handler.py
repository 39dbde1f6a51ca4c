"""One function writes every error body."""

from __future__ import annotations

import json

import pytest
from django.test import RequestFactory
from rest_framework.exceptions import NotAcceptable, ParseError

from common.errors import GatewayError, InvalidRequest
from gateway import error_handler
from gateway.errors import BodyTooLarge, NotServing


def test_an_error_of_ours_is_told_as_it_is() -> None:
    response = error_handler.handle(NotServing(), {})
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert response.data["error"] == {
        "message": "The gateway is starting or stopping. Try again in a moment.",
        "type": "not_serving",
        "param": None,
        "code": "503",
    }


@pytest.mark.parametrize(("error", "status"), [(ParseError("no JSON"), 400), (NotAcceptable(), 406)])
def test_an_error_of_rest_framework_keeps_its_status(error: Exception, status: int) -> None:
    response = error_handler.handle(error, {})
    assert (response.status_code, response.data["error"]["type"]) == (status, "invalid_request_error")
    assert response.data["error"]["code"] == str(status)


def test_another_error_says_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    body = error_handler.handle(ValueError("secret detail"), {}).data
    assert body["error"] == {
        "message": "Internal server error.",
        "type": "internal_server_error",
        "param": None,
        "code": "500",
    }
    assert "Unexpected error" in caplog.text


def test_where_there_is_no_view_the_body_is_the_same() -> None:
    response = error_handler.answer(InvalidRequest("So not.", param="model"))
    body = json.loads(response.content)
    assert (response.status_code, body["error"]["param"]) == (400, "model")
    assert response.headers["Content-Length"] == str(len(response.content))


@pytest.mark.parametrize(("view", "status"), [(error_handler.not_found, 404), (error_handler.server_error, 500)])
def test_django_s_own_errors_have_our_shape(view: object, status: int, rf: RequestFactory) -> None:
    response = view(rf.get("/x"))  # type: ignore[operator]
    assert (response.status_code, json.loads(response.content)["error"]["code"]) == (status, str(status))


def test_the_limit_of_a_body_is_told_in_megabytes() -> None:
    assert "larger than the 2.5 MB" in BodyTooLarge(2_500_000).message


def test_the_root_of_the_tree_is_a_500() -> None:
    assert GatewayError().body()["error"]["code"] == "500"
