"""Every method and every kind of body reaches the upstream as the client sent it; too much and too slow is refused."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.sockets.conftest import BODY_SECONDS
from tests.support import answers
from tests.support.gateway import Gateway
from tests.support.patience import wait_for
from tests.support.upstream import Upstream

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
MULTIPART = b'--cut\r\nContent-Disposition: form-data; name="model"\r\n\r\ntiny\r\n--cut--\r\n'
BODIES = [
    (b"[1,2]", "application/json"),
    (b'{"model":"x"', "application/json"),
    (b"a=1&a=2&b=", "application/x-www-form-urlencoded"),
    (MULTIPART, "multipart/form-data; boundary=cut"),
    (bytes(range(256)), "application/octet-stream"),
    (b"\xff\xfe{", None),
    (b'{ "model" : "tiny-chat",\n "stream":false , "messages":[ ] }', "application/json; charset=utf-8"),
]


def _headers(content_type: str | None) -> list[tuple[str, str]]:
    return [] if content_type is None else [("content-type", content_type)]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_arrives_as_itself(gateway: Gateway, upstream: Upstream, method: str) -> None:
    upstream.on("* /v1/anything", answers.json(200, {"fine": True}))
    response = gateway.call(method, "/vllm/v1/anything")
    assert response.status == 200
    assert upstream.request_with_id(response.header("x-request-id") or "").line == f"{method} /v1/anything HTTP/1.1"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_call_without_a_body_is_sent_without_one(gateway: Gateway, upstream: Upstream, method: str) -> None:
    upstream.on("* /v1/anything", answers.echo())
    seen = gateway.call(method, "/vllm/v1/anything?level=1").json()
    assert (seen["body"]["length"], seen["framing"]) == (0, "length")
    assert "content-type" not in dict(map(_lower, seen["headers"]))


def test_a_get_without_a_body_gets_no_length(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("* /v1/anything", answers.echo())
    assert gateway.call("GET", "/vllm/v1/anything").json()["framing"] == "none"


@pytest.mark.parametrize(("body", "content_type"), BODIES)
@pytest.mark.parametrize("chunked", [False, True])
def test_any_body_arrives_unchanged(
    gateway: Gateway, upstream: Upstream, body: bytes, content_type: str | None, chunked: bool
) -> None:
    upstream.on("* /v1/anything", answers.json(200, {}))
    sent = [body[:3], body[3:]] if chunked else body
    response = gateway.call("POST", "/vllm/v1/anything", _headers(content_type), sent)
    request = upstream.request_with_id(response.header("x-request-id") or "")
    assert request.body == body
    assert (request.header("content-type"), request.framing) == (content_type, "length")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_a_megabyte_passes_through_the_disk(gateway: Gateway, upstream: Upstream, chunked: bool) -> None:
    upstream.on("* /v1/anything", answers.json(200, {}))
    body = b'{"model":"tiny-chat","prompt":"%s"}' % (b"x" * 1_500_000)
    sent = [body[at : at + 100_000] for at in range(0, len(body), 100_000)] if chunked else body
    response = gateway.call("POST", "/vllm/v1/anything", _headers("application/json"), sent)
    assert upstream.request_with_id(response.header("x-request-id") or "").body == body
    assert gateway.row(response)["bytes_in"] == len(body)
    assert list((gateway.data_dir / "spool").iterdir()) == []


def test_a_spooled_body_is_spliced_too(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("* /v1/anything", answers.json(200, {}))
    filling = b"x" * 1_500_000
    response = gateway.call(
        "POST", "/vllm/v1/anything", _headers("application/json"), b'{"prompt":"%s","model":"nice-name"}' % filling
    )
    request = upstream.request_with_id(response.header("x-request-id") or "")
    assert request.body == b'{"prompt":"%s","model":"tiny-chat"}' % filling


# --- Refused before the body is read ------------------------------------------------------------------------


def test_a_body_over_the_limit_is_refused_by_its_length(gateway: Gateway, upstream: Upstream) -> None:
    with gateway.connect() as client:
        client.request("POST", "/vllm/v1/anything", [*gateway.headers(), ("content-length", "2000001")], b"{")
        response = client.read_response()
        assert (response.status, response.header("connection")) == (413, "close")
        assert response.json()["error"]["type"] == "request_too_large"
        assert client.wait_for_end() == "fin"
    row = gateway.row(response)
    assert (row["outcome"], row["bytes_out"]) == ("refused", len(response.body))


def test_a_chunked_body_over_the_limit_is_refused_when_it_gets_there(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("* /v1/anything", answers.json(200, {}))
    response = gateway.call("POST", "/vllm/v1/anything", body=[b"x" * 400_000] * 6)
    assert (response.status, response.header("connection")) == (413, "close")
    assert "2 MB" in response.json()["error"]["message"]
    assert not [r for r in upstream.calls if r.method == "POST"]


def test_a_refusal_that_comes_before_the_body_can_be_read_by_a_client_that_goes_on_sending(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.request("POST", "/vllm/v1/anything", [("content-length", "500000")])
        for _ in range(50):
            client.send(b"x" * 10_000)
        response = client.read_response()
        assert (response.status, response.header("connection"), response.end) == (401, "close", "clean")


def test_no_stranger_s_body_is_read_before_authentication(gateway: Gateway) -> None:
    """A chunked body that never comes holds up nobody: the answer comes from the head alone."""
    with gateway.connect() as client:
        client.request("POST", "/vllm/v1/anything", [("transfer-encoding", "chunked")])
        assert client.read_response().status == 401


FRAMINGS = [("content-length", "1500000"), ("transfer-encoding", "chunked")]
"""Of bodies that may be long; none of them comes in the tests that announce them."""


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize(
    ("limit", "status"),
    [
        ({"max_parallel_requests": 0}, 429),
        ({"rpm_limit": 0}, 429),
        ({"tpm_limit": 0}, 429),
        ({"max_budget": 0, "budget_duration": "1d"}, 422),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_what_limits_refuse_is_refused_before_a_long_body_comes(
    gateway: Gateway, framing: tuple[str, str], limit: dict[str, Any], status: int
) -> None:
    secret = gateway.make_key(**limit)
    with gateway.connect() as client:
        client.request("POST", "/vllm/v1/completions", [*gateway.headers(secret), framing])
        response = client.read_response()
    assert (response.status, response.header("connection")) == (status, "close")
    assert gateway.row(response)["outcome"] == "refused"


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_long_body_that_comes_has_a_place_until_its_client_leaves(
    gateway: Gateway, upstream: Upstream, framing: tuple[str, str]
) -> None:
    upstream.on("* /v1/anything", answers.json(200, {}))
    secret = gateway.make_key(max_parallel_requests=1)

    def another() -> int:
        return gateway.call("POST", "/vllm/v1/anything", _headers("application/json"), b"{}", key=secret).status

    def places() -> int:
        (limit,) = gateway.call("GET", "/me", key=secret).json()["limits"]
        return int(limit["used"])

    with gateway.connect() as client:
        client.request("POST", "/vllm/v1/anything", [*gateway.headers(secret), framing])
        wait_for(lambda: places() == 1)
        assert another() == 429
    wait_for(lambda: places() == 0)
    assert another() == 200


def test_a_long_body_counts_as_one_call(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("* /v1/anything", answers.json(200, {}))
    secret = gateway.make_key(max_parallel_requests=9, rpm_limit=3)
    left = []
    for _ in range(3):
        response = gateway.call("POST", "/vllm/v1/anything", _headers("application/json"), b"x" * 100_000, key=secret)
        left.append((response.status, response.header("x-ratelimit-remaining-requests")))
    assert left == [(200, "2"), (200, "1"), (200, "0")]


def test_a_refusal_of_a_call_without_a_body_keeps_the_connection(gateway: Gateway) -> None:
    with gateway.connect() as client:
        for _ in range(2):
            client.request("GET", "/vllm/health")
            assert client.read_response().status == 401


def test_a_body_that_stops_coming_is_given_up(gateway: Gateway, upstream: Upstream) -> None:
    with gateway.connect() as client:
        began = time.monotonic()
        client.request("POST", "/vllm/v1/anything", [*gateway.headers(), ("content-length", "10")], b"{")
        response = client.read_response()
        assert response.status == 408
        assert time.monotonic() - began >= BODY_SECONDS
    assert gateway.row(response)["outcome"] == "client_disconnected"


def test_a_slow_but_steady_body_is_waited_for(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("* /v1/anything", answers.json(200, {}))
    with gateway.connect() as client:
        client.request("POST", "/vllm/v1/anything", [*gateway.headers(), ("content-length", "80000")])
        client.send_slowly(b"x" * 80_000, piece=13_500, gap=BODY_SECONDS / 4)
        assert client.read_response().status == 200


@pytest.mark.parametrize("chunk", [b"zz\r\nabc\r\n", b"3\r\nabcd\r\n", b"-1\r\n\r\n"])
def test_broken_chunks_are_refused_and_end_the_connection(gateway: Gateway, upstream: Upstream, chunk: bytes) -> None:
    with gateway.connect() as client:
        client.request("POST", "/vllm/v1/anything", [*gateway.headers(), ("transfer-encoding", "chunked")])
        client.send(chunk)
        response = client.read_response()
        assert (response.status, response.json()["error"]["type"]) == (400, "invalid_request_error")
        assert client.wait_for_end() == "fin"


def test_expect_100_continue_is_answered_and_not_passed_on(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("* /v1/anything", answers.echo())
    with gateway.connect() as client:
        client.request(
            "POST", "/vllm/v1/anything", [*gateway.headers(), ("expect", "100-continue"), ("content-length", "2")]
        )
        assert client.read_head(interim=True).status == 100
        client.send(b"{}")
        seen = client.read_response().json()
    assert "expect" not in dict(map(_lower, seen["headers"]))


EXPECT = ("expect", "100-continue")


def test_a_refusal_from_the_head_invites_nobody_to_send(gateway: Gateway) -> None:
    """Without a key, and too large: the first that is answered is the refusal."""
    for headers, length, status in (([], 10, 401), (gateway.headers(), 100_000_000, 413)):
        with gateway.connect() as client:
            client.request("POST", "/vllm/v1/anything", [*headers, EXPECT, ("content-length", str(length))])
            assert client.read_head(interim=True).status == status
            assert client.wait_for_end() in {"fin", "reset"}


def test_who_sends_without_waiting_is_not_invited(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("* /v1/anything", answers.json(200, {}))
    with gateway.connect() as client:
        for _ in range(2):  # on one connection
            client.request("POST", "/vllm/v1/anything", [*gateway.headers(), EXPECT], b"{}")
            assert client.read_head(interim=True).status == 200
            client.read_some()


def test_an_answer_without_reading_the_body_that_was_announced_ends_the_connection(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.request("GET", "/healthz", [EXPECT, ("content-length", "10")])
        head = client.read_head(interim=True)
        assert (head.status, head.header("connection")) == (200, "close")


def test_a_length_beside_chunks_is_refused_by_the_server(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.request("POST", "/vllm/v1/anything", [("content-length", "1"), ("transfer-encoding", "chunked")], b"x")
        assert client.read_head().status == 400
        assert client.wait_for_end() in {"fin", "reset"}


def _lower(header: list[str]) -> tuple[str, str]:
    return header[0].lower(), header[1]
