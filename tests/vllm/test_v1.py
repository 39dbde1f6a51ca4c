"""The same endpoints over `/v1`, once each, and the client libraries against real servers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.vllm.cases import CASES
from tests.vllm.comparing import Case, compare
from tests.vllm.conftest import Site

pytestmark = pytest.mark.vllm

ON_V1 = {
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/embeddings",
    "/v1/score",
    "/score",
    "/classify",
    "/pooling",
    "/tokenize",
    "/detokenize",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
}
RERANK = {
    "model": "tiny-rerank",
    "query": "q",
    "documents": ["one", {"text": "two", "id": 2}],
    "return_documents": True,
}


def _first_of_each(kind: str) -> list[Case]:
    """The first case of each endpoint that `/v1` has, plain and streamed: a call that goes well."""
    found: dict[tuple[str, bool], Case] = {}
    for case in CASES[kind]:
        streams = isinstance(case.call.body, dict) and bool(case.call.body.get("stream"))
        if case.call.method == "POST" and case.call.target in ON_V1 and not case.before:
            found.setdefault((case.call.target, streams), case)
    return list(found.values())


ALL = [pytest.param(kind, case, id=f"{kind}: {case}") for kind in CASES for case in _first_of_each(kind)]


@pytest.mark.parametrize(("site", "case"), ALL, indirect=["site"])
def test_the_answer_on_v1_is_the_servers_own(site: Site, case: Case) -> None:
    compare(site, case, prefix="")


def test_every_endpoint_of_v1_is_compared() -> None:
    assert {case.call.target for kind in CASES for case in _first_of_each(kind)} == ON_V1


@pytest.mark.parametrize("site", ["rerank"], indirect=True)
def test_rerank_has_the_scores_of_the_server_and_the_documents_of_the_caller(site: Site) -> None:
    direct = site.server.post("/v1/rerank", {**RERANK, "documents": ["one", "two"]}).json()["results"]
    for path in ("/v1/rerank", "/rerank", "/v2/rerank"):
        told = site.gateway.post(path, RERANK, key=site.secret).json()["results"]
        scores = {row["index"]: row["relevance_score"] for row in direct}
        assert {row["index"]: row["relevance_score"] for row in told} == pytest.approx(scores, abs=1e-3)
        assert {row["index"]: row["document"] for row in told} == {0: {"text": "one"}, 1: {"text": "two", "id": 2}}
        ranks = [row["relevance_score"] for row in told]
        assert ranks == sorted(ranks, reverse=True)


@pytest.mark.parametrize("site", list(CASES), indirect=True)
def test_the_server_s_models_are_listed(site: Site) -> None:
    listed = {row["id"]: row for row in site.gateway.call("GET", "/v1/models", key=site.secret).json()["data"]}
    own = site.server.call("GET", "/v1/models").json()["data"][0]
    assert listed[own["id"]]["max_model_len"] == own["max_model_len"]
    one = site.gateway.call("GET", f"/v1/models/{own['id']}", key=site.secret).json()
    assert one == listed[own["id"]]


@pytest.mark.parametrize("site", ["chat"], indirect=True)
@pytest.mark.parametrize("face", ["/v1", "/vllm/v1"])
def test_openai_s_library(site: Site, face: str) -> None:
    import openai

    messages: Any = [{"role": "user", "content": "Hello"}]
    with openai.OpenAI(base_url=site.gateway.url + face, api_key=site.secret, max_retries=0) as client:
        done = client.chat.completions.create(model="tiny-chat", messages=messages, max_tokens=8, temperature=0)
        with client.chat.completions.create(
            model="tiny-chat", messages=messages, max_tokens=8, temperature=0, stream=True
        ) as stream:
            text = "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)
        response = client.responses.create(model="tiny-chat", input="Hello", max_output_tokens=8, temperature=0)
        again = client.responses.retrieve(response.id)
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="absent", messages=messages)
    assert text == done.choices[0].message.content
    assert again.output_text == response.output_text


@pytest.mark.parametrize("site", ["tools"], indirect=True)
@pytest.mark.parametrize("face", ["", "/vllm"])
def test_anthropic_s_library(site: Site, face: str) -> None:
    import anthropic

    messages: Any = [{"role": "user", "content": "What is two plus two?"}]
    with anthropic.Anthropic(base_url=site.gateway.url + face, api_key=site.secret, max_retries=0) as client:
        options: Any = {"max_tokens": 64, "messages": messages, "extra_body": {"temperature": 0}}
        done = client.messages.create(model="tiny-tools", **options)
        with client.messages.stream(model="tiny-tools", **options) as stream:
            streamed = stream.get_final_message()
    assert [block.type for block in streamed.content] == [block.type for block in done.content]
    assert done.usage.output_tokens > 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("site", ["embed"], indirect=True)
@pytest.mark.parametrize("face", ["/v1", "/vllm/v1"])
def test_litellm_s_library(site: Site, face: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    options = {"model": "hosted_vllm/tiny-embed", "api_base": site.gateway.url + face, "api_key": site.secret}
    direct = site.server.post("/v1/embeddings", {"model": "tiny-embed", "input": ["a"]}).json()
    done = litellm.embedding(input=["a"], **options)
    assert done.data[0]["embedding"] == pytest.approx(direct["data"][0]["embedding"], abs=1e-3)
    assert done.usage.prompt_tokens == direct["usage"]["prompt_tokens"]
