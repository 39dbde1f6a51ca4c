"""Two upstreams with one model, real sockets: who gets a call, and what the client notices when one fails."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support import answers, vllm
from tests.support.gateway import Gateway
from tests.support.http_client import Response
from tests.support.patience import TRIES, kept_within, wait_for
from tests.support.upstream import Upstream

CHAT = "/v1/chat/completions"
IDLE_SECONDS = 3.0
DEAD = {"error": {"message": "EngineCore encountered an issue.", "type": "InternalServerError", "code": 500}}

_SETUP = """
from upstreams.models import Deployment, Routing, Upstream
Routing(cooldown_seconds=0.2).save()
for number, url in enumerate({urls!r}):
    upstream = Upstream(name=f"gpu {{number}}", url=url)
    upstream.save()
    for alias in ("shared", "only-%d" % number):
        Deployment.objects.create(upstream=upstream, alias=alias, served_name="tiny-chat")
Upstream.objects.filter(name="gpu 1").update(max_parallel=1)
full = Upstream(name="full", url={urls!r}[0], max_parallel=1)
full.save()
Deployment.objects.create(upstream=full, alias="full", served_name="tiny-chat")
Upstream.objects.filter(name="gpu 1").update(max_parallel=None)
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Upstream, Upstream]]:
    with Upstream() as one, Upstream() as other:
        for server in (one, other):
            vllm.serve(server)
        yield one, other


@pytest.fixture(scope="module")
def gateway(servers: tuple[Upstream, Upstream]) -> Iterator[Gateway]:
    with Gateway(
        GATEWAY_IDLE_TIMEOUT=str(IDLE_SECONDS), GATEWAY_CONNECT_TIMEOUT="2", GATEWAY_QUEUE_SECONDS="4"
    ) as gateway:
        gateway.shell(_SETUP.format(urls=[server.url for server in servers]))
        wait_for(lambda: gateway.call("GET", "/v1/models").json()["data"])
        yield gateway


@pytest.fixture
def pair(gateway: Gateway, servers: tuple[Upstream, Upstream]) -> tuple[Upstream, Upstream]:
    """Both in good health, whatever the test before did to them."""
    for server in servers:
        with server.anew():
            vllm.serve(server)
    for number in (0, 1):
        wait_for(lambda number=number: _chat(gateway, f"only-{number}").status == 200)
    wait_for(lambda: _chat(gateway) and all(_served_by(servers)[number] > 1 for number in (0, 1)))
    for server in servers:
        with server.anew():
            vllm.serve(server)
    return servers


def _chat(gateway: Gateway, model: str = "shared", target: str = CHAT, **fields: Any) -> Response:
    return gateway.post(target, {"model": model, "messages": [], **fields})


def _served_by(pair: tuple[Upstream, Upstream]) -> list[int]:
    return [sum(request.method == "POST" for request in server.calls) for server in pair]


def _error(response: Response) -> tuple[int, str]:
    assert "127.0.0.1" not in response.body.decode()
    return response.status, response.json()["error"]["type"]


def test_calls_are_shared_between_the_servers_of_a_model(gateway: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    def names() -> Counter[str]:
        return Counter(gateway.row(_chat(gateway))["upstream_name"] for _ in range(6))

    # One may be looked at in between, and be late.
    assert any(names() == {"gpu 0": 3, "gpu 1": 3} for _ in range(TRIES))
    sent = [json.loads(request.body)["model"] for server in pair for request in server.calls if request.body]
    assert set(sent) == {"tiny-chat"}


@pytest.mark.parametrize("target", ["/v1/chat/completions", "/vllm/v1/chat/completions", "/chat/completions"])
@pytest.mark.parametrize("behaviour", [answers.reset(), answers.json(503, {}), answers.json(502, {})])
def test_a_server_that_fails_before_its_first_byte_is_not_noticed(
    gateway: Gateway, pair: tuple[Upstream, Upstream], target: str, behaviour: Any
) -> None:
    pair[0].on("POST /v1/chat/completions", behaviour)
    responses = [_chat(gateway, target=target) for _ in range(4)]
    assert [response.status for response in responses] == [200] * 4
    attempts = [gateway.row(response)["attempts"] for response in responses]
    assert 2 in attempts
    assert set(attempts) <= {1, 2}


def test_a_server_that_fails_in_a_row_is_passed_over(gateway: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    pair[0].on("POST /v1/chat/completions", answers.body(vllm_stream(DEAD), headers=SSE))

    def times_tried() -> int:
        before = _served_by(pair)[0]
        for _ in range(8):
            assert _chat(gateway, stream=True).status == 200
        return _served_by(pair)[0] - before

    assert any(times_tried() < 4 for _ in range(TRIES))  # it is tried again after a fifth of a second


SSE = [("content-type", "text/event-stream; charset=utf-8")]


def vllm_stream(*events: Any) -> bytes:
    return b"".join(answers.event(event) for event in events) + b"data: [DONE]\n\n"


def test_a_stream_that_begins_with_an_error_becomes_plain_json(
    gateway: Gateway, pair: tuple[Upstream, Upstream]
) -> None:
    for server in pair:
        server.on("POST /v1/chat/completions", answers.body(vllm_stream(DEAD), headers=SSE))
    response = _chat(gateway, stream=True)
    assert (response.status, response.header("content-type")) == (500, "application/json")
    assert response.json()["error"]["message"] == DEAD["error"]["message"]
    row = gateway.row(response)
    assert (row["outcome"], row["attempts"]) == ("upstream_failed", 2)


def test_on_vllm_one_candidate_waits_for_nothing(gateway: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    pair[0].on("POST /v1/chat/completions", answers.body(vllm_stream(DEAD), headers=SSE))
    response = _chat(gateway, "only-0", "/vllm/v1/chat/completions", stream=True)
    assert (response.status, response.body) == (200, vllm_stream(DEAD))


def test_a_mistake_of_the_caller_cools_nobody_down(gateway: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    for server in pair:
        server.on("POST /v1/chat/completions", vllm.error(400, "Too long."))
    assert [_chat(gateway).status for _ in range(6)] == [400] * 6
    assert _served_by(pair) == [3, 3]


def test_a_server_that_falls_silent_ends_the_stream_with_a_reason(
    gateway: Gateway, pair: tuple[Upstream, Upstream]
) -> None:
    events = vllm.chat_events(["one", "two"])[:2]
    pair[0].on("POST /v1/chat/completions", answers.head_then_silence(events=events))
    response = _chat(gateway, "only-0", stream=True)
    assert b"upstream_timeout" in response.body
    assert gateway.row(response)["outcome"] == "upstream_failed"


# --- Which upstream, and which model ------------------------------------------------------------------------


def test_an_upstream_can_be_named(gateway: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    by_header = gateway.call("GET", "/vllm/version", headers=[("x-gateway-upstream", "gpu 1")])
    by_address = gateway.call("GET", "/upstreams/gpu%201/version")
    assert (by_header.status, by_address.status) == (200, 200)
    assert [gateway.row(one)["upstream_name"] for one in (by_header, by_address)] == ["gpu 1", "gpu 1"]
    assert all(request.header("x-gateway-upstream") is None for request in pair[1].calls)
    assert pair[0].calls == []


def test_naming_an_upstream_needs_a_grant(gateway: Gateway) -> None:
    key = gateway.make_key()
    refused = gateway.call("GET", "/upstreams/gpu%201/version", key=key)
    assert _error(refused) == (403, "key_upstream_access_denied")
    assert _error(gateway.call("GET", "/upstreams/none/version")) == (404, "upstream_not_found")


def test_the_alias_has_its_served_name_on_a_named_upstream(gateway: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    _chat(gateway, "shared", "/upstreams/gpu%200/v1/chat/completions")
    assert json.loads(pair[0].calls[-1].body)["model"] == "tiny-chat"


def test_prefixes_of_litellm_are_understood(gateway: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    for name in ("vllm/only-1", "hosted_vllm/only-1"):
        assert _chat(gateway, name).status == 200
    assert [json.loads(request.body)["model"] for request in pair[1].calls] == ["tiny-chat"] * 2


def test_a_model_in_the_query_is_routed_and_replaced(gateway: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    pair[1].on("*", answers.json(200, {}))
    gateway.call("GET", "/vllm/tokenizer_info?a=%2F&model=only-1&b")
    assert pair[1].calls[-1].target == "/tokenizer_info?a=%2F&model=tiny-chat&b"
    both = gateway.post("/vllm/v1/chat/completions?model=only-0", {"model": "only-1"})
    assert _error(both) == (400, "invalid_request_error")


def test_an_unknown_model_is_a_404_on_v1_that_lists_what_there_is(gateway: Gateway) -> None:
    key = gateway.make_key(models=["only-*", "absent"])
    response = gateway.post(CHAT, {"model": "absent"}, key=key)
    assert _error(response) == (404, "NotFoundError")
    message = response.json()["error"]["message"]
    assert "only-0, only-1" in message
    assert "shared" not in message


def test_an_unknown_model_goes_to_the_default_on_vllm(gateway: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    _chat(gateway, "absent", "/vllm/v1/chat/completions")
    assert json.loads(pair[0].calls[-1].body)["model"] == "absent"


# --- Times and ceilings -------------------------------------------------------------------------------------


@contextmanager
def _full(gateway: Gateway, server: Upstream) -> Iterator[None]:
    """A call takes the one place that the model "full" has, and is answered at the end."""
    let_go, number = threading.Event(), len(server.calls) + 1
    server.on("POST /v1/chat/completions", answers.held(let_go, answers.json(200, {"choices": []})))
    first = threading.Thread(target=lambda: _chat(gateway, "full"))
    first.start()
    try:
        server.wait_for_request(number)
        yield
    finally:
        let_go.set()
        first.join()


def test_a_caller_can_make_the_times_shorter(gateway: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    pair[0].on("POST /v1/chat/completions", answers.silence())
    headers = [("x-litellm-timeout", "0.5"), ("content-type", "application/json")]

    def once() -> float:
        began = time.monotonic()
        response = gateway.call("POST", CHAT, body=b'{"model": "only-0"}', headers=headers)
        assert _error(response) == (504, "call_timeout")
        return time.monotonic() - began

    kept_within(2, once)
    wrong = gateway.call("GET", "/vllm/version", headers=[("x-litellm-timeout", "soon")])
    assert _error(wrong) == (400, "invalid_request_error")


def test_a_caller_s_time_runs_while_the_call_waits_for_a_place(
    gateway: Gateway, pair: tuple[Upstream, Upstream]
) -> None:
    headers = [("x-litellm-timeout", "0.3"), ("content-type", "application/json")]
    with _full(gateway, pair[0]):
        response = gateway.call("POST", CHAT, body=b'{"model": "full"}', headers=headers)
    assert _error(response) == (504, "call_timeout")
    assert len(pair[0].calls) == 1


def test_a_full_upstream_lets_calls_wait(gateway: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    def shortest_wait() -> int:
        before = len(pair[0].calls)
        responses: list[Response] = []
        threads = [threading.Thread(target=lambda: responses.append(_chat(gateway, "full"))) for _ in range(2)]
        with _full(gateway, pair[0]):
            for thread in threads:
                thread.start()
            wait_for(lambda: gateway.ready()["open_calls"] == 3)
            time.sleep(0.2)
            assert len(pair[0].calls) == before + 1
        for thread in threads:
            thread.join()
        assert [response.status for response in responses] == [200] * 2
        first = gateway.row(pair[0].calls[before].header("x-request-id") or "")
        assert (first["status"], first["queue_ms"]) == (200, None)
        return min(gateway.row(response)["queue_ms"] or 0 for response in responses)

    assert any(shortest_wait() > 100 for _ in range(TRIES))


def test_a_full_upstream_refuses_who_has_waited_too_long(gateway: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    with _full(gateway, pair[0]):
        response = _chat(gateway, "full")
    assert _error(response) == (503, "upstream_saturated")
    assert response.header("retry-after") == "1"
