"""The tiny call of an admin."""

import json
from collections.abc import Iterator

import pytest

from tests.support import answers, vllm
from tests.support.ports import unused_port
from tests.support.upstream import Upstream as Server
from upstreams.trial import TOKENS, call

pytestmark = pytest.mark.sockets


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def test_it_works(server: Server) -> None:
    server.on("POST /v1/chat/completions", vllm.chat(words=("Hello", " you")))
    trial = call(server.url, "key-1", "tiny-chat")
    assert (trial.ok, trial.answer, trial.path, trial.status) == (True, "Hello you", "/v1/chat/completions", 200)
    assert trial.seconds > 0
    request = server.requests[0]
    assert request.header("authorization") == "Bearer key-1"
    assert (json.loads(request.body)["model"], json.loads(request.body)["max_tokens"]) == ("tiny-chat", TOKENS)


def test_thoughts_count_where_there_is_no_answer_yet(server: Server) -> None:
    message = {"content": None, "reasoning": "Let me think"}
    server.on("POST /v1/chat/completions", answers.json(200, {"choices": [{"message": message}]}))
    assert call(server.url, "", "m").answer == "Let me think"


def test_a_model_without_a_chat_template_completes_text(server: Server) -> None:
    server.on("POST /v1/chat/completions", vllm.error(400, "no chat template"))
    server.on("POST /v1/completions", vllm.completions(words=(" world",)))
    trial = call(server.url, "", "m")
    assert (trial.ok, trial.text, trial.answer) == (True, "A text completion went well.", "world")


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("/v1/embeddings", {"data": [{"embedding": [0.5, 0.25]}]}, "a vector of 2 numbers"),
        ("/v1/rerank", {"results": [{"relevance_score": 0.5}]}, "relevance 0.5"),
        ("/classify", {"data": [{"label": "good"}]}, "label good"),
    ],
)
def test_a_model_that_writes_no_text_is_called_in_its_own_way(
    server: Server, path: str, body: dict, answer: str
) -> None:
    server.on(f"POST {path}", answers.json(200, body))
    trial = call(server.url, "", "m")
    assert (trial.ok, trial.path, trial.answer) == (True, path, answer)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (vllm.error(404, "The model `m` does not exist.", "NotFoundError"), "does not know this model"),
        (vllm.error(400, "bad value"), "bad value"),
        (vllm.error(503, "full", "Service Unavailable"), "no room for more calls"),
        (vllm.error(500, "EngineCore encountered an issue."), "its own log says more"),
        (vllm.unauthorized(), "--api-key"),
    ],
)
def test_what_went_wrong_is_explained(server: Server, answer: object, words: str) -> None:
    server.on("POST /v1/chat/completions", answer)
    trial = call(server.url, "", "m")
    assert (trial.ok, words in trial.text) == (False, True)


def test_a_server_for_something_else_is_told_so(server: Server) -> None:
    assert "no endpoint for text" in call(server.url, "", "m").text


def test_a_silent_server_is_given_up(server: Server) -> None:
    server.on("POST /v1/chat/completions", answers.silence())
    assert "asleep" in call(server.url, "", "m", timeout=0.2).text


def test_a_server_that_is_away_is_told_in_words() -> None:
    assert "The connection is refused" in call(f"http://127.0.0.1:{unused_port()}", "", "m").text
