"""The path and query that the upstream sees are the client's bytes; what could be read in two ways goes nowhere."""

from __future__ import annotations

import pytest

from tests.support import answers
from tests.support.gateway import Gateway
from tests.support.upstream import Upstream

UNCHANGED = [
    "/v1/things?a=1&a=2",
    "/v1/things?x=%2f&y=%2F",
    "/v1/things?a|b",
    "/v1/things?a=%zz",
    "/v1/things?",
    "/v1/things?a=&b",
    "/v1/things/",
    "/v1/things?q=a+b%20c&&=&",
    "/v1/things?redirect=http://x/../y//z\\",
    '/v1/things?a=[1]{2}^`"<>',
    "/v1/th|ngs/a%20b/caf%C3%A9",
    "/v1/things;v=1/a,b:c@d!$'()*",
    "/v1/THINGS?%41=%7e~",
    "/v1/.well-known/x..y/...",
    "/v1/things??a=?",
]
UNSAFE = [
    "/vllm/..",
    "/vllm/.",
    "/vllm/v1/../health",
    "/vllm/v1/./health",
    "/vllm//health",
    "/vllm/v1//models",
    "/vllm/%2e%2e/health",
    "/vllm/%2E./health",
    "/vllm/%252e%252e/health",
    "/vllm/%25252e%25252e/health",
    "/vllm/v1%2fmodels",
    "/vllm/v1%2Fmodels",
    "/vllm/v1%252fmodels",
    "/vllm/v1%5cmodels",
    "/vllm/v1\\models",
    "/vllm/%00",
    "/vllm/a%00b",
    "/vllm/a%0d%0aX:%20y",
    "/vllm/%7f",
    "/vllm/%c0%ae%c0%ae/health",
    "/vllm/%u002e%u002e/health",
    "/vllm/%e2%80%a4%e2%80%a4/health",
    "/vllm/..;/health",
    "/%76llm/health",
    "/vllm%2fhealth",
]


def _target_of(gateway: Gateway, upstream: Upstream, target: str, method: str = "GET") -> str:
    upstream.on("*", answers.json(200, {}))
    response = gateway.call(method, target)
    assert response.status == 200, response.body
    return upstream.request_with_id(response.header("x-request-id") or "").target


@pytest.mark.parametrize("target", UNCHANGED)
def test_the_target_goes_up_byte_for_byte(gateway: Gateway, upstream: Upstream, target: str) -> None:
    assert _target_of(gateway, upstream, f"/vllm{target}") == target


def test_bytes_outside_ascii_are_refused_by_the_server(gateway: Gateway, upstream: Upstream) -> None:
    assert gateway.call("GET", "/vllm/v1/things?q=\xc3\xa9").status == 400


@pytest.mark.parametrize("target", ["/vllm", "/vllm/", "/vllm?x=1"])
def test_the_bare_prefix_is_the_upstream_s_root(gateway: Gateway, upstream: Upstream, target: str) -> None:
    wanted = "/" + target.removeprefix("/vllm").removeprefix("/")
    assert _target_of(gateway, upstream, target) == wanted


def test_an_absolute_target_is_read_without_its_host(gateway: Gateway, upstream: Upstream) -> None:
    assert _target_of(gateway, upstream, "http://elsewhere.example/vllm/v1/things?a|b") == "/v1/things?a|b"


@pytest.mark.parametrize("target", UNSAFE)
def test_an_unsafe_path_is_refused_before_anything_else(gateway: Gateway, upstream: Upstream, target: str) -> None:
    with gateway.connect() as client:
        client.request("GET", target, [("x-request-id", "unsafe")])  # without a key: that is looked at later
        response = client.read_response()
    assert response.status == 400
    assert not [request for request in upstream.calls if request.header("x-request-id") == "unsafe"]


def test_an_unsafe_path_says_what_is_wrong(gateway: Gateway) -> None:
    error = gateway.call("GET", "/vllm/a/../b").json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "path", "400")


# --- Where the upstream's base URL leads ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("slashed", "/v1/chat/completions"),
        ("versioned", "/v1/chat/completions"),
        ("versioned-slashed", "/v1/chat/completions"),
        ("prefixed", "/some/base/v1/chat/completions"),
        ("prefixed-versioned", "/some/base/v1/chat/completions"),
    ],
)
@pytest.mark.parametrize("path", ["/vllm/v1/chat/completions", "/vllm/chat/completions"])
def test_a_base_url_may_end_in_a_slash_or_v1_and_have_a_path(
    gateway: Gateway, upstream: Upstream, model: str, wanted: str, path: str
) -> None:
    upstream.on(f"POST {wanted}", answers.echo())
    assert gateway.post(path, {"model": model}).json()["target"] == wanted


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/chat/completions?a|b", "/v1/chat/completions?a|b"),
        ("/completions", "/v1/completions"),
        ("/models", "/v1/models"),
        ("/embeddings", "/v1/embeddings"),
        ("/score", "/score"),
        ("/rerank", "/rerank"),
        ("/tokenize", "/tokenize"),
        ("/metrics", "/metrics"),
    ],
)
def test_v1_is_added_to_the_well_known_paths_only(gateway: Gateway, upstream: Upstream, path: str, wanted: str) -> None:
    method = "GET" if path in {"/models", "/metrics"} else "POST"
    upstream.on(f"{method} {wanted}", answers.json(200, {}))
    response = gateway.call(method, f"/vllm{path}")
    assert upstream.request_with_id(response.header("x-request-id") or "").target == wanted


def test_a_post_is_never_redirected(gateway: Gateway, upstream: Upstream) -> None:
    """Neither by a slash too much nor by one too few: a redirect turns a POST into a GET."""
    for path in ("/vllm", "/vllm/", "/vllm/v1/things", "/vllm/v1/things/"):
        upstream.on("*", answers.json(200, {}))
        assert gateway.call("POST", path, body=b"{}").status == 200
