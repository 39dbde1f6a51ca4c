"""The opening handshake with the client (RFC 6455, section 4.2): is it one, which key does it carry, what is answered.

Pure.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, MutableMapping
from typing import Any

from gateway.errors import NotAWebSocket
from upstreams.websocket import accept_token

SUBPROTOCOL = "realtime"
_KEY_PREFIX = "openai-insecure-api-key."
"""How OpenAI lets browsers, which cannot set headers, show a key."""

_KEY_HEADERS = ("HTTP_X_LITELLM_API_KEY", "HTTP_AUTHORIZATION", "HTTP_API_KEY", "HTTP_X_API_KEY")


def is_upgrade(environ: Mapping[str, Any]) -> bool:
    """Whether the request asks for a WebSocket."""
    return str(environ.get("HTTP_UPGRADE", "")).lower() == "websocket"


def take_key(environ: MutableMapping[str, Any]) -> None:
    """Makes a key among the subprotocols the request's key, unless a header has one."""
    if any(environ.get(header) for header in _KEY_HEADERS):
        return
    offered = _offered(environ)
    key = next((one.removeprefix(_KEY_PREFIX) for one in offered if one.startswith(_KEY_PREFIX)), None)
    if key is not None:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {key}"


def check(environ: Mapping[str, Any]) -> bytes:
    """The client's nonce. Raises NotAWebSocket for a handshake that is not whole."""
    nonce = str(environ.get("HTTP_SEC_WEBSOCKET_KEY", "")).encode("latin-1")
    asked = {one.strip().lower() for one in str(environ.get("HTTP_CONNECTION", "")).split(",")}
    try:
        length = len(base64.b64decode(nonce, validate=True))
    except (ValueError, binascii.Error):
        length = 0
    if length != 16 or "upgrade" not in asked or environ.get("HTTP_SEC_WEBSOCKET_VERSION") != "13":
        raise NotAWebSocket
    return nonce


def accepted(environ: Mapping[str, Any], nonce: bytes, *, request_id: str, call_id: str) -> bytes:
    """The answer that makes the connection a WebSocket. No extension is negotiated; no subprotocol with a key."""
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accept_token(nonce),
        b"x-request-id: " + request_id.encode(),
        b"x-litellm-call-id: " + call_id.encode(),
    ]
    if SUBPROTOCOL in _offered(environ):
        lines.append(b"Sec-WebSocket-Protocol: " + SUBPROTOCOL.encode())
    return b"\r\n".join((*lines, b"", b""))


def _offered(environ: Mapping[str, Any]) -> list[str]:
    return [one.strip() for one in str(environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "")).split(",")]
