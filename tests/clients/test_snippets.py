"""The programs that the admin shows beside a new secret, run as they are pasted."""

from __future__ import annotations

import shutil

import pytest

from gateway.admin_pages.snippets import Call, for_chat, for_embeddings, for_keys, for_models, for_ranking
from tests.clients.conftest import MODEL
from tests.support.exchange import Exchange
from tests.support.gateway import MASTER_KEY, Gateway
from tests.support.programs import python, shell
from tests.support.upstream import Upstream

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
INSTALLED = ("OpenAI", "Anthropic", "LiteLLM", "LangChain")


def texts(gateway: Gateway, key: str, made=for_chat) -> dict[str, str]:
    return {snippet.name: snippet.text for snippet in made(Call(gateway.url, key, MODEL))}


@needs_curl
def test_curl_and_what_vllm_has_beyond(gateway: Gateway, upstream: Upstream, key: str) -> None:
    said = texts(gateway, key)
    assert '"choices"' in shell(said["curl"])
    upstream.on("POST /tokenize", _tokens)
    answer = shell(said["vLLM"])
    assert '"count"' in answer
    assert "data: [DONE]" in answer


@needs_curl
@pytest.mark.parametrize("made", [for_models, for_keys])
def test_lists(gateway: Gateway, upstream: Upstream, key: str, made) -> None:
    snippets = made(gateway.url, MASTER_KEY if made is for_keys else key)
    assert snippets
    for snippet in snippets:
        assert shell(snippet.text).startswith("{")


@pytest.mark.parametrize("name", INSTALLED)
def test_a_chat_in_python(gateway: Gateway, upstream: Upstream, key: str, name: str) -> None:
    assert python(texts(gateway, key)[name]).strip()


@pytest.mark.parametrize("name", ["OpenAI", "LiteLLM", "LangChain"])
def test_embeddings_in_python(gateway: Gateway, upstream: Upstream, key: str, name: str) -> None:
    printed = python(texts(gateway, key, for_embeddings)[name])
    assert printed.splitlines()[-1].startswith("[")  # LiteLLM may print a line of its log before


def test_ranks_in_python(gateway: Gateway, upstream: Upstream, key: str) -> None:
    assert "relevance_score" in python(texts(gateway, key, for_ranking)["LiteLLM"])


def _tokens(exchange: Exchange) -> None:
    exchange.answer(200, [("content-type", "application/json")], b'{"count": 1, "max_model_len": 9, "tokens": [1]}')
