"""The catalogue of vLLM's endpoints: which class, which meter, and where the caller may leave `/v1` out.

One row each, from vLLM 0.32's own routers. Classes are those of `keys.permissions`, by name. Knows no key, no
upstream and no request body.

How a call gets its class, which only ever errs to the strict side:
* a method that the row has: the row's class (HEAD counts as GET);
* OPTIONS on a known path: the strictest class of that path's rows;
* any other method on a known path (vLLM answers 405): the strictest of those and of the rule for unknown paths;
* unknown paths: below /v1/ or /v2/, and GETs, are inference without a meter; everything else is server control.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

INFERENCE = "inference"
MONITORING = "monitoring"
SERVER_CONTROL = "server_control"

REALTIME = "/v1/realtime"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
UNKNOWN_PATH_LENGTH = 100
"""Characters of an unknown path that the request log keeps."""

_STRICTNESS = {MONITORING: 0, INFERENCE: 1, SERVER_CONTROL: 2}


@dataclass(frozen=True, slots=True)
class Route:
    """A row of the catalogue.

    `template` is vLLM's path: `{name}` stands for one segment, `{name:path}` for any rest. `default_path` is the
    path that callers may write instead, to which `/v1` is then added. `names_model`: the body names a model, in a
    form when `form`. `streams`: vLLM can answer with server-sent events. `unmetered` says of an inference row without a
    meter why there is nothing to count.
    """

    template: str
    endpoint_class: str = INFERENCE
    methods: tuple[str, ...] = ("POST",)
    meter: str | None = None
    default_path: str | None = None
    form: bool = False
    names_model: bool = False
    streams: bool = False
    unmetered: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """What the catalogue says about one method and path.

    `route` is None for an unknown path and for a method that a known path does not have. `template` is what logs
    and metrics call the route (an unknown path: the path, cut). `adds_v1`: the caller left `/v1` out.
    """

    route: Route | None
    endpoint_class: str
    template: str
    meter: str | None = None
    adds_v1: bool = False
    form: bool = False
    names_model: bool = False
    streams: bool = False

    @property
    def is_priced(self) -> bool:
        """Whether a call costs anything: what a model works on does, and no look at a server or a stored response."""
        return self.meter is not None or self.template == REALTIME

    def upstream_raw(self, raw: str) -> str:
        """`Target.raw` byte for byte, with `/v1` before it when the caller left it out."""
        return f"/v1{raw}" if self.adds_v1 else raw


def _openai(path: str, meter: str, *, streams: bool = False, form: bool = False) -> Route:
    """A well-known path below /v1 that vLLM does not have without it."""
    return Route(
        f"/v1{path}", meter=meter, default_path=path, names_model=True, streams=streams, form=form
    )  # fmt: skip


def _model(path: str, meter: str, *, streams: bool = False) -> Route:
    return Route(path, meter=meter, names_model=True, streams=streams)


def _by_tokenizer(path: str, default_path: str | None = None) -> Route:
    """What the tokenizer of the model that the body names does, also on a server without a model to run."""
    why = "The tokenizer and the chat template do it; no model works."
    return Route(path, default_path=default_path, names_model=True, unmetered=why)


def _response(rest: str, *methods: str, why: str, streams: bool = False) -> Route:
    """What is asked of a response that is there."""
    path = f"/responses/{{id}}{rest}"
    return Route(f"/v1{path}", methods=methods, default_path=path, streams=streams, unmetered=why)


def _monitoring(path: str, *methods: str) -> Route:
    return Route(path, MONITORING, methods or ("GET",))


def _control(path: str, *methods: str) -> Route:
    return Route(path, SERVER_CONTROL, methods or ("POST",))


ROUTES: tuple[Route, ...] = (
    # Every server
    Route("/v1/models", MONITORING, ("GET",), default_path="/models"),
    Route("/v1/models/{id}", MONITORING, ("GET",), default_path="/models/{id}"),
    _monitoring("/health"),
    _monitoring("/ping", "GET", "POST"),
    _monitoring("/version"),
    _monitoring("/metrics"),
    _monitoring("/metrics{rest:path}"),  # vLLM mounts its exporter on everything that begins like this
    _monitoring("/load"),
    _control("/kv_event_sources", "GET"),
    _control("/openapi.json", "GET"),
    _control("/docs", "GET"),
    _control("/docs/oauth2-redirect", "GET"),
    _control("/redoc", "GET"),
    _model("/tokenize", "tokenize"),
    _model("/detokenize", "tokenize"),
    _model("/invocations", "invocations", streams=True),
    _model("/v1/systemone", "systemone"),
    Route("/tokenizer_info", methods=("GET",), unmetered="It tells how the tokenizer is configured."),
    _control("/start_profile"),
    _control("/stop_profile"),
    _control("/fault_tolerance/apply"),
    _control("/fault_tolerance/status", "GET"),
    _control("/fault_tolerance{rest:path}", "GET", "POST"),
    # Generative servers
    _openai("/chat/completions", "chat", streams=True),
    _openai("/chat/completions/batch", "chat"),
    _openai("/completions", "completions", streams=True),
    _openai("/responses", "responses", streams=True),
    # Only for the key that made the response (`gateway.responses`).
    _response("", "GET", why="It was counted when it was made.", streams=True),
    _response("/cancel", "POST", why="What was made until then is counted with the call that began it."),
    _response("/{rest:path}", "GET", why="It was counted when it was made."),
    _openai("/messages", "messages", streams=True),
    _by_tokenizer("/v1/messages/count_tokens", "/messages/count_tokens"),
    _model("/generative_scoring", "generative_scoring"),
    _control("/scale_elastic_ep"),
    _control("/is_scaling_elastic_ep"),
    _model("/inference/v1/generate", "generate", streams=True),
    _control("/inference/v1/abort_requests"),
    _by_tokenizer("/v1/chat/completions/render"),
    _by_tokenizer("/v1/completions/render"),
    _by_tokenizer("/v1/responses/render"),
    _by_tokenizer("/v1/messages/render"),
    _by_tokenizer("/v1/chat/completions/derender"),
    _by_tokenizer("/v1/completions/derender"),
    _model("/cohere/v2/chat", "cohere", streams=True),
    _by_tokenizer("/cohere/v2/chat/render"),
    # Pooling servers
    _openai("/embeddings", "embeddings"),
    _model("/v2/embed", "v2_embed"),
    _model("/pooling", "pooling"),
    _model("/classify", "classify"),
    _model("/score", "score"),
    _model("/v1/score", "score"),
    _model("/rerank", "rerank"),
    _model("/v1/rerank", "rerank"),
    _model("/v2/rerank", "rerank"),
    # Speech servers
    _openai("/audio/transcriptions", "transcriptions", streams=True, form=True),
    _openai("/audio/translations", "translations", streams=True, form=True),
    Route(REALTIME, methods=("GET",), default_path="/realtime", unmetered="The session keeps its account itself."),
    # Dev mode
    _control("/server_info", "GET"),
    _control("/is_sleeping", "GET"),
    _control("/is_paused", "GET"),
    _control("/get_world_size", "GET"),
    _control("/weight_info", "GET"),
    _control("/sleep"),
    _control("/wake_up"),
    _control("/release_kv_cache_memory"),
    _control("/reset_prefix_cache"),
    _control("/reset_mm_cache"),
    _control("/reset_encoder_cache"),
    _control("/collective_rpc"),
    _control("/pause"),
    _control("/resume"),
    _control("/abort_requests"),
    _control("/init_weight_transfer_engine"),
    _control("/shutdown_weight_transfer_engine"),
    _control("/start_weight_update"),
    _control("/start_draft_weight_update"),
    _control("/update_weights"),
    _control("/finish_weight_update"),
    _control("/update_weight_version"),
    _control("/weight_checker"),
    # LoRA at run time, and SageMaker's names for it
    _control("/v1/load_lora_adapter"),
    _control("/v1/unload_lora_adapter"),
    _control("/adapters"),
    _control("/adapters/{adapter_name:path}", "DELETE"),
)


def find(method: str, route: str) -> Match:
    """What the catalogue says about `method` and `route` (`Target.route`: decoded, case folded, no trailing slash).

    Never fails: what is not in the catalogue gets the class of unknown paths.
    """
    found = _FIXED.get((method, route))
    if found is not None:
        return found
    for pattern, matches in _TEMPLATES:
        if pattern.fullmatch(route):
            return matches.get(method) or matches["TRACE"]
    fixed = _FIXED.get(("TRACE", route))
    return fixed if fixed is not None else _unknown(method, route)


def _unknown(method: str, route: str) -> Match:
    return Match(None, _unknown_class(method, route), route[:UNKNOWN_PATH_LENGTH], names_model=method not in _SAFE)


def _unknown_class(method: str, route: str) -> str:
    below_version = route.startswith(("/v1/", "/v2/"))
    return INFERENCE if below_version or method in {"GET", "HEAD"} else SERVER_CONTROL


_SAFE = {"GET", "HEAD", "OPTIONS"}


def _matches(rows: list[Route], *, adds_v1: bool) -> dict[str, Match]:
    """One path's Match for each method; "TRACE" stands for every method that HTTP may yet invent."""
    return {method: _match(rows, method, adds_v1=adds_v1) for method in (*METHODS, "TRACE")}


def _match(rows: list[Route], method: str, *, adds_v1: bool) -> Match:
    effective = "GET" if method == "HEAD" else method
    row = next((row for row in rows if effective in row.methods), None)
    template = rows[0].template
    if row is None:
        classes = [row.endpoint_class for row in rows]
        if method != "OPTIONS":
            classes.append(_unknown_class(method, template))
        return Match(
            None,
            max(classes, key=_STRICTNESS.__getitem__),
            template,
            adds_v1=adds_v1,
            names_model=method not in _SAFE,
        )
    return Match(
        row,
        row.endpoint_class,
        template,
        meter=None if method == "HEAD" else row.meter,
        adds_v1=adds_v1,
        form=row.form,
        names_model=row.names_model,
        streams=row.streams,
    )


def _paths() -> Iterator[tuple[str, dict[str, Match]]]:
    """Each path that a row answers to, with its Match for each method."""
    for route in ROUTES:
        rows = [row for row in ROUTES if row.template == route.template]
        yield route.template, _matches(rows, adds_v1=False)
        if route.default_path is not None:
            yield route.default_path, _matches(rows, adds_v1=True)


def _pattern(template: str) -> re.Pattern[str]:
    escaped = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
    return re.compile(re.sub(r"{\w+}", "[^/]+", re.sub(r"{\w+:path}", ".*", escaped)), re.DOTALL)


_FIXED = {(method, path): match for path, matches in _paths() if "{" not in path for method, match in matches.items()}
_TEMPLATES = tuple((_pattern(path), matches) for path, matches in _paths() if "{" in path)
