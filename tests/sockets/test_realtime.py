"""WebSockets through a real gateway: who may open one, what passes, how it ends, and what the log says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from tests.support import answers, vllm
from tests.support.databases import Row
from tests.support.gateway import Gateway
from tests.support.patience import wait_for
from tests.support.upstream import Upstream
from tests.support.websocket import USAGE, WebSocketClient, WebSocketRefused, Wire, realtime, server

FACES = ["/v1/realtime", "/realtime", "/vllm/v1/realtime", "/vllm/realtime", "/upstreams/environment/v1/realtime"]
GREETING = {"type": "session.created", "id": "s", "created": 1}
CREDENTIAL = "the-upstreams-own"

_SETUP = """
from upstreams.models import Deployment, Upstream
environment = Upstream.objects.get(name="environment")
for alias in ("speech", "other"):
    Deployment.objects.create(upstream=environment, alias=alias, served_name="tiny-" + alias)
"""


@pytest.fixture(scope="module")
def standing() -> Iterator[Upstream]:
    with Upstream() as upstream:
        vllm.serve(upstream)
        yield upstream


@pytest.fixture(scope="module")
def gateway(standing: Upstream) -> Iterator[Gateway]:
    with Gateway(
        HOSTED_VLLM_API_BASE=standing.url, HOSTED_VLLM_API_KEY=CREDENTIAL, GATEWAY_IDLE_TIMEOUT="4"
    ) as gateway:
        gateway.shell(_SETUP)
        wait_for(lambda: "speech" in str(gateway.call("GET", "/v1/models").json()))
        yield gateway


@pytest.fixture
def heard() -> list[Any]:
    """What the server has heard."""
    return []


@pytest.fixture
def upstream(standing: Upstream, heard: list[Any]) -> Upstream:
    with standing.anew():
        vllm.serve(standing)
        standing.on("GET /v1/realtime", realtime(heard))
    return standing


def connect(gateway: Gateway, target: str = "/v1/realtime", key: str | None = None, **headers: str) -> WebSocketClient:
    return WebSocketClient(gateway.url, target, [*gateway.headers(key), *headers.items()])


def ended(gateway: Gateway, client: WebSocketClient) -> Row:
    """The row of the call, once it has ended."""
    return gateway.row(
        next(line.split(": ")[1] for line in client.head.split("\r\n") if line.startswith("x-request-id"))
    )


@pytest.mark.parametrize("target", FACES)
def test_a_session_passes_and_is_accounted_for(
    gateway: Gateway, upstream: Upstream, heard: list[Any], target: str
) -> None:
    with connect(gateway, target) as client:
        assert client.json() == GREETING
        client.send_json({"type": "session.update", "model": "tiny-speech"})
        client.send_json({"type": "input_audio_buffer.append", "audio": "A" * 300_000})
        client.send_json({"type": "input_audio_buffer.commit", "final": True})
        assert client.json() == {"type": "transcription.delta", "delta": "hello"}
        assert client.json()["usage"] == USAGE
        client.close(1000)
        assert client.json() == 1000
    wait_for(lambda: len(heard) == 4)
    assert [one["type"] for one in heard[:3]] == [
        "session.update",
        "input_audio_buffer.append",
        "input_audio_buffer.commit",
    ]
    assert (len(heard[1]["audio"]), heard[3]) == (300_000, 1000)
    row = ended(gateway, client)
    assert (row["outcome"], row["status"], row["upstream_name"]) == ("completed", 101, "environment")
    assert (row["prompt_tokens"], row["completion_tokens"], row["usage_source"]) == (11, 4, "reported")
    assert row["bytes_in"] > 300_000
    assert row["route"] == "/v1/realtime"


def test_the_upstream_gets_its_own_credential_and_no_key(gateway: Gateway, upstream: Upstream) -> None:
    key = gateway.make_key()
    protocols = f"realtime, openai-insecure-api-key.{key}"
    with WebSocketClient(gateway.url, "/v1/realtime", [("Sec-WebSocket-Protocol", protocols)]) as client:
        assert "Sec-WebSocket-Protocol: realtime\r\n" in client.head + "\r\n"
        assert client.json() == GREETING
        client.close()
    head = upstream.calls[-1].head.decode()
    assert f"Bearer {CREDENTIAL}" in head
    assert key not in head
    assert "Sec-WebSocket-Protocol" not in head


def test_an_alias_becomes_the_served_name_and_nothing_else_changes(
    gateway: Gateway, upstream: Upstream, heard: list[Any]
) -> None:
    texts: list[str] = []

    def act(wire: Wire, exchange: Any) -> None:
        event = wire.event()
        assert isinstance(event, TextMessage)
        texts.append(event.data)

    upstream.on("GET /v1/realtime", server(act))
    with connect(gateway, "/v1/realtime?model=speech") as client:
        client.send_json('{ "type":"session.update" , "x":1.0, "model" : "speech", "é":"\\u00e9" }')
        wait_for(lambda: texts)
    assert texts == ['{ "type":"session.update" , "x":1.0, "model" : "tiny-speech", "é":"\\u00e9" }']
    assert upstream.calls[-1].target == "/v1/realtime?model=tiny-speech"


def test_the_row_tells_the_model_and_the_tokens_of_all_utterances(gateway: Gateway, upstream: Upstream) -> None:
    with connect(gateway) as client:
        assert client.json() == GREETING
        client.send_json({"type": "session.update", "model": "speech"})
        for _ in range(2):
            client.send_json({"type": "input_audio_buffer.commit", "final": True})
            assert client.json()["type"] == "transcription.delta"
            assert client.json()["type"] == "transcription.done"
        client.close()
        assert client.json() == 1000
    row = ended(gateway, client)
    assert (row["model"], row["served_model"]) == ("speech", "tiny-speech")
    assert (row["prompt_tokens"], row["completion_tokens"]) == (22, 8)


def test_tokens_that_nobody_reported_are_unknown(gateway: Gateway, upstream: Upstream) -> None:
    with connect(gateway) as client:
        assert client.json() == GREETING
        client.close()
        assert client.json() == 1000
    row = ended(gateway, client)
    assert (row["prompt_tokens"], row["usage_source"], row["streaming"]) == (None, "unknown", 1)


# --- Who may --------------------------------------------------------------------------------------------------


def test_refusals_are_plain_http(gateway: Gateway, upstream: Upstream) -> None:
    limited = gateway.make_key(models=["other"])
    no_calls = gateway.make_key(max_parallel_requests=0)
    for key, target, status in (
        ("sk-of-nobody-0123456789", "/v1/realtime", 401),
        (limited, "/v1/realtime?model=speech", 403),
        (no_calls, "/v1/realtime", 429),
        (None, "/v1/realtime?model=absent", 404),
        (limited, "/upstreams/environment/v1/realtime?model=other", 403),
    ):
        with pytest.raises(WebSocketRefused) as refused:
            connect(gateway, target, key)
        assert refused.value.status == status
        assert set(json.loads(refused.value.body)) == {"error"}
    assert not [request for request in upstream.calls if "realtime" in request.target]


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"session.update","model":"speech"}',
        '{"type":"session.update","mod\\u0065l":"speech"}',
        '{"model":"speech"}',
    ],
)
def test_a_model_that_the_key_may_not_use_ends_the_session(
    gateway: Gateway, upstream: Upstream, heard: list[Any], text: str
) -> None:
    key = gateway.make_key(models=["other"])
    with connect(gateway, "/v1/realtime?model=other", key) as client:
        assert client.json() == GREETING
        client.send_json(text)
        assert client.json()["code"] == "model_not_allowed"
        assert client.json() == 1008
    assert heard in ([], [1001])
    assert ended(gateway, client)["outcome"] == "refused"


def test_the_empty_name_is_the_servers_own_model_and_is_judged_as_that(
    gateway: Gateway, upstream: Upstream, heard: list[Any]
) -> None:
    key = gateway.make_key(models=["other"])
    with connect(gateway, "/v1/realtime?model=other", key) as client:
        assert client.json() == GREETING
        client.send_json({"type": "session.update", "model": ""})
        assert client.json()["code"] == "model_not_allowed"
        assert client.json() == 1008
    assert heard in ([], [1001])


def test_a_limited_key_may_leave_the_model_to_the_session(
    gateway: Gateway, upstream: Upstream, heard: list[Any]
) -> None:
    key = gateway.make_key(models=["speech"])
    with connect(gateway, "/v1/realtime", key) as client:
        assert client.json() == GREETING
        client.send_json({"type": "session.update", "model": "speech"})
        wait_for(lambda: heard)
    assert heard[0]["model"] == "tiny-speech"


def test_a_key_among_the_subprotocols_reaches_no_upstream_by_any_path(gateway: Gateway, upstream: Upstream) -> None:
    key = gateway.make_key()
    gateway.call("GET", "/vllm/version", headers=[("Sec-WebSocket-Protocol", f"openai-insecure-api-key.{key}")])
    assert key not in upstream.calls[-1].head.decode()


@pytest.mark.parametrize("text", ["no json", '{"model":"a","model":"b"}', '{"model":7}', "[]"])
def test_what_cannot_be_read_does_not_pass(gateway: Gateway, upstream: Upstream, heard: list[Any], text: str) -> None:
    with connect(gateway) as client:
        assert client.json() == GREETING
        client.send_json(text)
        assert client.json()["code"] == "invalid_json"
        client.send_json({"type": "input_audio_buffer.commit"})
        wait_for(lambda: heard)
    assert heard[0] == {"type": "input_audio_buffer.commit"}


def test_it_counts_as_a_parallel_call(gateway: Gateway, upstream: Upstream) -> None:
    key = gateway.make_key(max_parallel_requests=1)
    with connect(gateway, key=key):
        assert gateway.call("GET", "/vllm/version", key=key).status == 429
    wait_for(lambda: gateway.call("GET", "/vllm/version", key=key).status == 200)


def test_a_handshake_that_is_not_whole_is_a_400(gateway: Gateway, upstream: Upstream) -> None:
    response = gateway.call("GET", "/v1/realtime", headers=[("Upgrade", "websocket"), ("Connection", "Upgrade")])
    assert (response.status, response.json()["error"]["type"]) == (400, "invalid_request_error")


def test_without_an_upgrade_it_is_a_call_like_any_other(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("GET /v1/realtime", answers.json(404, {"detail": "Not Found"}))
    assert gateway.call("GET", "/vllm/v1/realtime").json() == {"detail": "Not Found"}


# --- How it ends ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_an_upstream_that_does_not_upgrade_is_told_as_http(gateway: Gateway, upstream: Upstream, status: int) -> None:
    upstream.on("GET /v1/realtime", answers.json(status, {}))
    with pytest.raises(WebSocketRefused) as refused:
        connect(gateway)
    assert refused.value.status == status


def test_a_revoked_key_closes_its_sessions(gateway: Gateway, upstream: Upstream) -> None:
    key = gateway.make_key()
    with connect(gateway, key=key) as client:
        assert client.json() == GREETING
        gateway.key_api("block", key=key)
        assert client.json() == 1008
    assert ended(gateway, client)["outcome"] == "revoked"


def test_an_upstream_that_breaks_off_is_told(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("GET /v1/realtime", server(lambda wire, exchange: exchange.connection.reset()))
    with connect(gateway) as client:
        assert client.json() == 1011
    assert ended(gateway, client)["outcome"] == "upstream_failed"


def test_an_upstream_s_own_code_passes(gateway: Gateway, upstream: Upstream) -> None:
    def act(wire: Wire, exchange: Any) -> None:
        wire.send(CloseConnection(code=1011, reason="keepalive ping timeout"))
        wire.event()

    upstream.on("GET /v1/realtime", server(act))
    with connect(gateway) as client:
        event = client.event()
        assert isinstance(event, CloseConnection)
        assert (event.code, event.reason) == (1011, "keepalive ping timeout")


def test_a_silent_session_is_ended(gateway: Gateway, upstream: Upstream) -> None:
    with connect(gateway) as client:
        assert client.json() == GREETING
        assert client.json() == 1011
    assert ended(gateway, client)["outcome"] == "upstream_failed"


def test_pings_pass_in_both_directions(gateway: Gateway, upstream: Upstream) -> None:
    pongs: list[Any] = []

    def act(wire: Wire, exchange: Any) -> None:
        wire.send(Ping(payload=b"from the server"))
        pongs.append(wire.event())
        pongs.append(ping := wire.event())
        wire.send(ping.response())
        wire.event()

    upstream.on("GET /v1/realtime", server(act))
    with connect(gateway) as client:
        ping = client.event()
        assert isinstance(ping, Ping)
        client.send(ping.response())
        client.send(Ping(payload=b"from the client"))
        assert client.event() == Pong(payload=b"from the client")
        client.close()
    assert pongs[0] == Pong(payload=b"from the server")


def test_a_client_that_vanishes_ends_the_session_upstream(
    gateway: Gateway, upstream: Upstream, heard: list[Any]
) -> None:
    with connect(gateway) as client:
        assert client.json() == GREETING
        client.reset()
    wait_for(lambda: 1001 in heard)
    assert ended(gateway, client)["outcome"] == "client_disconnected"


@pytest.mark.parametrize(
    "garbage",
    [b"\xff" * 100, b"\x81\x05hello", b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"],
    ids=["no frame", "not masked", "endless"],
)
def test_garbage_harms_nobody_else(gateway: Gateway, upstream: Upstream, garbage: bytes) -> None:
    with connect(gateway) as client:
        assert client.json() == GREETING
        client.socket.sendall(garbage)
        while client.event() is not None:
            pass
    assert gateway.call("GET", "/vllm/version").status == 200
    assert ended(gateway, client)["outcome"] != "gateway_failed"


def test_binary_messages_are_refused(gateway: Gateway, upstream: Upstream) -> None:
    with connect(gateway) as client:
        assert client.json() == GREETING
        client.send(BytesMessage(data=b'{"model":"speech"}'))
        assert client.json() == 1003


def test_a_session_counts_against_the_tokens_per_minute(gateway: Gateway, upstream: Upstream) -> None:
    key = gateway.make_key(tpm_limit=15)
    with connect(gateway, key=key) as client:
        assert client.json() == GREETING
        client.send_json({"type": "session.update", "model": "speech"})
        client.send_json({"type": "input_audio_buffer.commit", "final": True})
        assert client.json()["type"] == "transcription.delta"
        assert client.json()["type"] == "transcription.done"  # 11 + 4 tokens
        client.close()
        assert client.json() == 1000
    ended(gateway, client)
    with pytest.raises(WebSocketRefused) as refused:
        connect(gateway, key=key)
    assert refused.value.status == 429
