"""A server that has the Responses API, one that has only chat, and OpenAI's own client with two keys."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.sockets.responses.asking import Client
from tests.support import answers, vllm
from tests.support.exchange import Exchange
from tests.support.gateway import Gateway
from tests.support.patience import PATIENCE, wait_for
from tests.support.upstream import Upstream

RECORDINGS = Path(__file__).parents[2] / "recordings"
IDLE_SECONDS = 3.0

_SETUP = """
from upstreams.models import Deployment, Upstream
for name, url, is_default in {rows!r}:
    upstream = Upstream(name=name, url=url, is_default=is_default)
    upstream.save()
    Deployment.objects.create(upstream=upstream, alias=name + "-model", served_name="tiny-" + name)
"""


class NativeServer:
    """vLLM with its store on: makes responses, gives them again, cancels them."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self._numbers = itertools.count(1)
        self._known: dict[str, dict[str, Any]] = {}

    def serve(self) -> None:
        vllm.serve(self.upstream, model="tiny-native")
        self.upstream.on("POST /v1/responses", self._create)
        self.upstream.on("POST /v1/responses/render", answers.json(200, {"prompt": "secret"}))
        self.upstream.on("GET *", self._get)
        self.upstream.on("POST *", self._cancel)

    def _create(self, exchange: Exchange) -> None:
        asked = exchange.request.json()
        new = str(asked.get("request_id") or f"resp_{next(self._numbers):016x}")
        name = "responses_queued.json" if asked.get("background") else "responses.json"
        self._known[new] = {**json.loads((RECORDINGS / name).read_text()), "id": new}
        if not asked.get("stream"):
            answers.json(200, self._known[new])(exchange)
            return
        stream = re.sub(rb"resp_[0-9a-f]+", new.encode(), (RECORDINGS / "responses.sse").read_bytes())
        answers.stream([event + b"\n\n" for event in stream.split(b"\n\n")[:-1]])(exchange)

    def _get(self, exchange: Exchange) -> None:
        known = self._known.get(exchange.request.path.rpartition("/")[2])
        answer = answers.json(200, known) if known else vllm.error(404, "not found", "invalid_request_error")
        if known and "stream=true" in exchange.request.target:
            answer = answers.stream([b"event: response.created\ndata: {}\n\n"])
        answer(exchange)

    def _cancel(self, exchange: Exchange) -> None:
        known = self._known.get(exchange.request.path.split("/")[3])
        answers.json(200, {**(known or {}), "status": "cancelled"})(exchange)


@pytest.fixture(scope="package")
def servers() -> Iterator[tuple[NativeServer, Upstream]]:
    with Upstream() as one, Upstream() as other:
        native = NativeServer(one)
        native.serve()
        vllm.serve(other, model="tiny-chat")
        yield native, other


@pytest.fixture(scope="package")
def gateway(servers: tuple[NativeServer, Upstream]) -> Iterator[Gateway]:
    with Gateway(GATEWAY_IDLE_TIMEOUT=str(IDLE_SECONDS)) as gateway:
        rows = [("native", servers[0].upstream.url, True), ("chat", servers[1].url, False)]
        gateway.shell(_SETUP.format(rows=rows))
        wait_for(lambda: len(gateway.call("GET", "/v1/models").json()["data"]) >= 2)
        yield gateway


@pytest.fixture
def native(servers: tuple[NativeServer, Upstream]) -> NativeServer:
    with servers[0].upstream.anew():
        servers[0].serve()
    return servers[0]


@pytest.fixture
def chat(servers: tuple[NativeServer, Upstream]) -> Upstream:
    with servers[1].anew():
        vllm.serve(servers[1], model="tiny-chat", words=("Hel", "lo"))
    return servers[1]


@pytest.fixture(scope="package")
def mine(gateway: Gateway) -> str:
    return gateway.make_key(allowed_upstreams=["*"])


@pytest.fixture(scope="package")
def another(gateway: Gateway) -> str:
    return gateway.make_key(allowed_upstreams=["*"])


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    opened: list[openai.OpenAI] = []

    def connect(key: str, face: str = "/v1") -> openai.OpenAI:
        opened.append(openai.OpenAI(base_url=gateway.url + face, api_key=key, max_retries=0, timeout=PATIENCE))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()
