"""What vLLM is told, and what is said of its answers."""

import json
from collections.abc import Iterator

import pytest

from tests.support import answers, vllm
from tests.support.ports import unused_port
from tests.support.upstream import Upstream as Server
from upstreams.control import COMMANDS, run, wrong_with

pytestmark = pytest.mark.sockets
NO_ROUTE = answers.json(404, {"detail": "Not Found"})


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def test_it_works(server: Server) -> None:
    server.on("POST /sleep", answers.body(b""))
    outcome = run(COMMANDS["sleep"], server.url, "key-1")
    assert (outcome.ok, outcome.text.startswith("Put to sleep, in 0.")) == (True, True)
    request = server.requests[0]
    assert (request.target, request.header("authorization"), request.body) == ("/sleep?level=1", "Bearer key-1", b"")


def test_an_adapter_is_named_to_the_server_and_to_the_admin(server: Server) -> None:
    server.on("POST /v1/load_lora_adapter", answers.body(b"Success"))
    outcome = run(COMMANDS["load_lora"], server.url, "", {"lora_name": "mine", "lora_path": "/lora", "else": "no"})
    assert outcome.text.startswith("LoRA adapter loaded “mine”")
    assert json.loads(server.requests[0].body) == {"lora_name": "mine", "lora_path": "/lora"}


@pytest.mark.parametrize("name", ["sleep", "wake_up", "reset_prefix_cache"])
def test_without_dev_mode_the_remedy_is_told(server: Server, name: str) -> None:
    outcome = run(COMMANDS[name], server.url, "")
    assert (outcome.ok, "VLLM_SERVER_DEV_MODE=1" in outcome.text) == (False, True)


def test_without_adapters_at_run_time_the_remedy_is_told(server: Server) -> None:
    server.on("POST /v1/unload_lora_adapter", NO_ROUTE)
    outcome = run(COMMANDS["unload_lora"], server.url, "", {"lora_name": "mine"})
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1" in outcome.text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (vllm.error(404, "The lora adapter 'x' cannot be found.", "NotFoundError"), "The lora adapter 'x' cannot"),
        (vllm.error(400, "already\nbeen loaded"), "already been loaded"),
        (vllm.unauthorized(), "does not accept the stored credential"),
        (answers.body(b"oops", status=500), "answers 500"),
    ],
)
def test_a_refusal_is_told_in_the_servers_own_words(server: Server, answer: object, words: str) -> None:
    server.on("POST /v1/unload_lora_adapter", answer)
    outcome = run(COMMANDS["unload_lora"], server.url, "", {"lora_name": "x"})
    assert (outcome.ok, words in outcome.text) == (False, True)


def test_words_of_a_server_that_are_too_many_are_cut(server: Server) -> None:
    server.on("POST /wake_up", vllm.error(400, "x" * 5000))
    assert len(run(COMMANDS["wake_up"], server.url, "").text) < 400


def test_a_server_that_does_not_answer_may_still_be_at_it(server: Server) -> None:
    server.on("POST /sleep", answers.silence())
    outcome = run(COMMANDS["sleep"], server.url, "", timeout=0.2)
    assert "may still be at it" in outcome.text
    assert len(server.requests) == 1


def test_a_server_that_is_away_is_told_in_words() -> None:
    outcome = run(COMMANDS["sleep"], f"http://127.0.0.1:{unused_port()}", "")
    assert "The connection is refused" in outcome.text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"lora_name": "", "lora_path": "/x"}, "Enter the adapter's name."),
        ({"lora_name": "x"}, "Enter the adapter's path."),
        ({"lora_name": "a b", "lora_path": "/x"}, "The adapter's name may only have letters"),
        ({"lora_name": "x", "lora_path": "y" * 201}, "at most 200"),
        ({"lora_name": "org/mine:1", "lora_path": "/lora/mine"}, ""),
    ],
)
def test_what_is_entered_for_an_adapter_is_judged(given: dict[str, str], words: str) -> None:
    assert words in wrong_with(COMMANDS["load_lora"], given)
    assert bool(words) == bool(wrong_with(COMMANDS["load_lora"], given))
