"""The examples of the pages that people come from, as printed: the stray comma removed, key and model filled in."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import Gateway
from tests.support.patience import wait_for
from tests.vllm.conftest import Site

pytestmark = pytest.mark.vllm

METRICS_BY_MASTER_KEY = r"""
curl -L -X GET 'http://0.0.0.0:4000/vllm/metrics' \
-H 'Content-Type: application/json' \
-H 'Authorization: Bearer sk-1234' \
"""
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
MODEL_LIST = """
model_list:
  - model_name: "my-vllm-model"
    litellm_params:
      model: hosted_vllm/vllm-1.72
      api_base: https://my-vllm-server.com
"""
GENERATE = r"""
curl -X POST 'http://0.0.0.0:4000/key/generate' \
-H 'Authorization: Bearer sk-1234' \
-H 'Content-Type: application/json' \
-d '{}'
"""
CHAT_WITH_THE_NEW_KEY = r"""
curl -L -X POST 'http://0.0.0.0:4000/vllm/chat/completions' \
-H 'Content-Type: application/json' \
-H 'Authorization: Bearer sk-1234ewknldferwedojwojw' \
  --data '{
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
MODELS = r"""
curl http://localhost:8000/v1/models
"""
CHAT_BY_PROVIDER = r"""
curl -X POST http://localhost:8080/v1/chat/completions \
  -H "Content-Type: application/json" \
  -d '{
    "model": "vllm/meta-llama/Llama-3.2-1B-Instruct",
    "messages": [{"role": "user", "content": "Hello"}]
  }'
"""
RERANK = r"""
curl -X POST http://localhost:8080/v1/rerank \
  -H "Content-Type: application/json" \
  -d '{
    "model": "vllm/BAAI/bge-reranker-v2-m3",
    "query": "What is machine learning?",
    "documents": [
      {"text": "Machine learning is a subset of AI."},
      {"text": "Python is a programming language."},
      {"text": "Deep learning uses neural networks."}
    ],
    "params": {
      "return_documents": true
    }
  }'
"""
_ADDRESSES = r"http://(0\.0\.0\.0:4000|localhost:80[08]0)"
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
        wait_for(lambda: site.server.model in run(MODELS, gateway))
        yield gateway


@pytest.fixture
def fits(site: Site) -> None:
    """The chat example wants 2,048 tokens behind its prompt."""
    if site.server.call("GET", "/v1/models").json()["data"][0]["max_model_len"] < 2200:
        pytest.skip("start this server with --max-model-len 4096")


on_chat = pytest.mark.parametrize("site", ["chat"], indirect=True)
on_rerank = pytest.mark.parametrize("site", ["rerank"], indirect=True)


@on_chat
@pytest.mark.parametrize("command", [METRICS, METRICS_BY_MASTER_KEY])
def test_metrics(site: Site, command: str) -> None:
    key = site.secret if command is METRICS else site.gateway.master_key
    assert "vllm:num_requests_running{" in run(command, site.gateway, key=key)


@on_chat
@pytest.mark.usefixtures("fits")
@pytest.mark.parametrize("command", [CHAT, CHAT_WITH_THE_NEW_KEY])
def test_chat_with_a_key_that_was_just_generated(site: Site, command: str) -> None:
    key = json.loads(run(GENERATE, site.gateway, key=site.gateway.master_key))["key"]
    answer = json.loads(run(command, site.gateway, key=key, model="tiny-chat"))
    assert answer["usage"]["completion_tokens"] > 0


@on_chat
def test_a_gateway_of_that_environment_alone(site: Site) -> None:
    weak = {"GATEWAY_MASTER_KEY": None, "LITELLM_MASTER_KEY": "sk-1234", "GATEWAY_ALLOW_WEAK_MASTER_KEY": "true"}
    with Gateway(database="", HOSTED_VLLM_API_BASE=site.server.url, **weak) as gateway:
        key = json.loads(run(GENERATE, gateway, key="sk-1234"))["key"]
        command = CHAT_WITH_THE_NEW_KEY.replace("2048", "8")
        assert json.loads(run(command, gateway, key=key, model="tiny-chat"))["object"] == "chat.completion"


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


@on_chat
def test_a_model_with_the_name_of_its_provider_before_it(keyless: Gateway) -> None:
    answer = json.loads(run(CHAT_BY_PROVIDER, keyless, model="vllm/tiny-chat"))
    assert answer["model"] == "tiny-chat"
    assert [model["id"] for model in json.loads(run(MODELS, keyless))["data"]] == ["tiny-chat"]


@on_rerank
def test_score_by_a_list_of_models(site: Site, tmp_path: Path) -> None:
    listed = MODEL_LIST.replace("vllm-1.72", "tiny-rerank").replace("https://my-vllm-server.com", site.server.url)
    (config := tmp_path / "config.yaml").write_text(listed)
    with Gateway(planes=("--config", str(config)), GATEWAY_REQUIRE_KEYS="false") as gateway:
        assert json.loads(run(SCORE, gateway, model="my-vllm-model"))["data"][0]["object"] == "score"


@on_rerank
def test_score_without_a_key_in_the_quick_start(keyless: Gateway) -> None:
    assert json.loads(run(SCORE, keyless, model="tiny-rerank"))["data"][0]["object"] == "score"


@on_rerank
def test_score_with_a_key(site: Site) -> None:
    options = f"-H 'x-litellm-api-key: {site.secret}'"
    answer = json.loads(run(SCORE, site.gateway, model="tiny-rerank", options=options))
    assert 0 <= answer["data"][0]["score"] <= 1


@on_rerank
def test_rerank(site: Site, keyless: Gateway) -> None:
    results = json.loads(run(RERANK, keyless, model="vllm/tiny-rerank"))["results"]
    assert {result["index"]: result["document"]["text"] for result in results}[2].startswith("Deep learning")


@on_rerank
def test_rerank_below_the_gateways_prefix(site: Site) -> None:
    """As vLLM takes it: documents that are texts."""
    command = re.sub(r'\{"text": ("[^"]+")\}', r"\1", RERANK.replace("8080/", "8080/vllm/"))
    options = f"-H 'Authorization: Bearer {site.secret}'"
    assert len(json.loads(run(command, site.gateway, model="tiny-rerank", options=options))["results"]) == 3


@pytest.mark.filterwarnings("ignore")  # of the library
@on_chat
def test_litellm_s_library_as_vllm_s_documentation_calls_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    response = litellm.completion(
        model="hosted_vllm/tiny-chat",
        messages=[{"role": "user", "content": "Hello"}],
        api_base=f"{site.gateway.url}/v1",
        api_key=site.secret,
        temperature=0.2,
        max_tokens=80,
    )
    assert response.usage.completion_tokens == 80
    assert response.choices[0].message.content


@pytest.mark.filterwarnings("ignore")  # of the library
@pytest.mark.parametrize("site", ["embed"], indirect=True)
@pytest.mark.parametrize("face", ["/v1", "/vllm/v1"])
def test_litellm_s_embedding_finds_the_gateway_in_the_environment(
    site: Site, face: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    monkeypatch.setenv("HOSTED_VLLM_API_BASE", site.gateway.url + face)
    monkeypatch.setenv("HOSTED_VLLM_API_KEY", site.secret)
    from litellm import embedding

    assert len(embedding(model="hosted_vllm/tiny-embed", input=["Hello world"]).data[0]["embedding"]) > 1
