"""Programs that call the gateway with a key and work as they are pasted: for the page with a new secret. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

GREETING = "Hello"
QUESTION = "What is the capital of France?"
DOCUMENTS = ["The capital of France is Paris.", "The sea is that way."]
MOST_TOKENS = 256
"""Of the answer: a first call on a model that reasons would else run for minutes."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """`name` is that of its tab; `note` says where its program comes from. `calls` are the methods and paths that its
    key has to be allowed (`POST /v1/embeddings`)."""

    name: str
    text: str
    note: str = ""
    calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """Where the gateway is (`https://llm.example.org`), with which secret, and a model that it may use."""

    address: str
    secret: str
    model: str


def for_chat(call: Call) -> list[Snippet]:
    """One for each client that people use, asking the model something; curl once at each address."""
    at = (f"POST {_CHAT}",)
    return [
        *_curls(call, _CHAT, _chat(call)),
        Snippet("OpenAI", _openai(call, _OPENAI_CHAT), "pip install openai", at),
        Snippet("Anthropic", _filled(_ANTHROPIC, call), "pip install anthropic", ("POST /v1/messages",)),
        Snippet("LiteLLM", _filled(_LITELLM, call), "pip install litellm", at),
        Snippet("LangChain", _filled(_LANGCHAIN, call), "pip install langchain-openai", at),
        Snippet("vLLM", _native(call), _BEYOND, _NATIVE),
    ]


def for_completions(call: Call) -> list[Snippet]:
    """As `for_chat`, for a key that may ask for a text to be continued, and for no chat."""
    body = {"model": call.model, "max_tokens": MOST_TOKENS, "prompt": GREETING}
    return [
        *_curls(call, _COMPLETIONS, body),
        Snippet("OpenAI", _openai(call, _OPENAI_COMPLETIONS), "pip install openai", (f"POST {_COMPLETIONS}",)),
    ]


def for_embeddings(call: Call) -> list[Snippet]:
    """As `for_chat`, for a model that makes embeddings."""
    at = (f"POST {_EMBEDDINGS}",)
    return [
        *_curls(call, _EMBEDDINGS, {"model": call.model, "input": GREETING}),
        Snippet("OpenAI", _openai(call, _OPENAI_EMBEDDINGS), "pip install openai", at),
        Snippet("LiteLLM", _filled(_LITELLM_EMBEDDINGS, call), "pip install litellm", at),
        Snippet("LangChain", _filled(_LANGCHAIN_EMBEDDINGS, call), "pip install langchain-openai", at),
    ]


def for_ranking(call: Call) -> list[Snippet]:
    """As `for_chat`, for a model that says how well texts answer a question."""
    body = {"model": call.model, "query": QUESTION, "documents": DOCUMENTS}
    score = {"model": call.model, "text_1": QUESTION, "text_2": DOCUMENTS}
    native = "\n".join(_of_environment(call, {"/rerank": body, "/score": score}))
    return [
        *_curls(call, _RERANK, body),
        Snippet("LiteLLM", _filled(_LITELLM_RERANK, call), "pip install litellm", (f"POST {_RERANK}",)),
        Snippet("vLLM", native, _BEYOND, ("POST /vllm/rerank", "POST /vllm/score")),
    ]


def for_models(address: str, secret: str) -> list[Snippet]:
    """For a key that no model is known for: what it may use, at each address."""
    paths = ("/vllm/v1/models", "/v1/models")
    return [Snippet("curl", _head(f"{address}{path}", secret), calls=(f"GET {path}",)) for path in paths]


def for_control(address: str, secret: str) -> list[Snippet]:
    """For a key that only controls servers: what there is to call, which changes nothing."""
    path = "/vllm/openapi.json"
    note = "Tells every endpoint of the server, also those that control it."
    return [Snippet("curl", _head(f"{address}{path}", secret), note, (f"GET {path}",))]


def for_keys(address: str, secret: str) -> list[Snippet]:
    """For a management key, which calls no model."""
    return [Snippet("curl", _head(f"{address}/key/list", secret))]


_CHAT, _COMPLETIONS, _EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
_RERANK = "/v1/rerank"
_BEYOND = "What vLLM has beyond OpenAI, at its own paths."
_NATIVE = ("POST /vllm/tokenize", f"POST /vllm{_CHAT}")


# --- curl --------------------------------------------------------------------------------------------------------


def _head(url: str, secret: str) -> str:
    return f"curl {shlex.quote(url)} \\\n  -H {shlex.quote(f'Authorization: Bearer {secret}')}"


def _curls(call: Call, path: str, body: dict[str, Any]) -> Iterator[Snippet]:
    """At vLLM's own address, and at the one that all models are behind: a key may be allowed one of them."""
    for target in (f"/vllm{path}", path):
        yield Snippet("curl", _curl(call, target, body), calls=(f"POST {target}",))


def _curl(call: Call, path: str, body: dict[str, Any]) -> str:
    return (
        f"{_head(call.address + path, call.secret)} \\\n  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(json.dumps(body, ensure_ascii=False))}"
    )


def _chat(call: Call) -> dict[str, Any]:
    return {"model": call.model, "max_tokens": MOST_TOKENS, "messages": [{"role": "user", "content": GREETING}]}


def _native(call: Call) -> str:
    """What people change who have called vLLM itself: its address and its key."""
    body = {**_chat(call), "top_k": 20, "stream": True}
    tokens = {"model": call.model, "prompt": GREETING}
    return "\n".join(_of_environment(call, {"/tokenize": tokens, "/v1/chat/completions": body}))


def _of_environment(call: Call, calls: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield f"export VLLM_URL={shlex.quote(f'{call.address}/vllm')}"
    yield f"export VLLM_API_KEY={shlex.quote(call.secret)}"
    for path, body in calls.items():
        yield (
            f'\ncurl -N "$VLLM_URL{path}" \\\n  -H "Authorization: Bearer $VLLM_API_KEY" \\\n'
            f"  -H 'Content-Type: application/json' \\\n  -d {shlex.quote(json.dumps(body, ensure_ascii=False))}"
        )


# --- Python ------------------------------------------------------------------------------------------------------


def _openai(call: Call, ending: str) -> str:
    return _filled(_OPENAI + ending, call)


def _filled(program: str, call: Call) -> str:
    """What JSON writes of a text Python reads as the same text: no value can end its own quotes."""
    values = {
        "ADDRESS": call.address,
        "V1": f"{call.address}/v1",
        "SECRET": call.secret,
        "MODEL": call.model,
        "HOSTED": f"hosted_vllm/{call.model}",
        "GREETING": GREETING,
        "QUESTION": QUESTION,
        "DOCUMENTS": DOCUMENTS,
        "MOST": MOST_TOKENS,
    }
    parts = program.split("@")
    return "".join(json.dumps(values[part], ensure_ascii=False) if at % 2 else part for at, part in enumerate(parts))


_OPENAI = """from openai import OpenAI

client = OpenAI(base_url=@V1@, api_key=@SECRET@)
"""

_OPENAI_CHAT = """answer = client.chat.completions.create(
    model=@MODEL@,
    max_tokens=@MOST@,
    messages=[{"role": "user", "content": @GREETING@}],
)
print(answer.choices[0].message.content)
"""

_OPENAI_COMPLETIONS = """answer = client.completions.create(model=@MODEL@, max_tokens=@MOST@, prompt=@GREETING@)
print(answer.choices[0].text)
"""

_OPENAI_EMBEDDINGS = """answer = client.embeddings.create(model=@MODEL@, input=@GREETING@)
print(answer.data[0].embedding[:5])
"""

_ANTHROPIC = """from anthropic import Anthropic

client = Anthropic(base_url=@ADDRESS@, api_key=@SECRET@)
answer = client.messages.create(
    model=@MODEL@,
    max_tokens=@MOST@,
    messages=[{"role": "user", "content": @GREETING@}],
)
print("".join(block.text for block in answer.content if block.type == "text"))
"""

_LITELLM = """import litellm

answer = litellm.completion(
    model=@HOSTED@,
    api_base=@V1@,
    api_key=@SECRET@,
    max_tokens=@MOST@,
    messages=[{"role": "user", "content": @GREETING@}],
)
print(answer.choices[0].message.content)
"""

_LITELLM_EMBEDDINGS = """import litellm

answer = litellm.embedding(
    model=@HOSTED@,
    api_base=@V1@,
    api_key=@SECRET@,
    input=[@GREETING@],
)
print(answer.data[0]["embedding"][:5])
"""

_LITELLM_RERANK = """import litellm

answer = litellm.rerank(
    model=@HOSTED@,
    api_base=@V1@,
    api_key=@SECRET@,
    query=@QUESTION@,
    documents=@DOCUMENTS@,
)
print(answer.results)
"""

_LANGCHAIN = """from langchain_openai import ChatOpenAI

model = ChatOpenAI(model=@MODEL@, base_url=@V1@, api_key=@SECRET@, max_tokens=@MOST@)
print(model.invoke(@GREETING@).content)
"""

_LANGCHAIN_EMBEDDINGS = """from langchain_openai import OpenAIEmbeddings

model = OpenAIEmbeddings(
    model=@MODEL@,
    base_url=@V1@,
    api_key=@SECRET@,
    check_embedding_ctx_length=False,
)
print(model.embed_query(@GREETING@)[:5])
"""
