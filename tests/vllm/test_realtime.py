"""A realtime session through the gateway says what the same session with the server itself says."""

from __future__ import annotations

import base64
import itertools
from typing import Any

import pytest

from tests.support.websocket import WebSocketClient
from tests.vllm.conftest import Site

pytestmark = pytest.mark.vllm
realtime_server = pytest.mark.parametrize("site", ["realtime"], indirect=True)

FACES = ("/vllm/v1/realtime", "/v1/realtime", "/realtime")
SECOND = b"\x00\x10" * 16_000
"""PCM16 at 16 kHz, mono."""


def transcribed(url: str, target: str, headers: list[tuple[str, str]], model: str) -> list[dict[str, Any]]:
    """The server's events of one session with a second of sound."""
    with WebSocketClient(url, target, headers) as client:
        events = [client.json()]
        client.send_json({"type": "session.update", "model": model})
        client.send_json({"type": "input_audio_buffer.commit"})
        client.send_json({"type": "input_audio_buffer.append", "audio": base64.b64encode(SECOND).decode()})
        client.send_json({"type": "input_audio_buffer.commit", "final": True})
        while not events or events[-1]["type"] not in ("transcription.done", "error"):
            events.append(client.json())
        client.close()
        return events


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [kind for kind, _ in itertools.groupby(event["type"] for event in events)]


@realtime_server
@pytest.mark.parametrize("face", FACES)
def test_a_session_is_the_server_s_own(site: Site, face: str) -> None:
    direct = transcribed(site.server.url, "/v1/realtime", site.server.headers(), site.server.model)
    relayed = transcribed(site.gateway.url, face, site.gateway.headers(site.secret), site.server.model)
    assert kinds(direct)[-1] == "transcription.done"
    assert kinds(relayed) == kinds(direct)
    assert relayed[-1].keys() == direct[-1].keys()
    assert relayed[-1]["usage"].keys() == direct[-1]["usage"].keys()


@realtime_server
def test_an_error_of_the_server_passes(site: Site) -> None:
    events = transcribed(site.server.url, "/v1/realtime", site.server.headers(), "nope")
    through = transcribed(site.gateway.url, "/vllm/v1/realtime", site.gateway.headers(site.secret), "nope")
    assert events[-1]["type"] == through[-1]["type"] == "error"
    assert through[-1]["code"] == events[-1]["code"]
