"""A WebSocket to an upstream is opened as RFC 6455 says; whatever goes wrong has one of our names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest

from tests.support import answers
from tests.support.exchange import Behaviour, Exchange
from tests.support.patience import PATIENCE
from tests.support.ports import unused_port
from tests.support.tls import TlsServer
from tests.support.upstream import Upstream
from tests.support.websocket import Wire, server
from upstreams import errors, websocket

pytestmark = pytest.mark.sockets

HEADERS = [("Authorization", "Bearer credential"), ("X-Request-Id", "r")]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


def open_socket(base_url: str, target: str = "/v1/realtime", head_timeout: float = PATIENCE) -> tuple[Any, bytes]:
    return websocket.open_socket(base_url, target, HEADERS, connect_timeout=PATIENCE, head_timeout=head_timeout)


def raw(data: bytes) -> Behaviour:
    def behave(exchange: Exchange) -> None:
        exchange.connection.send(data)
        exchange.connection.fin()

    return behave


def test_the_handshake_is_whole(upstream: Upstream) -> None:
    upstream.on("*", server(lambda wire, exchange: None))
    sock, _ = open_socket(upstream.url, "/base/v1/realtime?model=a%2Fb")
    with sock:
        assert sock.gettimeout() is None
    (request,) = upstream.requests
    assert request.line == "GET /base/v1/realtime?model=a%2Fb HTTP/1.1"
    said = {name.lower(): value for name, value in request.headers}
    assert said["host"] == upstream.url.removeprefix("http://")
    assert (said["upgrade"], said["connection"], said["sec-websocket-version"]) == ("websocket", "Upgrade", "13")
    assert (said["authorization"], said["x-request-id"]) == ("Bearer credential", "r")
    assert "sec-websocket-extensions" not in said


def test_what_came_behind_the_head_is_kept(upstream: Upstream) -> None:
    def act(wire: Wire, exchange: Exchange) -> None:
        wire.send_json({"type": "session.created"})

    upstream.on("*", server(act))
    sock, early = open_socket(upstream.url)
    with sock:
        while b"session.created" not in early:
            piece = sock.recv(100)
            assert piece
            early += piece


@pytest.mark.parametrize(("status", "told"), [(401, 401), (403, 403), (404, 404), (500, 500), (200, 502), (302, 502)])
def test_another_status_is_a_refusal_with_that_status(upstream: Upstream, status: int, told: int) -> None:
    upstream.on("*", answers.json(status, {}))
    with pytest.raises(errors.UpgradeRefused) as refused:
        open_socket(upstream.url)
    assert refused.value.status_code == told


UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (UPGRADED + b"\r\n", errors.UpstreamInvalid),
        (UPGRADED + b"Sec-WebSocket-Accept: wrong\r\n\r\n", errors.UpstreamInvalid),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", errors.UpstreamInvalid),
        (b"HTTP/1.1 abc\r\n\r\n", errors.UpstreamInvalid),
        (UPGRADED + b"X: " + b"x" * 100_000, errors.UpstreamInvalid),
        (UPGRADED, errors.UpstreamReset),
        (b"", errors.UpstreamReset),
    ],
)
def test_what_is_no_answer_has_a_name(upstream: Upstream, answer: bytes, error: type[Exception]) -> None:
    upstream.on("*", raw(answer))
    with pytest.raises(error):
        open_socket(upstream.url)


def test_an_extension_that_nobody_asked_for_is_invalid(upstream: Upstream) -> None:
    def behave(exchange: Exchange) -> None:
        token = websocket.accept_token((exchange.request.header("sec-websocket-key") or "").encode())
        lines = b"Sec-WebSocket-Accept: " + token + b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        exchange.connection.send(UPGRADED + lines)
        exchange.connection.fin()

    upstream.on("*", behave)
    with pytest.raises(errors.UpstreamInvalid):
        open_socket(upstream.url)


def test_silence_is_a_timeout(upstream: Upstream) -> None:
    upstream.on("*", lambda exchange: exchange.connection.pause(None))
    with pytest.raises(errors.UpstreamTimeout):
        open_socket(upstream.url, head_timeout=0.2)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        (lambda: f"http://127.0.0.1:{unused_port()}", errors.UpstreamRefused),
        (lambda: "http://no-such-host.invalid", errors.UpstreamNameUnknown),
    ],
)
def test_what_cannot_be_reached_has_a_name(url: Callable[[], str], error: type[Exception]) -> None:
    with pytest.raises(error):
        open_socket(url())


def test_a_certificate_that_nobody_trusts_fails(tmp_path: Path) -> None:
    with TlsServer(tmp_path) as tls, pytest.raises(errors.UpstreamTlsFailed):
        open_socket(tls.url)


def test_it_works_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstream: Upstream) -> None:
    with TlsServer(tmp_path) as tls:
        monkeypatch.setattr(certifi, "where", lambda: str(tls.certificate))
        websocket._tls_context.cache_clear()
        try:
            with pytest.raises(errors.UpgradeRefused) as refused:
                open_socket(tls.url)
        finally:
            websocket._tls_context.cache_clear()
    assert refused.value.status_code == 502  # this server says 200 to everything: it was understood
