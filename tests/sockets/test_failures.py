"""What the client is told when the upstream refuses, resets, is silent or breaks off; and what is sent again."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.sockets.conftest import CONNECT_SECONDS, FIRST_BYTE_SECONDS, IDLE_SECONDS
from tests.support import answers, vllm
from tests.support.exchange import Behaviour, Exchange
from tests.support.gateway import Gateway
from tests.support.http_client import Response
from tests.support.patience import TRIES
from tests.support.upstream import Upstream

CHAT = "/vllm/v1/chat/completions"
EVENTS = vllm.chat_events(["one", "two"])[:2]


def _posts(upstream: Upstream) -> list[bytes]:
    return [request.body for request in upstream.calls if request.method == "POST"]


def _chat(gateway: Gateway, **fields: Any) -> Response:
    return gateway.post(CHAT, {"model": "tiny-chat", **fields})


def _error(response: Response) -> tuple[int, str]:
    error = response.json()["error"]
    assert error["code"] == str(response.status)
    assert "127.0.0.1" not in response.body.decode()
    return response.status, error["type"]


# --- Before the first byte ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 404, 422, 429, 500, 503])
def test_the_upstream_s_errors_pass_verbatim(gateway: Gateway, upstream: Upstream, status: int) -> None:
    body = b'{"error": {"message": "its own words",  "code": 4}}'
    upstream.on(
        "POST /v1/chat/completions", answers.body(body, status=status, headers=[("content-type", "application/json")])
    )
    response = _chat(gateway)
    assert (response.status, response.body) == (status, body)
    assert len(_posts(upstream)) == 1


def test_an_error_of_the_upstream_is_a_completed_call_with_its_words(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", vllm.error(400, "That is wrong."))
    row = gateway.row(_chat(gateway))
    assert (row["status"], row["outcome"], row["upstream_name"]) == (400, "completed", "environment")


def test_an_upstream_that_refuses_is_a_502(gateway: Gateway, upstream: Upstream) -> None:
    response = _chat(gateway, model="refused")
    assert _error(response) == (502, "upstream_unreachable")
    assert gateway.row(response)["outcome"] == "upstream_failed"


def test_an_upstream_whose_name_is_unknown_is_a_502(gateway: Gateway, upstream: Upstream) -> None:
    response = _chat(gateway, model="nameless")
    assert _error(response) == (502, "upstream_unreachable")
    assert "no-such-host" not in response.body.decode()


def test_an_upstream_whose_certificate_nobody_trusts_is_a_502(gateway: Gateway, upstream: Upstream) -> None:
    """And no RecursionError, which is what TLS ends in where gevent comes too late."""
    response = _chat(gateway, model="untrusted")
    assert _error(response) == (502, "upstream_unreachable")
    assert "secure connection" in response.json()["error"]["message"]


@pytest.mark.parametrize("moment", ["request_head", "request_end"])
def test_an_upstream_that_resets_is_a_502(gateway: Gateway, upstream: Upstream, moment: Any) -> None:
    upstream.on("POST /v1/chat/completions", answers.reset(moment))
    assert _error(_chat(gateway)) == (502, "upstream_unreachable")


def test_an_upstream_that_closes_without_an_answer_is_a_502(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", lambda exchange: exchange.fin())
    assert _error(_chat(gateway)) == (502, "upstream_unreachable")


def test_an_upstream_that_does_not_speak_http_is_a_502(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", answers.raw(b"SSH-2.0-OpenSSH_9.2\r\n"))
    assert _error(_chat(gateway)) == (502, "upstream_error")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 600 Six\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n",
        b"HTTP/1.1 200 OK\r\nx(y): 1\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n",
    ],
)
def test_an_answer_that_is_no_valid_http_is_a_502(gateway: Gateway, upstream: Upstream, head: bytes) -> None:
    upstream.on("POST /v1/chat/completions", answers.raw(head + b"\r\n"))
    response = _chat(gateway)
    assert _error(response) == (502, "upstream_error")
    assert gateway.row(response)["outcome"] == "upstream_failed"


@pytest.mark.parametrize("length", [b"1", b"50"])
def test_a_length_beside_chunks_misleads_no_client(gateway: Gateway, upstream: Upstream, length: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\nContent-Length: " + length
    upstream.on("GET /v1/models", answers.raw(head + b"\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
    with gateway.connect() as client:
        client.request("GET", "/vllm/v1/models", gateway.headers())
        first = client.read_response()
        client.request("GET", "/healthz")
        assert (first.body, first.end, client.read_response().status) == (b"ok", "clean", 200)


def test_a_silent_upstream_is_a_504_after_the_first_byte_s_time(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", answers.silence())
    began = time.monotonic()
    response = _chat(gateway)
    assert _error(response) == (504, "upstream_timeout")
    assert time.monotonic() - began >= FIRST_BYTE_SECONDS
    upstream.wait_for(lambda: upstream.request_with_id(response.header("x-request-id") or "").closed_at)
    assert gateway.row(response)["outcome"] == "upstream_failed"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_answer_may_take_longer_than_a_connection(gateway: Gateway, upstream: Upstream, method: str) -> None:
    upstream.on("* /v1/anything", answers.delayed(CONNECT_SECONDS + 0.3, answers.json(200, {})))
    assert gateway.call(method, "/vllm/v1/anything").status == 200


def test_an_early_refusal_of_the_upstream_is_relayed(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", answers.early_response_before_body_end(413, {"too": "large"}))
    response = _chat(gateway)
    assert (response.status, response.json()) == (413, {"too": "large"})


@pytest.mark.parametrize("then", [answers.json(200, {"a": 1}), answers.stream(EVENTS)])
def test_interim_answers_are_skipped(gateway: Gateway, upstream: Upstream, then: Behaviour) -> None:
    upstream.on("POST /v1/chat/completions", answers.interim_100_and_103(then))
    response = _chat(gateway)
    assert (response.status, response.end) == (200, "clean")
    assert "link" not in response.head.names()


# --- What is sent again -------------------------------------------------------------------------------------


def test_a_kept_alive_connection_is_used_again(gateway: Gateway, upstream: Upstream) -> None:
    ids = [_chat(gateway).header("x-request-id") or "" for _ in range(3)]
    assert len({upstream.request_with_id(one).connection.number for one in ids}) == 1


@pytest.mark.parametrize("size", [10, 1_200_000])
def test_a_stale_connection_is_replaced_and_the_body_sent_again_in_full(
    gateway: Gateway, upstream: Upstream, size: int
) -> None:
    """vLLM closes idle connections after 5 s; that this happens in the moment of their use costs no call."""
    body = b'{"model":"tiny-chat","x":"%s"}' % (b"x" * size)
    fine = answers.json(200, {"n": 2})

    def is_sent_again() -> bool:
        upstream.on("POST /v1/chat/completions", answers.json(200, {"n": 1}), answers.reset("request_head"), fine)
        assert gateway.call("POST", CHAT, body=b"{}").json() == {"n": 1}
        response = gateway.call("POST", CHAT, body=body)
        return response.status == 200 and response.json() == {"n": 2} and _posts(upstream)[-1] == body

    assert any(is_sent_again() for _ in range(TRIES))  # what takes a second may have been work


def test_a_call_is_sent_again_once_only(gateway: Gateway, upstream: Upstream) -> None:
    def times_sent() -> int:
        upstream.forget()
        upstream.on("POST /v1/chat/completions", answers.json(200, {}), answers.reset())
        assert _chat(gateway).status == 200
        assert _error(_chat(gateway)) == (502, "upstream_unreachable")
        return len(_posts(upstream)) - 1

    assert max(times_sent() for _ in range(TRIES)) == 2  # what takes a second may have been work


def test_a_reset_on_a_new_connection_is_not_sent_again(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", lambda exchange: exchange.fin())
    _chat(gateway)  # leaves no idle connection
    upstream.forget()
    upstream.on("POST /v1/chat/completions", answers.reset())
    assert _chat(gateway).status == 502
    assert len(_posts(upstream)) == 1


def test_a_reset_after_a_second_of_work_is_not_sent_again(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", answers.json(200, {}), answers.delayed(1.1, answers.reset()))
    assert _chat(gateway).status == 200
    assert _error(_chat(gateway)) == (502, "upstream_unreachable")
    assert len(_posts(upstream)) == 2


# --- In the middle of an answer -----------------------------------------------------------------------------


def _partial(framing: str) -> Behaviour:
    def behave(exchange: Exchange) -> None:
        length = [("content-length", "100")] if framing == "length" else [("transfer-encoding", "chunked")]
        exchange.send(exchange.head(200, [("content-type", "application/json"), *length]))
        exchange.send(b"3\r\nabc\r\n" if framing == "chunked" else b"abc")
        exchange.pause(0.05)
        exchange.fin()

    return behave


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_a_body_that_breaks_off_is_seen_as_broken(gateway: Gateway, upstream: Upstream, framing: str) -> None:
    upstream.on("POST /v1/chat/completions", _partial(framing))
    response = _chat(gateway)
    assert (response.body, response.end) == (b"abc", "cut")
    assert gateway.row(response)["outcome"] == "upstream_failed"


def test_a_reset_of_a_body_that_ends_with_its_connection_is_seen_as_broken(
    gateway: Gateway, upstream: Upstream
) -> None:
    def behave(exchange: Exchange) -> None:
        exchange.send(exchange.head(200, [("content-type", "text/plain"), ("connection", "close")]) + b"abc")
        exchange.pause(0.1)
        exchange.reset()

    upstream.on("POST /v1/chat/completions", behave)
    response = _chat(gateway)
    assert (response.body, response.end) == (b"abc", "cut")


def test_a_client_of_http_1_0_sees_a_broken_body_by_a_reset(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", _partial("chunked"))
    with gateway.connect() as client:
        client.send(
            b"POST %b HTTP/1.0\r\nauthorization: Bearer %b\r\ncontent-length: 2\r\n\r\n{}"
            % (CHAT.encode(), gateway.master_key.encode())
        )
        assert client.read_response().end == "reset"


@pytest.mark.parametrize(
    "broken",
    [
        answers.die_mid_stream(EVENTS),
        answers.reset("stream", EVENTS),
        answers.half_chunk_then_fin(EVENTS, b"data: {"),
    ],
)
def test_a_stream_that_breaks_off_says_so_in_an_event(gateway: Gateway, upstream: Upstream, broken: Behaviour) -> None:
    upstream.on("POST /v1/chat/completions", broken)
    response = _chat(gateway, stream=True, stream_options={"include_usage": True})
    assert response.end == "cut"
    assert response.body.startswith(b"".join(EVENTS))
    error = json.loads(response.events()[-1])["error"]
    assert (error["type"], error["code"]) == ("upstream_error", "502")
    assert response.body.endswith(b"\n\n")


def test_an_event_that_was_cut_in_its_middle_is_ended_first(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/completions", answers.half_chunk_then_fin([b"data: 1\n\n"], b"data: {"))
    response = gateway.post(
        "/vllm/v1/completions", {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
    )
    blocks = response.body.split(b"\n\n")
    assert blocks[:2] == [b"data: 1", b"data: {"]
    assert blocks[2].startswith(b'data: {"error"')


@pytest.mark.parametrize("path", ["messages", "responses"])
def test_the_error_event_has_the_shape_of_its_route(gateway: Gateway, upstream: Upstream, path: str) -> None:
    begun = b'event: response.created\ndata: {"type":"response.created","response":{"id":"resp_begun"}}\n\n'
    upstream.on(f"POST /v1/{path}", answers.die_mid_stream([begun]))
    response = gateway.post(f"/vllm/v1/{path}", {"model": "tiny-chat", "stream": True})
    last = response.body.split(b"\n\n")[-2]
    assert last.startswith(b"event: error\ndata: ")
    told = json.loads(last.partition(b"data: ")[2])
    assert told["type"] == "error"
    assert (told["error"]["type"] if path == "messages" else told["code"]) == "upstream_error"


def test_a_stream_that_falls_silent_is_ended_with_an_event(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", answers.head_then_silence(events=EVENTS))
    began = time.monotonic()
    response = _chat(gateway, stream=True)
    assert time.monotonic() - began >= IDLE_SECONDS
    assert response.end == "cut"
    assert json.loads(response.events()[-1])["error"]["type"] == "upstream_timeout"
    row = gateway.row(response)
    assert (row["outcome"], row["status"], row["error_type"]) == ("upstream_failed", 200, "upstream_timeout")


def test_a_stream_whose_first_event_never_comes_is_ended_with_an_event(gateway: Gateway, upstream: Upstream) -> None:
    """vLLM sends the head at once, so a head says nothing about the model."""
    upstream.on("POST /v1/chat/completions", answers.head_then_silence())
    began = time.monotonic()
    response = _chat(gateway, stream=True)
    assert time.monotonic() - began >= FIRST_BYTE_SECONDS
    assert json.loads(response.events()[-1])["error"]["type"] == "upstream_timeout"


def test_a_body_longer_than_its_length_ends_at_its_length(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", answers.wrong_content_length(b"abcdef", 3))
    response = _chat(gateway)
    assert (response.body, response.end) == (b"abc", "clean")
    assert _chat(gateway).status == 200
