"""Streams: immediate in every framing, unchanged, bounded in memory, accounted."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from tests.support import answers, vllm
from tests.support.answers import Framing
from tests.support.exchange import Behaviour, Exchange
from tests.support.gateway import Gateway, resident_bytes
from tests.support.http_client import End, HttpClient, call
from tests.support.patience import PATIENCE, TRIES, kept_within, wait_for
from tests.support.upstream import Upstream
from tests.support.wire import Headers

CHAT = "/vllm/v1/chat/completions"
PIECES = [b"data: %d\n\n" % number for number in range(5)]


def _in_step(
    received: threading.Semaphore,
    framing: Framing,
    content_type: str,
    pieces: Sequence[bytes] = PIECES,
    headers: Headers = (),
) -> Behaviour:
    """Sends the head, and then each piece only when the client has received what was sent before."""
    length = sum(map(len, pieces))
    header = {
        "chunked": ("transfer-encoding", "chunked"),
        "close": ("connection", "close"),
        "length": ("content-length", str(length)),
    }[framing]

    def behave(exchange: Exchange) -> None:
        exchange.send(exchange.head(200, [("content-type", content_type), header, *headers]))
        for number, piece in enumerate(pieces):
            # A server holds the head of a plain answer for the first bytes of its body.
            if (number or content_type == answers.SSE) and not received.acquire(timeout=PATIENCE / 2):
                return
            answers.send_events(exchange, [piece], 0, framing=framing)
        answers.end_body(exchange, framing)

    return behave


@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
@pytest.mark.parametrize("content_type", [answers.SSE, "application/octet-stream"])
def test_each_piece_arrives_before_the_next_is_sent(
    gateway: Gateway, upstream: Upstream, framing: Framing, content_type: str
) -> None:
    """In every framing: `iter_content` would hold back all that is not chunked until its end."""
    received = threading.Semaphore(0)
    upstream.on("POST /v1/anything", _in_step(received, framing, content_type))
    assert _taken(gateway, "/vllm/v1/anything", {}, received) == (PIECES, "clean")


def _taken(gateway: Gateway, target: str, body: Any, received: threading.Semaphore) -> tuple[list[bytes], End]:
    """The pieces of an answer, each of which is told as received; and how it ended."""
    with gateway.connect() as client:
        client.request("POST", target, [*gateway.headers(), ("content-type", "application/json")], _json(body))
        head = client.read_head()
        if head.header("content-type") == answers.SSE:
            received.release()
        pieces = []
        for chunk in client.read_chunks(head):
            pieces.append(chunk.data)
            received.release()
        return pieces, client.end


def test_a_compressed_stream_arrives_piece_by_piece_too(gateway: Gateway, upstream: Upstream) -> None:
    received, pieces = threading.Semaphore(0), [b"\x1f\x8b1", b"2", b"3"]
    given = _in_step(received, "chunked", answers.SSE, pieces, [("content-encoding", "gzip")])
    upstream.on("POST /v1/chat/completions", given)
    assert _taken(gateway, CHAT, {"model": "m", "stream": True}, received) == (pieces, "clean")


def test_accept_event_stream_is_no_reason_to_refuse(gateway: Gateway, upstream: Upstream) -> None:
    """REST framework answers 406 to this header unless it is told not to negotiate."""
    response = gateway.post(CHAT, {"model": "tiny-chat", "stream": True}, [("accept", "text/event-stream")])
    assert (response.status, response.end) == (200, "clean")


def test_trailers_end_with_the_upstream(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/anything", answers.trailer(PIECES, [("x-late", "1")]))
    response = gateway.post("/vllm/v1/anything", {})
    assert (response.body, response.end, response.trailers) == (b"".join(PIECES), "clean", [])


# --- Usage that nobody asked for ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["chat/completions", "completions"])
@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": False}}, {"stream_options": None}])
def test_usage_is_accounted_and_hidden_from_a_client_that_did_not_ask(
    gateway: Gateway, upstream: Upstream, path: str, options: dict[str, Any]
) -> None:
    asked = {"model": "tiny-chat", "stream": True, **options}
    given = [("content-type", "application/json"), ("x-request-id", f"hidden-{path[:4]}-{len(str(options))}")]
    direct = call(upstream.port, "POST", f"/v1/{path}", given, _json({**asked, "stream_options": {}}))
    relayed = gateway.call("POST", f"/vllm/v1/{path}", given, _json(asked))
    assert (relayed.body, relayed.end) == (direct.body, "clean")
    row = gateway.row(relayed)
    assert (row["prompt_tokens"], row["completion_tokens"], row["usage_source"]) == (13, 12, "reported")


def test_a_client_that_asked_for_usage_gets_it(gateway: Gateway, upstream: Upstream) -> None:
    body = _json({"model": "tiny-chat", "stream": True, "stream_options": {"include_usage": True}})
    given = [("content-type", "application/json"), ("x-request-id", "asked-itself")]
    direct = call(upstream.port, "POST", "/v1/chat/completions", given, body)
    relayed = gateway.call("POST", CHAT, given, body)
    assert relayed.body == direct.body
    assert [request.body for request in upstream.calls if request.method == "POST"] == [body, body]
    assert gateway.row(relayed)["completion_tokens"] == 12


def test_a_call_that_does_not_stream_is_sent_as_it_is(gateway: Gateway, upstream: Upstream) -> None:
    body = b'{ "model":"tiny-chat", "stream" : false }'
    response = gateway.call("POST", CHAT, body=body)
    assert upstream.request_with_id(response.header("x-request-id") or "").body == body
    row = gateway.row(response)
    assert (row["completion_tokens"], row["usage_source"], bool(row["streaming"])) == (12, "reported", False)


def test_events_that_reads_cut_are_the_same_bytes(gateway: Gateway, upstream: Upstream) -> None:
    def behave(exchange: Exchange) -> None:
        events = b"".join(vllm.chat_events(include_usage=True))
        pieces = [events[at : at + 997] for at in range(0, len(events), 997)]
        answers.stream(pieces, 0.02)(exchange)

    upstream.on("POST /v1/chat/completions", behave)
    response = gateway.post(CHAT, {"model": "tiny-chat", "stream": True})
    assert response.body == b"".join(vllm.chat_events())


def test_a_stream_s_row_tells_its_times(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/chat/completions", vllm.chat(gap=0.03, before=0.2))

    def is_told() -> bool:
        row = gateway.row(gateway.post(CHAT, {"model": "tiny-chat", "stream": True}))
        assert row["streaming"]
        assert row["ttft_ms"] >= 200
        return bool(row["ttft_ms"] < 500 and 15 < row["inter_token_ms"] < 60)

    assert any(is_told() for _ in range(TRIES))


def _json(obj: Any) -> bytes:
    return json.dumps(obj).encode()


# --- The model's alias --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        (b'{"model":"nice-name","x":1.0}', b'{"model":"tiny-chat","x":1.0}'),
        (b'{ "messages" : [{"model":"nice-name"}], "model" : "nice-name" }', None),
        (b'{"model":"nice\\u002dname"}', b'{"model":"tiny-chat"}'),
    ],
)
def test_an_alias_is_replaced_and_nothing_else(
    gateway: Gateway, upstream: Upstream, sent: bytes, received: bytes | None
) -> None:
    wanted = received or b'{ "messages" : [{"model":"nice-name"}], "model" : "tiny-chat" }'
    response = gateway.call("POST", CHAT, body=sent)
    assert upstream.request_with_id(response.header("x-request-id") or "").body == wanted
    row = gateway.row(response)
    assert (row["model"], row["served_model"]) == ("nice-name", "tiny-chat")


def test_an_alias_in_a_stream_is_replaced_beside_the_wish_for_usage(gateway: Gateway, upstream: Upstream) -> None:
    response = gateway.post(CHAT, {"model": "nice-name", "stream": True})
    sent = upstream.request_with_id(response.header("x-request-id") or "").json()
    assert sent == {"model": "tiny-chat", "stream": True, "stream_options": {"include_usage": True}}


def test_a_second_model_in_the_body_is_refused(gateway: Gateway, upstream: Upstream) -> None:
    response = gateway.call("POST", CHAT, body=b'{"model":"tiny-chat","model":"other"}')
    assert (response.status, response.json()["error"]["param"]) == (400, "model")
    assert not [request for request in upstream.calls if request.method == "POST"]


def test_an_unknown_model_is_the_default_upstream_s_business(gateway: Gateway, upstream: Upstream) -> None:
    body = b'{"model":"nobody-knows"}'
    response = gateway.call("POST", CHAT, body=body)
    assert upstream.request_with_id(response.header("x-request-id") or "").body == body
    assert gateway.row(response)["served_model"] == "nobody-knows"


# --- Slow readers -------------------------------------------------------------------------------------------

STREAMS = 8
BOUND = 1_000_000


def _slow_reader(gateway: Gateway, name: str) -> HttpClient:
    client = gateway.connect(receive_buffer=4096)
    client.request("POST", "/vllm/v1/anything", [*gateway.headers(), ("x-request-id", name)], b"{}")
    assert client.read_head().status == 200
    return client


def test_a_slow_client_slows_the_upstream_down(gateway: Gateway, upstream: Upstream) -> None:
    """What the upstream can send is what buffers hold, and the relay holds under a megabyte for each stream."""
    upstream.on("POST /v1/anything", answers.endless(b"data: " + b"x" * 8000 + b"\n\n"))
    worker = gateway.pids().relay
    before = resident_bytes(worker)
    clients = [_slow_reader(gateway, f"slow-{number}") for number in range(STREAMS)]
    try:
        requests = [upstream.request_with_id(f"slow-{number}") for number in range(STREAMS)]
        wait_for(lambda: _stands_still(requests))
        assert (
            max(request.bytes_sent for request in requests) < 16_000_000
        )  # the kernel's buffers on both hops, at their largest
        assert resident_bytes(worker) - before < STREAMS * BOUND
        sent = requests[0].bytes_sent
        wait_for(lambda: clients[0].read_some() and requests[0].bytes_sent > sent, every=0)
    finally:
        for client in clients:
            client.close()
    wait_for(lambda: all(request.closed_at for request in requests))


def _stands_still(requests: list[Any]) -> bool:
    before = [request.bytes_sent for request in requests]
    time.sleep(0.3)
    return before == [request.bytes_sent for request in requests]


def test_a_client_that_stops_reading_is_given_up(gateway: Gateway, upstream: Upstream) -> None:
    """Or else it would hold its upstream connection for as long as it likes."""
    upstream.on("POST /v1/anything", answers.endless(b"data: " + b"x" * 8000 + b"\n\n"))
    with _slow_reader(gateway, "stuck") as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
        upstream.wait_for(lambda: upstream.request_with_id("stuck").closed_at)
    assert gateway.row("stuck")["outcome"] == "client_disconnected"


def test_a_large_answer_passes_whole(gateway: Gateway, upstream: Upstream) -> None:
    data = bytes(range(256)) * 40_000
    upstream.on("POST /v1/anything", answers.body(data, headers=[("content-type", "application/octet-stream")]))
    response = gateway.post("/vllm/v1/anything", {})
    assert response.body == data
    assert gateway.row(response)["bytes_out"] == len(data)


def test_a_locked_sqlite_file_delays_no_stream(gateway: Gateway, upstream: Upstream) -> None:
    """SQLite waits for its locks in C, which would stop gevent's loop: queries run in a native thread."""
    if gateway.database_url:
        pytest.skip("is about SQLite")
    upstream.on("POST /v1/chat/completions", vllm.chat(gap=0.05, words=[" w"] * 40))

    def longest_gap() -> float:
        lock = sqlite3.connect(gateway.database, isolation_level=None, timeout=PATIENCE)
        try:
            lock.execute("BEGIN EXCLUSIVE")
            response = gateway.post("/vllm/v1/chat/completions", {"model": "tiny-chat", "stream": True})
        finally:
            lock.close()
        assert response.end == "clean"
        return max(later - earlier for earlier, later in pairwise(response.times))

    kept_within(1, longest_gap)
