"""The examples of the pages that people come from, as printed: the stray comma removed, key and model filled in."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.gateway import Gateway
from tests.vllm.conftest import Site

pytestmark = pytest.mark.vllm

METRICS = r"""
curl -L -X GET 'http://0.0.0.0:4000/vllm/metrics' \
-H 'Content-Type: application/json' \
-H 'Authorization: Bearer $LITELLM_VIRTUAL_KEY' \
"""
CHAT = r"""
curl -L -X POST 'http://0.0.0.0:4000/vllm/chat/completions' \
-H 'Content-Type: application/json' \
-H 'Authorization: Bearer $LITELLM_VIRTUAL_KEY' \
-d '{
    "messages": [
        {
            "role": "user",
            "content": "I am going to Paris, what should I see?"
        }
    ],
    "max_tokens": 2048,
    "temperature": 0.8,
    "top_p": 0.1,
    "model": "qwen2.5-7b-instruct",
}'
"""
SCORE = r"""
curl -X 'POST' \
  'http://0.0.0.0:4000/vllm/score' \
  -H 'accept: application/json' \
  -H 'Content-Type: application/json' \
  -d '{
  "model": "my-vllm-model",
  "encoding_format": "float",
  "text_1": "What is the capital of France?",
  "text_2": "The capital of France is Paris."
}'
"""
GENERATE = r"""
curl -X POST 'http://0.0.0.0:4000/key/generate' \
-H 'Authorization: Bearer sk-1234' \
-H 'Content-Type: application/json' \
-d '{}'
"""
RERANK = r"""
curl -X POST http://localhost:8080/v1/rerank \
  -H "Content-Type: application/json" \
  -d '{
    "model": "vllm/BAAI/bge-reranker-v2-m3",
    "query": "What is machine learning?",
    "documents": ["Machine learning is a subset of AI.", "Python is a programming language."]
  }'
"""
_ADDRESSES = r"http://(0\.0\.0\.0:4000|localhost:8080)"
_KEYS = r"\$LITELLM_VIRTUAL_KEY|sk-1234\w*"


def run(command: str, gateway: Gateway, *, key: str = "", model: str = "", options: str = "") -> str:
    """Runs an example in a shell, with what the reader has to fill in."""
    command = re.sub(_ADDRESSES, gateway.url, command)
    command = re.sub(_KEYS, key, command).replace(",\n}", "\n}")
    command = re.sub(r'"model": "[^"]+"', f'"model": "{model}"', command)
    command = command.replace("curl ", f"curl -sS --fail-with-body -m 60 {options} ", 1)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def keyless(site: Site) -> Iterator[Gateway]:
    """A gateway as in the quick start: no key is asked for."""
    with Gateway(HOSTED_VLLM_API_BASE=site.server.url, GATEWAY_REQUIRE_KEYS="false") as gateway:
        yield gateway


@pytest.fixture
def fits(site: Site) -> None:
    """The chat example wants 2,048 tokens behind its prompt."""
    if site.server.call("GET", "/v1/models").json()["data"][0]["max_model_len"] < 2200:
        pytest.skip("start this server with --max-model-len 4096")


on_chat = pytest.mark.parametrize("site", ["chat"], indirect=True)
on_rerank = pytest.mark.parametrize("site", ["rerank"], indirect=True)


@on_chat
def test_metrics(site: Site) -> None:
    assert "vllm:num_requests_running{" in run(METRICS, site.gateway, key=site.secret)


@on_chat
@pytest.mark.usefixtures("fits")
def test_chat_with_a_key_that_was_just_generated(site: Site) -> None:
    key = json.loads(run(GENERATE, site.gateway, key=site.gateway.master_key))["key"]
    answer = json.loads(run(CHAT, site.gateway, key=key, model="tiny-chat"))
    assert answer["usage"]["completion_tokens"] > 0


@on_chat
@pytest.mark.usefixtures("fits")
def test_chat_streamed(site: Site) -> None:
    command = CHAT.replace('"max_tokens": 2048', '"stream": true, "max_tokens": 20')
    events = run(command, site.gateway, key=site.secret, model="tiny-chat", options="-N").split("\n\n")
    assert len(events) > 10
    assert events[-2:] == ["data: [DONE]", ""]


@on_chat
@pytest.mark.usefixtures("fits")
def test_anything_is_a_key_in_the_quick_start(keyless: Gateway) -> None:
    assert json.loads(run(CHAT, keyless, key="anything", model="tiny-chat"))["object"] == "chat.completion"


@on_rerank
def test_score_without_a_key_in_the_quick_start(keyless: Gateway) -> None:
    assert json.loads(run(SCORE, keyless, model="tiny-rerank"))["data"][0]["object"] == "score"


@on_rerank
def test_score_with_a_key(site: Site) -> None:
    options = f"-H 'x-litellm-api-key: {site.secret}'"
    answer = json.loads(run(SCORE, site.gateway, model="tiny-rerank", options=options))
    assert 0 <= answer["data"][0]["score"] <= 1


@on_rerank
def test_rerank_below_the_gateways_prefix(site: Site) -> None:
    command = RERANK.replace("8080/", "8080/vllm/")
    options = f"-H 'Authorization: Bearer {site.secret}'"
    assert len(json.loads(run(command, site.gateway, model="tiny-rerank", options=options))["results"]) == 2
