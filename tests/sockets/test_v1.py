"""The OpenAI face over real sockets: what it adds to the pass-through, and what it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import answers, vllm
from tests.support.gateway import Gateway
from tests.support.http_client import Response
from tests.support.patience import wait_for
from tests.support.upstream import Upstream

_SETUP = """
from upstreams.models import Deployment, Upstream
upstream = Upstream.objects.get(name="environment")
Deployment.objects.create(upstream=upstream, alias="org/nice", served_name="tiny-chat")
Deployment.objects.create(upstream=upstream, alias="wild/*", served_name="tiny-*")
Deployment.objects.create(upstream=upstream, alias="secret", served_name="tiny-chat", hidden=True)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Upstream]:
    with Upstream() as upstream:
        vllm.serve(upstream)
        yield upstream


@pytest.fixture(scope="module")
def gateway(server: Upstream) -> Iterator[Gateway]:
    with Gateway(HOSTED_VLLM_API_BASE=server.url) as gateway:
        gateway.shell(_SETUP)
        wait_for(lambda: "org/nice" in _ids(gateway))
        yield gateway


@pytest.fixture
def upstream(server: Upstream) -> Upstream:
    with server.anew():
        vllm.serve(server)
    return server


def _ids(gateway: Gateway, key: str | None = None) -> list[str]:
    return [row["id"] for row in gateway.call("GET", "/v1/models", key=key).json()["data"]]


def _error(response: Response) -> tuple[int, str]:
    return response.status, response.json()["error"]["type"]


def _sent(upstream: Upstream) -> Any:
    return json.loads(upstream.calls[-1].body)


# --- Models -------------------------------------------------------------------------------------------------


def test_the_models_of_all_upstreams_are_listed(gateway: Gateway, upstream: Upstream) -> None:
    wait_for(lambda: "tiny-chat" in _ids(gateway))  # as the server itself lists it
    rows = gateway.call("GET", "/models").json()
    assert rows["object"] == "list"
    assert {"org/nice", "tiny-chat"} <= {row["id"] for row in rows["data"]}
    assert not {"secret", "wild/*"} & {row["id"] for row in rows["data"]}
    assert {(row["object"], row["owned_by"]) for row in rows["data"]} == {("model", "vllm")}
    assert not any(request.target == "/v1/models" and request.header("x-request-id") for request in upstream.calls)


def test_a_key_sees_the_models_that_it_may_use(gateway: Gateway) -> None:
    key = gateway.make_key(models=["org/*"], aliases={"mine": "org/nice"})
    assert _ids(gateway, key) == ["mine", "org/nice"]


@pytest.mark.parametrize("name", ["org/nice", "org%2Fnice"])
def test_one_model_can_be_asked_for(gateway: Gateway, name: str) -> None:
    for prefix in ("/v1/models/", "/models/"):
        response = gateway.call("GET", prefix + name)
        assert (response.status, response.json()["id"]) == (200, "org/nice")


def test_a_model_that_is_not_there_is_a_404(gateway: Gateway) -> None:
    key = gateway.make_key(models=["other"])
    for asked in (gateway.call("GET", "/v1/models/absent"), gateway.call("GET", "/v1/models/org%2Fnice", key=key)):
        assert _error(asked) == (404, "NotFoundError")


@pytest.mark.parametrize("name", ["..%2f..%2fadmin", "a%252fb", "a%5cb", "..", "a//b"])
def test_an_unsafe_name_is_a_400(gateway: Gateway, name: str) -> None:
    for target in (f"/v1/models/{name}", f"/engines/{name}/completions"):
        assert _error(gateway.call("GET", target)) == (400, "invalid_request_error")


@pytest.mark.parametrize("face", ["", "/vllm", "/upstreams/environment"])
def test_a_hidden_model_cannot_be_called(gateway: Gateway, face: str) -> None:
    assert _error(gateway.post(f"{face}/v1/chat/completions", {"model": "secret"})) == (404, "NotFoundError")


# --- Where a call goes --------------------------------------------------------------------------------------


def test_only_the_model_changes_on_its_way(gateway: Gateway, upstream: Upstream) -> None:
    body = b'{ "max_tokens":7, "unheard_of":[1.0,2e3,"\\u00e9"], "model" : "org/nice" ,"top_k":-1, "messages":[] }'
    gateway.call("POST", "/v1/chat/completions", body=body, headers=[("content-type", "application/json")])
    assert upstream.calls[-1].body == body.replace(b"org/nice", b"tiny-chat")


def test_a_wildcard_passes_on_what_stands_for_its_star(gateway: Gateway, upstream: Upstream) -> None:
    gateway.post("/v1/chat/completions", {"model": "wild/chat"})
    assert _sent(upstream)["model"] == "tiny-chat"


@pytest.mark.parametrize("prefix", ["", "/v1", "/vllm"])
def test_the_path_of_an_engine_names_a_model(gateway: Gateway, upstream: Upstream, prefix: str) -> None:
    gateway.post(f"{prefix}/engines/org%2Fnice/chat/completions", {"messages": [], "n": 1})
    assert upstream.calls[-1].target == "/v1/chat/completions"
    assert upstream.calls[-1].body == b'{"model":"tiny-chat","messages": [], "n": 1}'
    differs = gateway.post(f"{prefix}/engines/org/nice/chat/completions", {"model": "other"})
    assert _error(differs) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/v1/classify", "/classify"),
        ("/classify", "/classify"),
        ("/v1/pooling", "/pooling"),
        ("/v1/tokenize", "/tokenize"),
        ("/v1/detokenize", "/detokenize"),
        ("/score", "/score"),
        ("/v1/score", "/v1/score"),
        ("/completions", "/v1/completions"),
        ("/embeddings", "/v1/embeddings"),
        ("/messages", "/v1/messages"),
        ("/messages/count_tokens", "/v1/messages/count_tokens"),
        ("/responses", "/v1/responses"),
    ],
)
def test_each_path_reaches_the_one_that_vllm_has(gateway: Gateway, upstream: Upstream, path: str, there: str) -> None:
    upstream.on("*", answers.json(200, {"id": "x"}))
    response = gateway.post(path, {"model": "tiny-chat"})
    assert (response.status, upstream.calls[-1].target) == (200, there)


@pytest.mark.parametrize("path", ["images/generations", "audio/speech", "files", "batches", "moderations"])
def test_what_vllm_cannot_do_is_said(gateway: Gateway, path: str) -> None:
    for prefix in ("/", "/v1/"):
        assert _error(gateway.post(prefix + path, {})) == (501, "unsupported_operation")


def test_the_servers_controls_are_not_there(gateway: Gateway) -> None:
    assert _error(gateway.post("/v1/load_lora_adapter", {})) == (404, "not_found_error")
    assert gateway.call("GET", "/version").status == 404


def test_without_a_right_key_there_is_nothing(gateway: Gateway) -> None:
    for target in ("/v1/models", "/v1/chat/completions", "/v1/images/generations"):
        assert gateway.call("GET", target, key="sk-of-nobody-0123456789").status == 401


# --- Rerank -------------------------------------------------------------------------------------------------

RESULTS = {
    "id": "score-1",
    "results": [{"index": place, "relevance_score": place / 10} for place in (0, 2, 1)],
    "usage": {"total_tokens": 9, "prompt_tokens": 9},
}


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v2/rerank"])
def test_rerank_takes_documents_in_any_shape(gateway: Gateway, upstream: Upstream, path: str) -> None:
    upstream.on("POST /v1/rerank", answers.json(200, RESULTS))
    documents = ["a", {"text": "b", "id": 7}, "c"]
    call = {"model": "org/nice", "query": "q", "documents": documents, "params": {"return_documents": True, "top_n": 3}}
    response = gateway.post(path, call)
    assert _sent(upstream) == {"model": "tiny-chat", "query": "q", "documents": ["a", "b", "c"], "top_n": 3}
    told = response.json()["results"]
    assert [row["index"] for row in told] == [2, 1, 0]
    assert [row["document"] for row in told] == [{"text": "c"}, {"text": "b", "id": 7}, {"text": "a"}]
    assert gateway.row(response)["prompt_tokens"] == 9


@pytest.mark.parametrize("status", [404, 405, 501])
def test_rerank_falls_back_to_the_path_without_v1(gateway: Gateway, upstream: Upstream, status: int) -> None:
    upstream.on("POST /v1/rerank", answers.json(status, {"detail": "Not Found"}))
    upstream.on("POST /rerank", answers.json(200, RESULTS))
    response = gateway.post("/v1/rerank", {"model": "tiny-chat", "query": "q", "documents": ["a", "b", "c"]})
    assert [row["index"] for row in response.json()["results"]] == [2, 1, 0]
    assert "document" not in response.json()["results"][0]
    row = gateway.row(response)
    assert (row["outcome"], row["attempts"]) == ("completed", 1)  # one upstream was asked


def test_a_server_without_rerank_is_told_in_its_own_words(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("*", answers.body(b"<p>No.</p>", status=404, headers=[("content-type", "text/html")]))
    upstream.on(
        "POST /v1/rerank", answers.body(b"<p>Not here.</p>", status=404, headers=[("content-type", "text/html")])
    )
    response = gateway.post("/v1/rerank", {"model": "tiny-chat", "query": "q", "documents": ["a"]})
    assert (response.status, response.header("content-type"), response.body) == (404, "text/html", b"<p>Not here.</p>")
    assert gateway.row(response)["attempts"] == 1


def test_rerank_tells_what_is_wrong(gateway: Gateway, upstream: Upstream) -> None:
    response = gateway.post("/v1/rerank", {"model": "tiny-chat", "query": "q", "documents": [" "]})
    assert _error(response) == (400, "invalid_request_error")
    assert upstream.calls == []
    upstream.on("POST /v1/rerank", answers.json(200, {"results": [{"index": 5}]}))
    nonsense = gateway.post("/v1/rerank", {"model": "tiny-chat", "query": "q", "documents": ["a"]})
    assert _error(nonsense) == (502, "upstream_error")


def test_rerank_stays_verbatim_on_vllm(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("POST /v1/rerank", answers.json(200, RESULTS))
    response = gateway.post("/vllm/v1/rerank", {"model": "tiny-chat", "documents": [{"text": "a"}]})
    assert response.json() == RESULTS
    assert _sent(upstream)["documents"] == [{"text": "a"}]


# --- Errors with status 200 ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"message": "m", "type": "NotFoundError", "code": 404}}, 404),
        ({"object": "error", "message": "m", "code": 400}, 400),
        ({"error": "text"}, 502),
        ({"detail": "Not Found"}, 502),
    ],
)
def test_an_error_behind_a_200_is_one(gateway: Gateway, upstream: Upstream, body: Any, status: int) -> None:
    upstream.on("POST /v1/chat/completions", answers.json(200, body))
    response = gateway.post("/v1/chat/completions", {"model": "tiny-chat"})
    assert response.status == status
    assert response.json()["error"]["code"] == str(status)
    outcome = "upstream_failed" if status >= 500 else "completed"
    assert (gateway.row(response)["status"], gateway.row(response)["outcome"]) == (status, outcome)
    verbatim = gateway.post("/vllm/v1/chat/completions", {"model": "tiny-chat"})
    assert (verbatim.status, verbatim.json()) == (200, body)


def test_a_large_answer_that_begins_like_an_error_passes(gateway: Gateway, upstream: Upstream) -> None:
    body = json.dumps({"object": "e" * 100_000, "data": 1}).encode()
    upstream.on("POST /v1/embeddings", answers.body(body, headers=[("content-type", "application/json")]))
    response = gateway.post("/v1/embeddings", {"model": "tiny-chat"})
    assert (response.status, response.body) == (200, body)


def test_a_stream_passes_as_it_came(gateway: Gateway, upstream: Upstream) -> None:
    events = [b": a comment\r\n\r\n", *vllm.chat_events(include_usage=True)]
    upstream.on("POST /v1/chat/completions", answers.stream(events))
    asked = {"model": "org/nice", "messages": [], "stream": True, "stream_options": {"include_usage": True}}
    response = gateway.post("/v1/chat/completions", asked)
    assert (response.status, response.body) == (200, b"".join(events))
    assert gateway.row(response)["usage_source"] == "reported"
