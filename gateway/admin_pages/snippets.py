"""Programs that call the gateway with a key and work as they are pasted: for the page with a new secret. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

GREETING = "Hello"
MOST_TOKENS = 256
"""Of the answer: a first call on a model that reasons would else run for minutes."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """`name` is that of its tab; `note` says where its program comes from."""

    name: str
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """Where the gateway is (`https://llm.example.org`), with which secret, and a model that it may use."""

    address: str
    secret: str
    model: str


def for_chat(call: Call) -> list[Snippet]:
    """One for each client that people use, asking the model something."""
    return [
        Snippet("curl", _curl(call, "/vllm/v1/chat/completions", _chat(call))),
        Snippet("OpenAI", _openai(call, _OPENAI_CHAT), "pip install openai"),
        Snippet("Anthropic", _filled(_ANTHROPIC, call), "pip install anthropic"),
        Snippet("LiteLLM", _filled(_LITELLM, call), "pip install litellm"),
        Snippet("LangChain", _filled(_LANGCHAIN, call), "pip install langchain-openai"),
        Snippet("vLLM", _native(call), "What vLLM has beyond OpenAI, at its own paths."),
    ]


def for_embeddings(call: Call) -> list[Snippet]:
    """As `for_chat`, for a model that makes embeddings."""
    return [
        Snippet("curl", _curl(call, "/vllm/v1/embeddings", {"model": call.model, "input": GREETING})),
        Snippet("OpenAI", _openai(call, _OPENAI_EMBEDDINGS), "pip install openai"),
        Snippet("LiteLLM", _filled(_LITELLM_EMBEDDINGS, call), "pip install litellm"),
        Snippet("LangChain", _filled(_LANGCHAIN_EMBEDDINGS, call), "pip install langchain-openai"),
    ]


def for_models(address: str, secret: str) -> list[Snippet]:
    """For a key that no model is known for: what it may use."""
    return [Snippet("curl", _head(f"{address}/vllm/v1/models", secret))]


def for_keys(address: str, secret: str) -> list[Snippet]:
    """For a management key, which calls no model."""
    return [Snippet("curl", _head(f"{address}/key/list", secret))]


# --- curl --------------------------------------------------------------------------------------------------------


def _head(url: str, secret: str) -> str:
    return f"curl {shlex.quote(url)} \\\n  -H {shlex.quote(f'Authorization: Bearer {secret}')}"


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
