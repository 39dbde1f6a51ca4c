"""A client that leaves frees the engine within a second, in every phase; a stream that vLLM breaks off has no end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.gateway import wait_for
from tests.support.http_client import HttpClient
from tests.vllm import cases
from tests.vllm.cases import STREAM
from tests.vllm.conftest import Site

pytestmark = pytest.mark.vllm

_TOKENS = 1900  # some seconds of work for the engine: its model never stops by itself
_CHAT, _RESPONSES = "/v1/chat/completions", "/v1/responses"
ENDLESS: dict[str, dict[str, Any]] = {
    _CHAT: cases.chat(tokens=_TOKENS),
    "/v1/completions": cases.completion(tokens=_TOKENS),
    _RESPONSES: cases.response(tokens=_TOKENS),
    "/v1/messages": cases.messages(tokens=_TOKENS),
    "/inference/v1/generate": cases.generate(sampling_params={"max_tokens": _TOKENS, "temperature": 0}),
}
chat_server = pytest.mark.parametrize("site", ["chat"], indirect=True)
every_route = pytest.mark.parametrize("target", ENDLESS)


@contextmanager
def leaving(site: Site, target: str, *, how: str = "close", **fields: Any) -> Iterator[HttpClient]:
    """An open call of which nothing has been read yet; after the block its client leaves.

    Within a second the engine must be at rest, and the server's own count of calls be what it was.
    """
    server, before = site.server, _load(site)
    headers = [*site.gateway.headers(site.secret), ("content-type", "application/json")]
    with site.gateway.connect(timeout=20) as client:
        client.request("POST", f"/vllm{target}", headers, json.dumps({**ENDLESS[target], **fields}).encode())
        yield client
        getattr(client, how)()
        wait_for(lambda: not server.at_work() and _load(site) == before, 1.0)


def _load(site: Site) -> int:
    return int(site.server.call("GET", "/load").json()["server_load"])


@chat_server
@every_route
def test_leaving_in_the_middle_of_a_stream_frees_the_engine(site: Site, target: str) -> None:
    with leaving(site, target, **STREAM) as client:
        head = client.read_head()
        assert head.status == 200, "the server needs --enable-scale-out for some routes"
        chunks = client.read_chunks(head)
        for _ in range(10):
            next(chunks)
        assert site.server.at_work() == 1


@chat_server
@every_route
def test_leaving_a_plain_call_frees_the_engine(site: Site, target: str) -> None:
    with leaving(site, target):
        wait_for(site.server.at_work, 5)


@chat_server
@pytest.mark.parametrize("how", ["half_close", "reset"])
@pytest.mark.parametrize("fields", [{}, STREAM], ids=["plain", "stream"])
def test_any_way_of_leaving_frees_the_engine(site: Site, fields: dict[str, Any], how: str) -> None:
    with leaving(site, _CHAT, how=how, **fields):
        wait_for(site.server.at_work, 5)


@chat_server
@pytest.mark.parametrize("fields", [{}, STREAM], ids=["plain", "stream"])
def test_leaving_before_the_first_token_frees_the_engine(site: Site, fields: dict[str, Any]) -> None:
    before = _load(site)
    site.server.post("/pause?mode=keep")
    try:
        with leaving(site, _CHAT, **fields):
            wait_for(lambda: _load(site) > before, 5)
    finally:
        site.server.post("/resume")


@chat_server
def test_the_row_of_a_call_that_was_left_is_estimated(site: Site) -> None:
    with leaving(site, _CHAT, **STREAM) as client:
        head = client.read_head()
        chunks = client.read_chunks(head)
        for _ in range(20):
            next(chunks)
    row = site.gateway.row(head.header("x-request-id") or "")
    assert (row["outcome"], row["usage_source"]) == ("client_disconnected", "estimated")
    assert 10 <= row["completion_tokens"] < _TOKENS


@chat_server
def test_a_stream_that_vllm_breaks_off_has_no_clean_end(site: Site) -> None:
    """vLLM cuts the body when a stored response is wanted as the stream that it never was."""
    stored = site.server.post(_RESPONSES, cases.response()).json()["id"]
    target = f"{_RESPONSES}/{stored}?stream=true"
    assert site.server.call("GET", target).end == "cut"
    response = site.gateway.call("GET", f"/vllm{target}", key=site.secret)
    assert response.end == "cut"
    assert response.body.startswith(b"event: error\n")
    assert site.gateway.row(response)["outcome"] == "upstream_failed"
