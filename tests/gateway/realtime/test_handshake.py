"""The opening handshake: what is one, where a key may hide, and what is answered."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import NotAWebSocket
from gateway.realtime import handshake

# The example of RFC 6455, section 1.3.
WHOLE = {
    "HTTP_UPGRADE": "WebSocket",
    "HTTP_CONNECTION": "keep-alive, Upgrade",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
}


def test_a_whole_handshake_is_accepted() -> None:
    assert handshake.is_upgrade(WHOLE)
    answer = handshake.accepted(WHOLE, handshake.check(WHOLE), request_id="r", call_id="c").decode()
    assert answer.startswith("HTTP/1.1 101 ")
    assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert answer.endswith("\r\n\r\n")
    assert "Protocol:" not in answer


@pytest.mark.parametrize(
    "wrong",
    [
        {"HTTP_CONNECTION": "close"},
        {"HTTP_SEC_WEBSOCKET_KEY": "too short"},
        {"HTTP_SEC_WEBSOCKET_KEY": ""},
        {"HTTP_SEC_WEBSOCKET_VERSION": "8"},
    ],
)
def test_one_that_is_not_whole_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(NotAWebSocket):
        handshake.check({**WHOLE, **wrong})


def test_another_request_is_none() -> None:
    assert not handshake.is_upgrade({})
    assert not handshake.is_upgrade({"HTTP_UPGRADE": "h2c"})


def test_a_key_among_the_subprotocols_is_the_key_and_is_not_repeated() -> None:
    environ: dict[str, Any] = {
        **WHOLE,
        "HTTP_SEC_WEBSOCKET_PROTOCOL": "realtime, openai-insecure-api-key.sk-secret, openai-beta.realtime-v1",
    }
    handshake.take_key(environ)
    assert environ["HTTP_AUTHORIZATION"] == "Bearer sk-secret"
    answer = handshake.accepted(environ, handshake.check(environ), request_id="r", call_id="c")
    assert b"Sec-WebSocket-Protocol: realtime\r\n" in answer
    assert b"sk-secret" not in answer


def test_a_key_in_a_header_comes_first() -> None:
    environ = {"HTTP_AUTHORIZATION": "Bearer a", "HTTP_SEC_WEBSOCKET_PROTOCOL": "openai-insecure-api-key.b"}
    handshake.take_key(environ)
    assert environ["HTTP_AUTHORIZATION"] == "Bearer a"
