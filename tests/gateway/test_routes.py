"""The catalogue: every endpoint of vLLM has its class and its meter, and nothing dangerous has a side door."""

import pytest

from gateway.paths import parse
from gateway.routes import METHODS, ROUTES, find

# As vLLM 0.32 registers them: methods, path, class (i, m, s), meter, whether it streams.
ENDPOINTS = """
GET /v1/models m - -
GET /health m - -
GET,POST /ping m - -
GET /version m - -
GET /metrics m - -
GET /load m - -
GET /kv_event_sources s - -
GET /openapi.json s - -
GET /docs s - -
GET /docs/oauth2-redirect s - -
GET /redoc s - -
POST /tokenize i tokenize -
POST /detokenize i tokenize -
POST /invocations i invocations S
POST /v1/systemone i systemone -
GET /tokenizer_info i - -
POST /start_profile s - -
POST /stop_profile s - -
POST /fault_tolerance/apply s - -
GET /fault_tolerance/status s - -
POST /v1/chat/completions i chat S
POST /v1/chat/completions/batch i chat -
POST /v1/completions i completions S
POST /v1/responses i responses S
GET /v1/responses/resp_1 i - S
POST /v1/responses/resp_1/cancel i - -
GET /v1/responses/resp_1/input_items i - -
POST /v1/messages i messages S
POST /v1/messages/count_tokens i - -
POST /generative_scoring i generative_scoring -
POST /scale_elastic_ep s - -
POST /is_scaling_elastic_ep s - -
POST /inference/v1/generate i generate S
POST /inference/v1/abort_requests s - -
POST /v1/chat/completions/render i - -
POST /v1/completions/render i - -
POST /v1/responses/render i - -
POST /v1/messages/render i - -
POST /v1/chat/completions/derender i - -
POST /v1/completions/derender i - -
POST /cohere/v2/chat i cohere S
POST /cohere/v2/chat/render i - -
POST /v1/embeddings i embeddings -
POST /v2/embed i v2_embed -
POST /pooling i pooling -
POST /classify i classify -
POST /score i score -
POST /v1/score i score -
POST /rerank i rerank -
POST /v1/rerank i rerank -
POST /v2/rerank i rerank -
POST /v1/audio/transcriptions i transcriptions S
POST /v1/audio/translations i translations S
GET /v1/realtime i - -
GET /server_info s - -
GET /is_sleeping s - -
GET /is_paused s - -
GET /get_world_size s - -
GET /weight_info s - -
POST /sleep s - -
POST /wake_up s - -
POST /release_kv_cache_memory s - -
POST /reset_prefix_cache s - -
POST /reset_mm_cache s - -
POST /reset_encoder_cache s - -
POST /collective_rpc s - -
POST /pause s - -
POST /resume s - -
POST /abort_requests s - -
POST /init_weight_transfer_engine s - -
POST /shutdown_weight_transfer_engine s - -
POST /start_weight_update s - -
POST /start_draft_weight_update s - -
POST /update_weights s - -
POST /finish_weight_update s - -
POST /update_weight_version s - -
POST /weight_checker s - -
POST /v1/load_lora_adapter s - -
POST /v1/unload_lora_adapter s - -
POST /adapters s - -
DELETE /adapters/a1 s - -
"""
CLASSES = {"i": "inference", "m": "monitoring", "s": "server_control"}
ROWS = [
    (method, path, CLASSES[letter], None if meter == "-" else meter, streams == "S")
    for methods, path, letter, meter, streams in (line.split() for line in ENDPOINTS.split("\n") if line)
    for method in methods.split(",")
]
CONTROL = sorted({path for _, path, endpoint_class, *_ in ROWS if endpoint_class == "server_control"})


@pytest.mark.parametrize(("method", "path", "endpoint_class", "meter", "streams"), ROWS)
def test_knows_every_endpoint(method, path, endpoint_class, meter, streams):
    match = find(method, path)
    assert match.route is not None
    assert (match.endpoint_class, match.meter, match.streams) == (endpoint_class, meter, streams)


def test_every_inference_row_names_its_meter_or_says_why_it_has_none():
    rows = [row for row in ROUTES if row.endpoint_class == "inference"]
    assert [row.template for row in rows if bool(row.meter) == bool(row.unmetered)] == []
    assert not any(row.meter or row.unmetered for row in ROUTES if row.endpoint_class != "inference")


@pytest.mark.parametrize(
    ("method", "path", "priced"),
    [
        ("POST", "/v1/systemone", True),
        ("GET", "/v1/realtime", True),
        ("POST", "/v1/messages/count_tokens", False),
        ("POST", "/v1/chat/completions/render", False),
        ("GET", "/v1/responses/resp_1", False),
    ],
)
def test_prices_are_for_what_a_model_works_on(method, path, priced):
    assert find(method, path).is_priced is priced


def test_has_no_row_that_vllm_lacks():
    wide = {"/metrics{rest:path}", "/fault_tolerance{rest:path}"}
    ours_on_v1 = {"/v1/models/{id}"}
    known = {find(method, path).template for method, path, *_ in ROWS}
    assert {route.template for route in ROUTES} - wide - ours_on_v1 == known


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", CONTROL)
def test_server_control_has_no_weaker_method(method, path):
    assert find(method, path).endpoint_class == "server_control"


@pytest.mark.parametrize("path", CONTROL)
def test_server_control_is_not_reached_by_another_spelling(path):
    for spelling in (path.upper(), path.title(), path + "/", path.replace("s", "%73"), path.replace("e", "%2565")):
        assert find("POST", parse("/vllm" + spelling).route).endpoint_class == "server_control"


@pytest.mark.parametrize("path", CONTROL)
def test_server_control_is_not_reached_by_leaving_v1_out(path):
    bare = path.removeprefix("/v1")
    match = find("POST", bare)
    assert match.endpoint_class == "server_control"


@pytest.mark.parametrize("path", [path for path in CONTROL if not path.startswith("/v1/")])
def test_v1_before_server_control_is_not_taken_off(path):
    match = find("POST", "/v1" + path)
    assert match.upstream_raw("/v1" + path) == "/v1" + path
    assert match.meter is None


@pytest.mark.parametrize(
    ("method", "path", "endpoint_class"),
    [
        ("GET", "/v1/nope", "inference"),
        ("POST", "/v1/nope", "inference"),
        ("DELETE", "/v2/nope", "inference"),
        ("GET", "/nope", "inference"),
        ("HEAD", "/nope", "inference"),
        ("GET", "/", "inference"),
        ("POST", "/nope", "server_control"),
        ("PUT", "/", "server_control"),
        ("OPTIONS", "/nope", "server_control"),
        ("PURGE", "/nope", "server_control"),
        ("POST", "/v1", "server_control"),
        ("POST", "/v10/nope", "server_control"),
        ("POST", "/inference/v1/nope", "server_control"),
        ("POST", "/adapters/a/b", "server_control"),
        ("GET", "/fault_tolerance/new", "server_control"),
        ("GET", "/metrics-and-more", "monitoring"),
    ],
)
def test_unknown_paths(method, path, endpoint_class):
    match = find(method, path)
    assert (match.endpoint_class, match.meter) == (endpoint_class, None)


@pytest.mark.parametrize(
    ("method", "path", "endpoint_class"),
    [
        ("HEAD", "/v1/models", "monitoring"),
        ("OPTIONS", "/v1/models", "monitoring"),
        ("DELETE", "/v1/models", "inference"),
        ("POST", "/health", "server_control"),
        ("PUT", "/tokenize", "server_control"),
        ("GET", "/tokenize", "inference"),
        ("OPTIONS", "/tokenize", "inference"),
        ("PUT", "/v1/chat/completions", "inference"),
        ("PURGE", "/v1/chat/completions", "inference"),
        ("DELETE", "/v1/responses/x", "inference"),
        ("PURGE", "/sleep", "server_control"),
    ],
)
def test_another_method_gets_the_strictest_class(method, path, endpoint_class):
    match = find(method, path)
    assert (match.endpoint_class, match.meter) == (endpoint_class, None)


@pytest.mark.parametrize(
    "path",
    [
        "/chat/completions", "/chat/completions/batch", "/completions", "/embeddings", "/responses", "/messages",
        "/messages/count_tokens", "/models", "/audio/transcriptions", "/audio/translations", "/realtime",
        "/responses/resp_1", "/responses/resp_1/cancel",
    ],
)  # fmt: skip
def test_adds_v1_where_openai_has_it_and_the_caller_left_it_out(path):
    for method in METHODS:
        short, full = find(method, path), find(method, "/v1" + path)
        assert short.upstream_raw(path + "/?a=%2F") == "/v1" + path + "/?a=%2F"
        assert full.upstream_raw("/v1" + path) == "/v1" + path
        assert (short.endpoint_class, short.meter, short.template) == (
            full.endpoint_class,
            full.meter,
            full.template,
        )


@pytest.mark.parametrize("path", ["/score", "/rerank", "/tokenize", "/load_lora_adapter", "/nope", "/metrics"])
def test_adds_v1_nowhere_else(path):
    assert find("POST", path).upstream_raw(path) == path


def test_audio_names_its_model_in_a_form():
    assert {route.template for route in ROUTES if route.form} == {
        "/v1/audio/transcriptions",
        "/v1/audio/translations",
    }


def test_whatever_has_a_meter_names_its_model():
    assert all(route.names_model for route in ROUTES if route.meter)


def test_an_unknown_body_may_name_a_model():
    assert find("POST", "/v1/nope").names_model
    assert not find("GET", "/v1/nope").names_model


def test_logs_the_template_and_cuts_unknown_paths():
    assert find("GET", "/v1/responses/resp_1").template == "/v1/responses/{id}"
    assert find("GET", "/" + "x" * 500).template == "/" + "x" * 99
