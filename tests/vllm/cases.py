"""What is compared, by kind of server: every route of the catalogue, its streams, its errors, its odd methods."""

from __future__ import annotations

import io
import math
import struct
import wave
from collections.abc import Mapping, Sequence
from typing import Any

from tests.vllm.comparing import Call, Case, Headers

Json = dict[str, Any]
HELLO: list[Json] = [{"role": "user", "content": "Hello there"}]
JSON: Headers = (("content-type", "application/json"),)
TOO_LONG = "word " * 6000


def get(name: str, target: str, *before: Call, headers: Headers = ()) -> Case:
    return Case(name, Call("GET", target, headers=headers), before)


def post(
    name: str, target: str, body: Any = None, *before: Call, headers: Headers = (), after: Sequence[Call] = ()
) -> Case:
    return Case(name, Call("POST", target, body, headers), before, tuple(after))


def other(name: str, method: str, target: str, body: Any = None, *before: Call, headers: Headers = ()) -> Case:
    return Case(name, Call(method, target, body, headers), before)


def _post(target: str, body: Any = None) -> Call:
    return Call("POST", target, body)


PAUSE, RESUME = _post("/pause?mode=keep"), _post("/resume")

# --- Every server ------------------------------------------------------------------------------------------------


def everywhere(model: str) -> list[Case]:
    """Cases for a server of any kind."""
    return [
        get("models", "/v1/models"),
        get("models by the short path of the well known", "/v1/models?unused=%2f|%zz&unused="),
        get("one model, which has no route", f"/v1/models/{model}"),
        get("models with a trailing slash", "/v1/models/"),
        get("redirect keeps the query", "/v1/models/?a=1&a=2"),
        other("models by POST", "POST", "/v1/models"),
        other("models by DELETE", "DELETE", "/v1/models"),
        other("models by PUT", "PUT", "/v1/models", {"x": 1}),
        other("models by PATCH", "PATCH", "/v1/models", {"x": 1}),
        other("models by HEAD", "HEAD", "/v1/models"),
        other("models by OPTIONS", "OPTIONS", "/v1/models"),
        other("preflight", "OPTIONS", "/v1/models", headers=_PREFLIGHT),
        get("models from another origin", "/v1/models", headers=(("origin", "http://elsewhere.example"),)),
        get("models for a client that likes gzip", "/v1/models", headers=(("accept-encoding", "gzip, br"),)),
        get("health", "/health"),
        other("health by HEAD", "HEAD", "/health"),
        post("health by POST", "/health"),
        get("ping", "/ping"),
        post("ping by POST", "/ping"),
        get("version", "/version"),
        get("metrics", "/metrics"),
        get("metrics with a slash", "/metrics/"),
        get("metrics by name", "/metrics?name[]=vllm:num_requests_running"),
        get("load", "/load"),
        get("kv_event_sources", "/kv_event_sources"),
        get("openapi", "/openapi.json"),
        other("openapi by HEAD", "HEAD", "/openapi.json"),
        get("docs", "/docs"),
        other("docs by HEAD", "HEAD", "/docs"),
        get("docs redirect page", "/docs/oauth2-redirect"),
        other("docs redirect page by HEAD", "HEAD", "/docs/oauth2-redirect"),
        get("redoc", "/redoc"),
        other("redoc by HEAD", "HEAD", "/redoc"),
        get("root", "/"),
        get("unknown path", "/v1/nope"),
        post("unknown path by POST", "/v1/nope", {"x": 1}),
        post("unknown path outside v1", "/nope/at/all", b"\x00\xff", headers=(("content-type", "image/png"),)),
        get("path in capitals", "/V1/MODELS"),
        get("encoded path", "/v1/%6dodels"),
        post("tokenize", "/tokenize", {"model": model, "prompt": "Hello there"}),
        post("tokenize without a model", "/tokenize", {"prompt": "Hello there", "return_token_strs": True}),
        post("tokenize with an unknown model", "/tokenize", {"model": "nope", "prompt": "Hello"}),
        post("tokenize nothing", "/tokenize", {"model": model}),
        post("detokenize", "/detokenize", {"model": model, "tokens": [40, 41, 42]}),
        post("detokenize nonsense", "/detokenize", {"model": model, "tokens": "x"}),
        post("invocations with nonsense", "/invocations", {"x": 1}),
        post("invocations with bad JSON", "/invocations", b"{", headers=JSON),
        post("systemone", "/v1/systemone", {"model": model}),
        post("systemone in full", "/v1/systemone", {"model": model, "state": "x", "questions": ["y"]}),
        get("tokenizer_info", "/tokenizer_info"),
        post("fault tolerance", "/fault_tolerance/apply", {"instruction": "nothing"}),
        get("fault tolerance status", "/fault_tolerance/status"),
        get("realtime without an upgrade", "/v1/realtime"),
        # Dev mode
        get("server_info", "/server_info?config_format=json"),
        get("is_sleeping", "/is_sleeping"),
        post("sleep", "/sleep?level=1", after=[_post("/wake_up")]),
        post("wake_up", "/wake_up", None, _post("/sleep?level=1")),
        Case("is_paused", Call("GET", "/is_paused"), (PAUSE,), (RESUME,)),
        post("pause", "/pause?mode=abort", after=[RESUME]),
        post("resume", "/resume", None, PAUSE),
        get("get_world_size", "/get_world_size"),
        get("weight_info", "/weight_info"),
        post("release_kv_cache_memory", "/release_kv_cache_memory"),
        post("reset_prefix_cache", "/reset_prefix_cache"),
        post("reset_mm_cache", "/reset_mm_cache"),
        post("reset_encoder_cache", "/reset_encoder_cache"),
        post("collective_rpc", "/collective_rpc", {"method": "check_health"}),
        post("collective_rpc without a method", "/collective_rpc", {}),
        post("abort_requests", "/abort_requests", {"request_ids": ["nobody's"]}),
        post("init_weight_transfer_engine", "/init_weight_transfer_engine", {}),
        post("shutdown_weight_transfer_engine", "/shutdown_weight_transfer_engine"),
        post("start_weight_update", "/start_weight_update", {}),
        post("start_draft_weight_update", "/start_draft_weight_update", {}),
        post("update_weights", "/update_weights", {}),
        post("finish_weight_update", "/finish_weight_update"),
        post("update_weight_version", "/update_weight_version", {"new_version": "default"}),
        post("weight_checker", "/weight_checker", {"action": "nothing"}),
    ]


_PREFLIGHT: Headers = (
    ("origin", "http://elsewhere.example"),
    ("access-control-request-method", "POST"),
    ("access-control-request-headers", "authorization"),
)

# --- Generative servers ------------------------------------------------------------------------------------------

_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Paris", "London"]}, "unit": {"type": "string", "enum": ["C"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
TOOLS: list[Json] = [
    {"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": _SCHEMA}}
]
TIME: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def chat(model: str = "tiny-chat", tokens: int = 12, **fields: Any) -> Json:
    """The body of a chat completion."""
    return {"model": model, "messages": HELLO, "max_tokens": tokens, "temperature": 0, **fields}


def completion(model: str = "tiny-chat", tokens: int = 12, **fields: Any) -> Json:
    """The body of a text completion."""
    return {"model": model, "prompt": "Once upon a time", "max_tokens": tokens, "temperature": 0, **fields}


def response(model: str = "tiny-chat", tokens: int = 12, **fields: Any) -> Json:
    """The body of a response."""
    return {"model": model, "input": "Hello there", "max_output_tokens": tokens, "temperature": 0, **fields}


def messages(model: str = "tiny-chat", tokens: int = 12, **fields: Any) -> Json:
    """The body of an Anthropic message."""
    return chat(model, tokens, **fields)


def generate(**fields: Any) -> Json:
    """Token ids in, token ids out."""
    sampling = {"max_tokens": 6, "temperature": 0}
    return {"model": "tiny-chat", "token_ids": [810, 834], "sampling_params": sampling, **fields}


BATCH: Json = chat(messages=[HELLO, [{"role": "user", "content": "Bye"}]], max_tokens=4)
SCORING: Json = {"model": "tiny-chat", "query": "Is it?", "items": ["yes", "no"], "label_token_ids": [810, 834]}
COHERE: Json = {"model": "tiny-chat", "messages": HELLO, "max_tokens": 6, "temperature": 0}
STREAM: Json = {"stream": True}
USAGE: Json = {"stream": True, "stream_options": {"include_usage": True}}
CONTINUOUS: Json = {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
SEVERAL: Json = {"n": 2, "temperature": 0.7, "seed": 7, "max_tokens": 3}
APART: Json = {"n": 2, "temperature": 0.9, "seed": 7, "stop": ["e"]}
_CHAT, _COMPLETIONS = "/v1/chat/completions", "/v1/completions"
_RESPONSES, _MESSAGES = "/v1/responses", "/v1/messages"
_STORED = _post(_RESPONSES, response())
_STREAMED = _post(_RESPONSES, response(background=True, stream=True))
_IN_BACKGROUND = _post(_RESPONSES, response(tokens=400, background=True))
_ANTHROPIC: Headers = (("anthropic-version", "2023-06-01"),)
_LORA = {"lora_name": "tiny-lora", "lora_path": "$models/lora"}
_LOAD, _UNLOAD = _post("/v1/load_lora_adapter", _LORA), _post("/v1/unload_lora_adapter", {"lora_name": "tiny-lora"})


def _chat_cases() -> list[Case]:
    def case(name: str, headers: Headers = (), **fields: Any) -> Case:
        return post(f"chat {name}", _CHAT, chat(**fields), headers=headers)

    return [
        case("plain"),
        case("without a model", model=None),
        case("with an unknown field", nonsense={"a": [1, None]}),
        case("stream", **STREAM),
        case("stream with usage", **USAGE),
        case("stream with running usage", **CONTINUOUS),
        case("stream without usage, said so", stream=True, stream_options={"include_usage": False}),
        case("stream with options that are null", stream=True, stream_options=None),
        case("stream with running usage only", stream=True, stream_options={"continuous_usage_stats": True}),
        case("stream of one token", tokens=1, **STREAM),
        case("long stream", tokens=300, **STREAM),
        case("several choices", **SEVERAL),
        case("stream of several choices", **SEVERAL, **STREAM),
        case("stream of choices that end apart", **APART, **STREAM),
        case("stream of choices that end apart, with usage", **APART, **USAGE),
        case("stream of several choices with usage", **SEVERAL, **USAGE),
        case("stop word in a stream", stop=["mode"], **STREAM),
        case("log probabilities", logprobs=True, top_logprobs=2, tokens=3),
        case("log probabilities in a stream", logprobs=True, top_logprobs=2, tokens=3, **STREAM),
        case("token ids in a stream", return_token_ids=True, **STREAM),
        case("named tool", tools=TOOLS, tool_choice={"type": "function", "function": {"name": "get_weather"}}),
        case("required tool in a stream", tokens=60, tools=TOOLS, tool_choice="required", **STREAM),
        case("JSON object in a stream", tokens=40, response_format={"type": "json_object"}, **STREAM),
        case("load in a header", (("endpoint-load-metrics-format", "json"),)),
        case("load in a header of a stream", (("endpoint-load-metrics-format", "text"),), **STREAM),
        case("priority, session, trace", _SESSION),
        case("rank that does not exist", (("x-data-parallel-rank", "7"),)),
        case("with a charset", (("content-type", "application/json; charset=utf-8"),)),
        case("unknown model", model="nope"),
        case("unknown model in a stream", model="nope", **STREAM),
        case("no messages", messages=[]),
        case("temperature as text", temperature="hot"),
        case("no choice", n=0),
        case("too many tokens wanted", tokens=100_000),
        case("bad regular expression", structured_outputs={"regex": "("}),
        case("too long a prompt", messages=[{"role": "user", "content": TOO_LONG}]),
        case("too long a prompt in a stream", messages=[{"role": "user", "content": TOO_LONG}], **STREAM),
        case("a prompt of two megabytes", messages=[{"role": "user", "content": "word " * 400_000}]),
        case("stream options without a stream", stream_options={"include_usage": True}),
        post("chat with bad JSON", _CHAT, b'{"model": "tiny-chat", "messages": [', headers=JSON),
        post("chat with an array", _CHAT, b"[1, 2]", headers=JSON),
        post("chat with nothing", _CHAT, b"", headers=JSON),
        post("chat with bytes", _CHAT, b"\x1f\x8b\x08\x00\xff", headers=JSON),
        post("chat in another type", _CHAT, b'{"model": "tiny-chat"}', headers=(("content-type", "text/plain"),)),
        post("chat without a type", _CHAT, b'{"model": "tiny-chat"}'),
        post("chat in chunks", _CHAT, [b'{"model": "tiny-chat", "max_', b'tokens": 3, "messages": []}'], headers=JSON),
        other("chat by GET", "GET", _CHAT),
        other("chat by PUT", "PUT", _CHAT, chat()),
        other("chat by HEAD", "HEAD", _CHAT),
        other("chat by OPTIONS", "OPTIONS", _CHAT, headers=_PREFLIGHT),
        post("chat with a trailing slash", f"{_CHAT}/", chat()),
        post("chat batch", f"{_CHAT}/batch", BATCH),
        post("chat batch with an unknown model", f"{_CHAT}/batch", {**BATCH, "model": "nope"}),
        post("embeddings on a chat model", "/v1/embeddings", {"model": "tiny-chat", "input": "x"}),
        post("rerank on a chat model", "/rerank", {"model": "tiny-chat", "query": "x", "documents": ["y"]}),
    ]  # fmt: skip


_SESSION: Headers = (
    ("x-session-id", "s-1"),
    ("x-vllm-priority", "1"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
)


def _generative_cases() -> list[Case]:
    two = ["Hello", "Bye"]
    return [
        post("completion", _COMPLETIONS, completion()),
        post("completion stream", _COMPLETIONS, completion(**STREAM)),
        post("completion stream with usage", _COMPLETIONS, completion(**USAGE)),
        post("completion stream with running usage", _COMPLETIONS, completion(**CONTINUOUS)),
        post("completions of two prompts", _COMPLETIONS, completion(prompt=two, max_tokens=4)),
        post("completion stream of two prompts", _COMPLETIONS, completion(prompt=two, max_tokens=2, **STREAM)),
        post("completion of tokens", _COMPLETIONS, completion(prompt=[40, 41, 42])),
        post("completion echo", _COMPLETIONS, completion(tokens=2, echo=True, logprobs=1)),
        post("completion with an unknown model", _COMPLETIONS, completion(model="nope")),
        post("completion without a prompt", _COMPLETIONS, {"model": "tiny-chat"}),
        post("completion of too long a prompt", _COMPLETIONS, completion(prompt=TOO_LONG)),
        post("response", _RESPONSES, response()),
        post("response stream", _RESPONSES, response(**STREAM)),
        post("response not stored", _RESPONSES, response(store=False)),
        post("response in the background", _RESPONSES, response(background=True)),
        post("response with an unknown model", _RESPONSES, response(model="nope")),
        post("response stream with an unknown model", _RESPONSES, response(model="nope", **STREAM)),
        post("response without an input", _RESPONSES, {"model": "tiny-chat"}),
        get("stored response", f"{_RESPONSES}/$id", _STORED),
        get("stored response as a stream", f"{_RESPONSES}/$id?stream=true&starting_after=2", _STREAMED),
        post("cancel of a response that is over", f"{_RESPONSES}/$id/cancel", None, _STORED),
        post(
            "cancel of a response in the background",
            f"{_RESPONSES}/$id/cancel",
            None,
            PAUSE,  # so that none has begun its answer
            _IN_BACKGROUND,
            after=[RESUME],
        ),
        post("message", _MESSAGES, messages(), headers=_ANTHROPIC),
        post("message stream", _MESSAGES, messages(**STREAM), headers=_ANTHROPIC),
        post("message with an unknown model", _MESSAGES, messages(model="nope")),
        post("message stream with an unknown model", _MESSAGES, messages(model="nope", **STREAM)),
        post("message without messages", _MESSAGES, {"model": "tiny-chat", "max_tokens": 3}),
        post("message of too long a prompt", _MESSAGES, messages(messages=[{"role": "user", "content": TOO_LONG}])),
        post("count of tokens", f"{_MESSAGES}/count_tokens", {"model": "tiny-chat", "messages": HELLO}),
        post("tokenize messages", "/tokenize", {"model": "tiny-chat", "messages": HELLO}),
        post("invocation of chat", "/invocations", chat()),
        post("invocation of chat, streamed", "/invocations", chat(**STREAM)),
        post("invocation of a completion", "/invocations", completion()),
        post("generative scoring", "/generative_scoring", SCORING),
        post("generative scoring of nothing", "/generative_scoring", {"model": "tiny-chat"}),
        post("scale_elastic_ep without a size", "/scale_elastic_ep", {}),
        post("is_scaling_elastic_ep", "/is_scaling_elastic_ep"),
        post("generate", "/inference/v1/generate", generate()),
        post("generate stream", "/inference/v1/generate", generate(**STREAM)),
        post("generate without tokens", "/inference/v1/generate", {"model": "tiny-chat"}),
        post("abort of requests", "/inference/v1/abort_requests", {"request_ids": ["nobody's"]}),
        post("render of chat", f"{_CHAT}/render", chat()),
        post("render of a completion", f"{_COMPLETIONS}/render", completion()),
        post("render of a response", f"{_RESPONSES}/render", response()),
        post("render of a message", f"{_MESSAGES}/render", messages()),
        post("derender of chat", f"{_CHAT}/derender", {"model": "tiny-chat"}),
        post("derender of a completion", f"{_COMPLETIONS}/derender", {"model": "tiny-chat"}),
        post("cohere chat", "/cohere/v2/chat", COHERE),
        post("cohere chat stream", "/cohere/v2/chat", {**COHERE, **STREAM}),
        post("render of cohere chat", "/cohere/v2/chat/render", COHERE),
        post("start_profile", "/start_profile", after=[_post("/stop_profile")]),
        post("stop_profile", "/stop_profile", None, _post("/start_profile")),
    ]  # fmt: skip


def _lora_cases() -> list[Case]:
    lora = {"lora_name": "tiny-lora"}
    adapter = {"name": "adapter-1", "src": "$models/lora"}
    registered, unregister = _post("/adapters", adapter), Call("DELETE", "/adapters/adapter-1")
    return [
        post("load of an adapter", "/v1/load_lora_adapter", _LORA, after=[_UNLOAD]),
        post("load of an adapter twice", "/v1/load_lora_adapter", _LORA, _LOAD, after=[_UNLOAD]),
        post("load of an adapter that is not there", "/v1/load_lora_adapter", {**lora, "lora_path": "/nowhere"}),
        post("load of an adapter without a name", "/v1/load_lora_adapter", {}),
        post("unload of an adapter", "/v1/unload_lora_adapter", lora, _LOAD),
        post("unload of an unknown adapter", "/v1/unload_lora_adapter", lora),
        Case("models with an adapter", Call("GET", "/v1/models"), (_LOAD,), (_UNLOAD,)),
        post("chat with an adapter", _CHAT, chat(model="tiny-lora"), _LOAD, after=[_UNLOAD]),
        post("chat stream with an adapter", _CHAT, chat(model="tiny-lora", **STREAM), _LOAD, after=[_UNLOAD]),
        post("adapter", "/adapters", adapter, after=[unregister]),
        Case("delete of an adapter", unregister, (registered,)),
        other("delete of an unknown adapter", "DELETE", "/adapters/nobody"),
    ]


QUESTIONS = {
    "hello": "Hello",
    "reasoning": "What is two plus two?",
    "one tool": "What is the weather in Paris?",
}


def _tools_cases() -> list[Case]:
    """Real thoughts, tool calls and natural ends."""
    cases = []
    for name, question in QUESTIONS.items():
        asked = [{"role": "user", "content": question}]
        for kind, fields in {"": {}, " streamed": STREAM, " streamed with usage": USAGE}.items():
            body = chat("tiny-tools", 200, messages=asked, tools=TOOLS, **fields)
            cases.append(post(f"{name} by chat{kind}", _CHAT, body))
        for kind, fields in {"": {}, " streamed": STREAM}.items():
            body = response("tiny-tools", 200, input=question, tools=[{"type": "function", **TOOLS[0]["function"]}])
            cases.append(post(f"{name} by responses{kind}", _RESPONSES, {**body, **fields}))
            tool = {"name": "get_weather", "description": "Weather", "input_schema": _SCHEMA}
            body = messages("tiny-tools", 200, messages=asked, tools=[tool], **fields)
            cases.append(post(f"{name} by messages{kind}", _MESSAGES, body))
    return cases


# --- Pooling servers ---------------------------------------------------------------------------------------------


def embed(**fields: Any) -> Json:
    """The body of an embedding."""
    return {"model": "tiny-embed", "input": ["Hello there", "the gateway"], **fields}


def rerank(model: str, **fields: Any) -> Json:
    """The body of a reranking."""
    documents = ["The capital of France is Paris.", "Pack my box.", "Hello"]
    return {"model": model, "query": "What is the capital of France?", "documents": documents, **fields}


def score(model: str, **fields: Any) -> Json:
    """The body of a score."""
    return {"model": model, "text_1": "Hello there", "text_2": ["the gateway", "hello"], **fields}


EMBED_2: Json = {"model": "tiny-embed", "texts": ["Hello there"], "embedding_types": ["float"]}


def _embed_cases() -> list[Case]:
    formats = ("float", "base64", "bytes", "bytes_only", "nonsense")
    return [
        *(post(f"embeddings as {name}", "/v1/embeddings", embed(encoding_format=name)) for name in formats),
        post("embeddings of tokens", "/v1/embeddings", embed(input=[[2, 40, 3], [2, 41, 3]])),
        post("embeddings, streaming asked for in vain", "/v1/embeddings", embed(stream=True)),
        post("embeddings of too much", "/v1/embeddings", embed(input=TOO_LONG)),
        post("embeddings of too much, cut", "/v1/embeddings", embed(input=TOO_LONG, truncate_prompt_tokens=50)),
        post("embeddings with an unknown model", "/v1/embeddings", embed(model="nope")),
        post("embeddings of nothing", "/v1/embeddings", {"model": "tiny-embed"}),
        post("embeddings with dimensions", "/v1/embeddings", embed(dimensions=8)),
        post("embeddings of a large list", "/v1/embeddings", embed(input=["Hello there"] * 300)),
        post("Cohere's embeddings", "/v2/embed", EMBED_2),
        post("Cohere's embeddings of an unfit type", "/v2/embed", {**EMBED_2, "embedding_types": ["int8"]}),
        post("pooling as base64", "/pooling", {"model": "tiny-embed", "input": "Hello", "encoding_format": "base64"}),
        post("pooling as bytes", "/pooling", {"model": "tiny-embed", "input": "Hello", "encoding_format": "bytes"}),
        post("invocation of embeddings", "/invocations", embed()),
        post("chat on an embedding model", _CHAT, chat("tiny-embed")),
        post("responses on an embedding model", _RESPONSES, response("tiny-embed")),
    ]


def _scoring_cases(model: str) -> list[Case]:
    """Every pooling route, whether the model has it or not."""
    return [
        *(post(f"rerank by {path}", path, rerank(model)) for path in ("/rerank", "/v1/rerank", "/v2/rerank")),
        post("rerank of the best", "/rerank", rerank(model, top_n=1, return_documents=True)),
        post("rerank of objects", "/v1/rerank", rerank(model, documents=[{"text": "Paris"}])),
        post("rerank of nothing", "/rerank", rerank(model, documents=[])),
        post("rerank with an unknown model", "/rerank", rerank("nope")),
        post("rerank of too much", "/rerank", rerank(model, query=TOO_LONG)),
        *(post(f"score by {path}", path, score(model)) for path in ("/score", "/v1/score", "/v2/score")),
        post("score of pairs", "/v1/score", score(model, text_1=["a", "b"], text_2=["c", "d"])),
        post("score of uneven lists", "/score", score(model, text_1=["a", "b"], text_2=["c"])),
        post("score of queries", "/score", {"model": model, "queries": "Hello", "documents": ["the gateway"]}),
        post("classify", "/classify", {"model": model, "input": ["Hello there", "Bye"]}),
        post("classify nothing", "/classify", {"model": model}),
        post("pooling", "/pooling", {"model": model, "input": "Hello there"}),
        post("pooling for a task", "/pooling", {"model": model, "input": "Hello there", "task": "token_embed"}),
        post("pooling with an unknown model", "/pooling", {"model": "nope", "input": "Hello"}),
        post("invocation of a rerank", "/invocations", rerank(model)),
        post("invocation of a score", "/invocations", score(model)),
    ]


# --- Speech ------------------------------------------------------------------------------------------------------

_BOUNDARY = "----a-form-of-the-tests"


def tone(seconds: float = 1.0) -> bytes:
    """A WAV file of 16 kHz with one tone."""
    samples = (int(9000 * math.sin(at / 7)) for at in range(int(16_000 * seconds)))
    data = b"".join(struct.pack("<h", sample) for sample in samples)
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(data)
    return file.getvalue()


def form(file: bytes | None = None, **fields: str) -> tuple[bytes, Headers]:
    """A multipart form and its content type."""
    sent = {"model": "tiny-whisper", "language": "en", "temperature": "0", "max_completion_tokens": "12", **fields}
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}'.encode() for name, text in sent.items()]
    if file is not None:
        named = b'Content-Disposition: form-data; name="file"; filename="tone.wav"\r\nContent-Type: audio/wav\r\n\r\n'
        parts.append(named + file)
    body = b"".join(f"--{_BOUNDARY}\r\n".encode() + part + b"\r\n" for part in parts)
    return body + f"--{_BOUNDARY}--\r\n".encode(), (("content-type", f"multipart/form-data; boundary={_BOUNDARY}"),)


_SOUND = tone()


def speech(name: str, route: str = "transcriptions", file: bytes | None = _SOUND, **fields: str) -> Case:
    """One form on a speech route."""
    body, headers = form(file, **fields)
    return post(f"{route}: {name}", f"/v1/audio/{route}", body, headers=headers)


def _speech_cases() -> list[Case]:
    usage = {"stream": "true", "stream_include_usage": "true"}
    body, headers = form(_SOUND)
    pieces = [body[at : at + 10_000] for at in range(0, len(body), 10_000)]
    return [
        *(
            speech(f"as {name}", response_format=name)
            for name in ("json", "text", "verbose_json", "srt", "vtt", "nonsense")
        ),
        speech("stream", stream="true"),
        speech("stream with usage", **usage),
        speech("stream with running usage", **usage, stream_continuous_usage_stats="true"),
        speech("of 35 seconds", file=tone(35)),
        speech("of 35 seconds, streamed", file=tone(35), stream="true"),
        speech("unknown model", model="nope"),
        speech("unknown language", language="xx"),
        speech("no file", file=None),
        speech("no sound", file=b"this is no sound"),
        speech("empty file", file=b""),
        speech("too big a file", file=bytes(26_000_000)),
        post("transcriptions: in chunks", "/v1/audio/transcriptions", pieces, headers=headers),
        post("transcriptions: as JSON", "/v1/audio/transcriptions", {"model": "tiny-whisper"}),
        other("transcriptions: by GET", "GET", "/v1/audio/transcriptions"),
        speech("plain", "translations"),
        speech("stream", "translations", stream="true"),
        speech("stream with usage", "translations", **usage),
        post("chat on a speech model", _CHAT, chat("tiny-whisper")),
        post("invocation of a speech model", "/invocations", {"model": "tiny-whisper", "prompt": "x"}),
    ]


CASES: Mapping[str, Sequence[Case]] = {
    "chat": [*everywhere("tiny-chat"), *_chat_cases(), *_generative_cases(), *_lora_cases()],
    "tools": _tools_cases(),
    "embed": [*everywhere("tiny-embed"), *_embed_cases(), *_scoring_cases("tiny-embed")],
    "rerank": [*_scoring_cases("tiny-rerank"), get("models of a reranker", "/v1/models")],
    "classify": [*everywhere("tiny-classify"), *_scoring_cases("tiny-classify")],
    "whisper": [*everywhere("tiny-whisper"), *_speech_cases()],
}
"""The cases by kind of server."""
