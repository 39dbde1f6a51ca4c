"""A client that leaves frees the engine within a second, in every phase; a stream that vLLM breaks off has no end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.http_client import HttpClient
from tests.support.patience import wait_for
from tests.vllm import cases
from tests.vllm.cases import STREAM
from tests.vllm.conftest import Site

pytestmark = pytest.mark.vllm

_TOKENS = 1900  # some seconds of work for the engine: its model never stops by itself
_WRITTEN = "vllm:generation_tokens_total"
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
    """A call that the server has, and of which nothing has been read yet; after the block its client leaves.

    Within a second the engine must be at rest, with most of its work not done, and the server's own count of calls be
    what it was.
    """
    server, before, written = site.server, _load(site), site.server.counter(_WRITTEN)
    headers = [*site.gateway.headers(site.secret), ("content-type", "application/json")]
    with site.gateway.connect(timeout=30) as client:
        client.request("POST", f"/vllm{target}", headers, json.dumps({**ENDLESS[target], **fields}).encode())
        wait_for(lambda: _load(site) > before, 30)
        yield client
        getattr(client, how)()
        wait_for(lambda: not server.at_work() and _load(site) == before, _a_second())
    assert server.counter(_WRITTEN) - written < _TOKENS


def _load(site: Site) -> int:
    return int(site.server.call("GET", "/load").json()["server_load"])


def _a_second() -> float:
    """A second, or more where more processes than there are cores hold up everything, the server's own answers too."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@chat_server
@every_route
def test_leaving_in_the_middle_of_a_stream_frees_the_engine(site: Site, target: str) -> None:
    with leaving(site, target, **STREAM) as client:
        head = client.read_head()
        assert head.status == 200, "the server needs --enable-scale-out for some routes"
        chunks = client.read_chunks(head)
        for _ in range(10):
            next(chunks)


@chat_server
@every_route
def test_leaving_a_plain_call_frees_the_engine(site: Site, target: str) -> None:
    with leaving(site, target):
        pass


@chat_server
@pytest.mark.parametrize("how", ["half_close", "reset"])
@pytest.mark.parametrize("fields", [{}, STREAM], ids=["plain", "stream"])
def test_any_way_of_leaving_frees_the_engine(site: Site, fields: dict[str, Any], how: str) -> None:
    with leaving(site, _CHAT, how=how, **fields):
        pass


@contextmanager
def paused(site: Site) -> Iterator[None]:
    """The engine accepts calls and does not begin them."""
    site.server.post("/pause?mode=keep")
    try:
        yield
    finally:
        site.server.post("/resume")


@chat_server
@pytest.mark.parametrize("fields", [{}, STREAM], ids=["plain", "stream"])
def test_leaving_before_the_first_token_frees_the_engine(site: Site, fields: dict[str, Any]) -> None:
    with paused(site), leaving(site, _CHAT, **fields):
        pass


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
@pytest.mark.parametrize("fields", [{}, STREAM], ids=["plain", "stream"])
def test_a_call_that_vllm_aborts_is_logged_as_failed(site: Site, fields: dict[str, Any]) -> None:
    with leaving(site, _CHAT, **fields) as client:
        wait_for(site.server.at_work, 30)
        site.server.post("/abort_requests", {})
        response = client.read_response()
    assert b'"finish_reason":"abort"' in response.body
    row = site.gateway.row(response)
    assert (row["outcome"], row["error_type"], row["status"]) == ("upstream_failed", "abort", 200)


@chat_server
def test_a_stream_that_vllm_breaks_off_has_no_clean_end(site: Site) -> None:
    """Most servers cut the body when a stored response is wanted as the stream that it never was."""
    stored = site.gateway.post(f"/vllm{_RESPONSES}", cases.response(), key=site.secret).json()["id"]
    target = f"{_RESPONSES}/{stored}?stream=true"
    if site.server.call("GET", target).end == "clean":
        pytest.skip("this server ends it in order")
    response = site.gateway.call("GET", f"/vllm{target}", key=site.secret)
    assert response.end == "cut"
    assert response.body.startswith(b"event: error\n")
    assert site.gateway.row(response)["outcome"] == "upstream_failed"
