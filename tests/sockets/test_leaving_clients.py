"""A client that leaves, in whatever phase, ends its call on the upstream within a second, and the row says so."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import answers, vllm
from tests.support.exchange import Behaviour, Request
from tests.support.gateway import Gateway, cpu_seconds
from tests.support.http_client import HttpClient
from tests.support.patience import kept_within, wait_for
from tests.support.upstream import Upstream

CHAT = "/vllm/v1/chat/completions"
STREAM = {"model": "tiny-chat", "stream": True}
Leave = Callable[[HttpClient], None]

LEAVE = {"close": HttpClient.close, "half-close": HttpClient.half_close, "reset": HttpClient.reset}
PHASES: dict[str, Behaviour] = {
    "before the head": answers.silence(),
    "before the first token": answers.head_then_silence(),
    "in the middle": answers.head_then_silence(events=vllm.chat_events()[:3]),
    "in a stream that goes on": answers.endless(vllm.chat_events()[1], gap=0.05),
    "in a plain body": answers.slow_body(b"x" * 1000, gap=0.05),
}


def _begin(gateway: Gateway, client: HttpClient, name: str, body: Any) -> None:
    client.request("POST", CHAT, [*gateway.headers(), ("x-request-id", name)], json.dumps(body).encode())


def _sees_it_end(upstream: Upstream, request: Request) -> None:
    upstream.wait_for(lambda: request.closed_at)
    assert request.cancelled


@pytest.mark.parametrize("leave", LEAVE)
@pytest.mark.parametrize("phase", PHASES)
def test_the_upstream_is_told_within_a_second(gateway: Gateway, upstream: Upstream, phase: str, leave: str) -> None:
    upstream.on("POST /v1/chat/completions", PHASES[phase])
    number = itertools.count()

    def once() -> float:
        name = f"{phase}-{leave}-{next(number)}".replace(" ", "-")
        with gateway.connect() as client:
            _begin(gateway, client, name, STREAM if "plain" not in phase else {"model": "tiny-chat"})
            request = upstream.request_with_id(name)
            if "in " in phase:
                client.read_head()
            left_at = time.monotonic()
            LEAVE[leave](client)
            _sees_it_end(upstream, request)
        row = gateway.row(name)
        assert (row["outcome"], row["error_type"]) == ("client_disconnected", None)
        return (request.closed_at or 0.0) - left_at

    kept_within(1, once)


def test_a_client_that_half_closes_in_a_stream_sees_no_clean_end(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", PHASES["in a stream that goes on"])
    with gateway.connect() as client:
        _begin(gateway, client, "half-closed", STREAM)
        head = client.read_head()
        client.half_close()
        list(client.read_chunks(head))
        assert client.end in {"cut", "reset"}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("leave", LEAVE)
def test_leaving_while_the_body_arrives_ends_the_call(
    gateway: Gateway, upstream: Upstream, leave: str, chunked: bool
) -> None:
    name = f"body-{leave}-{chunked}"
    framing = ("transfer-encoding", "chunked") if chunked else ("content-length", "100")
    with gateway.connect() as client:
        client.request("POST", CHAT, [*gateway.headers(), ("x-request-id", name), framing])
        client.send(b"2\r\n{}\r\n" if chunked else b"{}")
        wait_for(lambda: gateway.ready()["open_calls"] == 1)
        LEAVE[leave](client)
        row = gateway.row(name)
    assert (row["outcome"], row["upstream_id"]) == ("client_disconnected", None)
    assert not [request for request in upstream.calls if request.method == "POST"]


def test_what_was_streamed_before_is_estimated(gateway: Gateway, upstream: Upstream) -> None:
    """The upstream never got to say what was used."""
    upstream.on("POST /v1/chat/completions", answers.head_then_silence(events=vllm.chat_events()[:4]))
    with gateway.connect() as client:
        _begin(gateway, client, "estimated", STREAM)
        received = b""
        while received.count(b"data:") < 4:
            received += client.read_some()
    row = gateway.row("estimated")
    assert (row["usage_source"], row["outcome"]) == ("estimated", "client_disconnected")
    assert row["completion_tokens"] >= 3


def test_bytes_of_a_next_request_make_nobody_spin(gateway: Gateway, upstream: Upstream) -> None:
    """They wake a watcher of the socket for ever, if it lets them; and leaving is still noticed."""
    upstream.on("POST /v1/chat/completions", answers.silence())
    with gateway.connect() as client:
        _begin(gateway, client, "pipelined", STREAM)
        request = upstream.request_with_id("pipelined")
        client.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        worker = gateway.pids().relay
        before, began = cpu_seconds(worker), time.monotonic()
        time.sleep(0.6)
        assert cpu_seconds(worker) - before < (time.monotonic() - began) / 2
        client.close()
        _sees_it_end(upstream, request)
    assert gateway.row("pipelined")["outcome"] == "client_disconnected"


def test_a_client_that_leaves_after_its_answer_has_left_nothing(gateway: Gateway, upstream: Upstream) -> None:
    with gateway.connect() as client:
        _begin(gateway, client, "complete", STREAM)
        assert client.read_response().end == "clean"
    assert gateway.row("complete")["outcome"] == "completed"


def test_many_clients_that_leave_at_once_are_all_accounted(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", PHASES["in the middle"])
    clients = [gateway.connect() for _ in range(20)]
    for number, client in enumerate(clients):
        _begin(gateway, client, f"many-{number}", STREAM)
    requests = [upstream.request_with_id(f"many-{number}") for number in range(20)]
    for client in clients:
        client.close()
    wait_for(lambda: all(request.closed_at for request in requests))
    rows = gateway.rows("request_id LIKE ?", "many-%")
    assert [row["outcome"] for row in rows] == ["client_disconnected"] * 20
