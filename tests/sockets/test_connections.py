"""The client's connection: kept and used again after a call, pipelined, of HTTP/1.0, or half-sent for ever."""

from __future__ import annotations

import pytest

from tests.support import answers, vllm
from tests.support.gateway import Gateway, open_sockets
from tests.support.patience import wait_for
from tests.support.upstream import Upstream

CHAT = "/vllm/v1/chat/completions"
STREAM = b'{"model":"tiny-chat","stream":true}'


def test_a_connection_serves_call_after_call(gateway: Gateway, upstream: Upstream) -> None:
    with gateway.connect() as client:
        for method, target, body in [
            ("POST", CHAT, STREAM),
            ("POST", CHAT, b"{}"),
            ("GET", "/vllm/health", b""),
            ("GET", "/healthz", b""),
            ("POST", CHAT, [b"{", b"}"]),
            ("POST", CHAT, STREAM),
        ]:
            client.request(method, target, gateway.headers(), body)
            response = client.read_response()
            assert (response.status, response.end, response.header("connection")) == (200, "clean", "keep-alive")


def test_a_pipelined_request_is_answered_after_the_first(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", vllm.chat(gap=0.02))
    with gateway.connect() as client:
        client.request("POST", CHAT, [*gateway.headers(), ("x-request-id", "pipe-1")], STREAM)
        client.request("GET", "/vllm/version", [*gateway.headers(), ("x-request-id", "pipe-2")])
        first, second = client.read_response(), client.read_response()
    assert (first.header("x-request-id"), second.header("x-request-id")) == ("pipe-1", "pipe-2")
    assert first.body == b"".join(_events("pipe-1"))
    assert second.json() == {"version": "0.32.0"}
    assert gateway.row("pipe-1")["outcome"] == "completed"


def _events(request_id: str) -> list[bytes]:
    return [
        event.replace(b"chatcmpl-88c31022cfabdf22", f"chatcmpl-{request_id}".encode()) for event in vllm.chat_events()
    ]


def test_connection_close_is_honoured(gateway: Gateway, upstream: Upstream) -> None:
    with gateway.connect() as client:
        client.request("POST", CHAT, [*gateway.headers(), ("connection", "close")], STREAM)
        response = client.read_response()
        assert (response.header("connection"), response.end) == ("close", "clean")
        assert client.wait_for_end() == "fin"


def test_a_client_of_http_1_0_gets_a_stream_that_ends_with_the_connection(gateway: Gateway, upstream: Upstream) -> None:
    with gateway.connect() as client:
        head = (
            f"POST {CHAT} HTTP/1.0\r\nauthorization: Bearer {gateway.master_key}\r\ncontent-length: {len(STREAM)}\r\n"
        )
        client.send(head.encode() + b"x-request-id: old\r\n\r\n" + STREAM)
        response = client.read_response()
    assert (response.end, response.header("transfer-encoding")) == ("closed", None)
    assert response.body == b"".join(_events("old"))


def test_head_gets_the_head_alone(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("HEAD /v1/things", answers.body(b"x" * 500, headers=[("content-type", "text/plain")]))
    with gateway.connect() as client:
        for _ in range(2):
            client.request("HEAD", "/vllm/v1/things", gateway.headers())
            response = client.read_response()
            assert (response.status, response.header("content-length"), response.body) == (200, "500", b"")


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body_stay_without(gateway: Gateway, upstream: Upstream, status: int) -> None:
    upstream.on("GET /v1/things", answers.body(b"", status=status, headers=[("etag", '"1"')]))
    with gateway.connect() as client:
        for _ in range(2):
            client.request("GET", "/vllm/v1/things", gateway.headers())
            response = client.read_response()
            assert (response.status, response.body, response.header("etag")) == (status, b"", '"1"')
            assert not {"content-length", "transfer-encoding"} & set(response.head.names())


def test_an_empty_answer_keeps_the_connection(gateway: Gateway, upstream: Upstream) -> None:
    """As vLLM's /health: 200, no body, no content type."""
    with gateway.connect() as client:
        for _ in range(2):
            client.request("GET", "/vllm/health", gateway.headers())
            response = client.read_response()
            assert (response.status, response.body, response.header("content-type")) == (200, b"", None)


def test_a_status_without_a_reason_passes(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("GET /v1/things", answers.raw(b"HTTP/1.1 299 \r\ncontent-length: 2\r\n\r\nok"))
    response = gateway.call("GET", "/vllm/v1/things")
    assert (response.status, response.body) == (299, b"ok")


def test_half_sent_heads_hold_up_nobody(gateway: Gateway, upstream: Upstream) -> None:
    clients = [gateway.connect() for _ in range(30)]
    try:
        for client in clients:
            client.send(b"POST /vllm/v1/chat/completions HTTP/1.1\r\nhost: x\r\nauth")
        assert gateway.call("GET", "/vllm/version").status == 200
    finally:
        for client in clients:
            client.close()


def test_no_socket_is_left_behind(gateway: Gateway, upstream: Upstream) -> None:
    """Whatever way a call ends, its client's connection and its upstream's are closed or pooled."""
    gateway.post(CHAT, {})
    worker = gateway.pids().relay
    before = open_sockets(worker)
    upstream.on("POST /v1/chat/completions", answers.die_mid_stream(vllm.chat_events()[:2]))
    for _ in range(5):
        gateway.call("POST", CHAT, body=STREAM)
    upstream.on("POST /v1/chat/completions", answers.head_then_silence())
    for number in range(5):
        with gateway.connect() as client:
            client.request("POST", CHAT, [*gateway.headers(), ("x-request-id", f"left-{number}")], STREAM)
            upstream.request_with_id(f"left-{number}")
    wait_for(lambda: open_sockets(worker) <= before + 1)


def test_a_broken_request_is_refused_and_ends_its_connection(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.send(b"GET /vllm/ health HTTP/1.1\r\n\r\n")
        response = client.read_response()
        assert (response.status, response.json()["error"]["code"]) == (400, "400")
        assert client.wait_for_end() == "fin"


@pytest.mark.parametrize(
    "request_line_and_headers",
    [
        b"GET /vllm/health HTTP/1.1\r\nAuthorization Bearer sk-in-a-wrong-place",
        b"GET /vllm/health?key=sk-in-a-wrong-place HTTP/7",
        b"sk-in-a-wrong-place of a body longer than its length",
        b"GET /vllm/health HTTP/1.1\r\nsk-in-a-wrong-place\x00: 1",
    ],
)
def test_what_is_no_http_is_neither_printed_nor_echoed(gateway: Gateway, request_line_and_headers: bytes) -> None:
    with gateway.connect() as client:
        client.send(request_line_and_headers + b"\r\n\r\n")
        response = client.read_response()
    assert response.status == 400
    assert b"wrong-place" not in response.body
    assert "wrong-place" not in gateway.output


def test_a_head_has_a_greatest_size(gateway: Gateway) -> None:
    headers = [(f"x-{number}", "a" * 30_000) for number in range(5)]
    response = gateway.call("GET", "/vllm/health", headers)
    assert (response.status, response.json()["error"]["type"]) == (431, "invalid_request_error")


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND"])
def test_a_method_that_is_none_of_ours_is_a_405(gateway: Gateway, method: str) -> None:
    response = gateway.call(method, "/vllm/v1/things")
    assert (response.status, response.json()["error"]["code"]) == (405, "405")
