"""Where a WebSocket session goes: to the next upstream while none has opened it, and never to a full one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from wsproto.events import CloseConnection

from tests.sockets.test_realtime import GREETING, connect, ended
from tests.support import answers, vllm
from tests.support.gateway import Gateway
from tests.support.patience import PATIENCE, wait_for
from tests.support.ports import unused_port
from tests.support.upstream import Upstream
from tests.support.websocket import WebSocketRefused, Wire, realtime, server

TOTAL_SECONDS = 8.0
_SETUP = """
from upstreams.models import Deployment, Routing, Upstream
Routing(cooldown_seconds=0.1).save()
def put(name, url, *aliases, weight=1, **more):
    upstream = Upstream(name=name, url=url, **more)
    upstream.save()
    for alias in aliases:
        Deployment.objects.create(upstream=upstream, alias=alias, served_name="tiny-" + alias, weight=weight)
put("away", "http://127.0.0.1:{closed}", "lost", "gone", weight=100)
put("first", "{first}", "speech", weight=100)
put("second", "{second}", "speech", "lost")
put("below", "{second}/some/base", "prefixed")
put("narrow", "{first}", "narrow", max_parallel=1)
"""


MODELS = {
    "object": "list",
    "data": [{"id": f"tiny-{name}"} for name in ("speech", "lost", "gone", "prefixed", "narrow")],
}


def prepare(server: Upstream) -> None:
    """A realtime server that has all the models, also below a path."""
    with server.anew():
        vllm.serve(server)
        for base in ("", "/some/base"):
            server.on(f"GET {base}/v1/models", answers.json(200, MODELS))
            server.on(f"GET {base}/v1/realtime", realtime())


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Upstream, Upstream]]:
    with Upstream() as first, Upstream() as second:
        prepare(first)
        prepare(second)
        yield first, second


@pytest.fixture(scope="module")
def gateway(servers: tuple[Upstream, Upstream]) -> Iterator[Gateway]:
    with Gateway(GATEWAY_QUEUE_SECONDS="2", GATEWAY_TOTAL_TIMEOUT=str(TOTAL_SECONDS)) as gateway:
        first, second = servers
        gateway.shell(_SETUP.format(closed=unused_port(), first=first.url, second=second.url))
        wait_for(lambda: "narrow" in str(gateway.call("GET", "/v1/models").json()))
        yield gateway


@pytest.fixture(autouse=True)
def pair(servers: tuple[Upstream, Upstream]) -> tuple[Upstream, Upstream]:
    for one in servers:
        prepare(one)
    return servers


def finished(gateway: Gateway, target: str) -> dict[str, Any]:
    """The row of a session that has been opened, greeted and closed."""
    with connect(gateway, target) as client:
        assert client.json() == GREETING
        client.close()
        assert client.json() == 1000
    return dict(ended(gateway, client))


def test_an_upstream_that_is_away_makes_way(gateway: Gateway) -> None:
    for _ in range(3):
        row = finished(gateway, "/v1/realtime?model=lost")
        assert (row["upstream_name"], row["outcome"], row["served_model"]) == ("second", "completed", "tiny-lost")


def test_nothing_but_an_upstream_that_is_away_is_a_502(gateway: Gateway) -> None:
    with pytest.raises(WebSocketRefused) as refused:
        connect(gateway, "/v1/realtime?model=gone")
    assert (refused.value.status, json.loads(refused.value.body)["error"]["type"]) == (502, "upstream_unreachable")


@pytest.mark.parametrize("status", [500, 503])
def test_an_upstream_that_fails_at_the_handshake_makes_way(
    gateway: Gateway, pair: tuple[Upstream, Upstream], status: int
) -> None:
    pair[0].on("GET /v1/realtime", answers.json(status, {}))
    for _ in range(3):
        assert finished(gateway, "/v1/realtime?model=speech")["upstream_name"] == "second"


def test_a_refusal_is_not_tried_elsewhere(gateway: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    for one in pair:
        one.on("GET /v1/realtime", answers.json(403, {}))
    with pytest.raises(WebSocketRefused) as refused:
        connect(gateway, "/v1/realtime?model=speech")
    assert refused.value.status == 403
    assert sum("realtime" in request.target for one in pair for request in one.calls) == 1


def test_an_upstream_below_a_path_is_asked_there(gateway: Gateway, pair: tuple[Upstream, Upstream]) -> None:
    finished(gateway, "/vllm/realtime?model=prefixed")
    asked = [request.target for request in pair[1].calls if "realtime" in request.target]
    assert asked == ["/some/base/v1/realtime?model=tiny-prefixed"]


def test_a_session_takes_a_place_at_its_upstream(gateway: Gateway) -> None:
    with connect(gateway, "/v1/realtime?model=narrow") as client:
        assert client.json() == GREETING
        with pytest.raises(WebSocketRefused) as refused:
            connect(gateway, "/v1/realtime?model=narrow")
        assert refused.value.status == 503
        client.close()
        assert client.json() == 1000
    finished(gateway, "/v1/realtime?model=narrow")


def test_a_client_that_answers_no_ping_does_not_spoil_its_upstream(
    gateway: Gateway, pair: tuple[Upstream, Upstream]
) -> None:
    def act(wire: Wire, exchange: Any) -> None:
        wire.send(CloseConnection(code=1011, reason="keepalive ping timeout"))
        wire.event()

    pair[1].on("GET /some/base/v1/realtime", server(act))
    for _ in range(5):
        with connect(gateway, "/v1/realtime?model=prefixed") as client:
            assert client.json() == 1011
            client.close(1011)
        assert ended(gateway, client)["outcome"] == "client_disconnected"
    pair[1].on("GET /some/base/v1/realtime", realtime())
    finished(gateway, "/v1/realtime?model=prefixed")


def test_a_session_lasts_no_longer_than_any_call_may(gateway: Gateway) -> None:
    began = time.monotonic()
    with connect(gateway, "/v1/realtime?model=speech") as client:
        assert client.json() == GREETING
        while (said := client.json()) != 1011:
            client.send_json({"type": "input_audio_buffer.append"})
            assert said is not None
    assert TOTAL_SECONDS - 1 < time.monotonic() - began < TOTAL_SECONDS + PATIENCE
    assert ended(gateway, client)["error_type"] == "call_timeout"


def test_a_gateway_that_stops_says_so(servers: tuple[Upstream, Upstream]) -> None:
    with Gateway(HOSTED_VLLM_API_BASE=servers[0].url, GATEWAY_GRACE_SECONDS="3") as gateway:
        with connect(gateway) as client:
            assert client.json() == GREETING
            gateway.terminate()
            assert client.json() == 1001
            client.close(1001)
        assert gateway.wait_for_exit() == 0
        assert ended(gateway, client)["outcome"] == "drained"
