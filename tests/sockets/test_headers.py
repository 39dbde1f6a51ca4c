"""Which headers the upstream and the client see, on real sockets."""

from __future__ import annotations

import pytest

from tests.sockets.conftest import CREDENTIAL
from tests.support import answers, wire
from tests.support.exchange import Request
from tests.support.gateway import Gateway
from tests.support.http_client import Response
from tests.support.upstream import Upstream

PATH = "/vllm/v1/things"
NOT_PASSED_ON = {
    "Proxy-Authorization": "Basic eDp5",
    "Proxy-Connection": "keep-alive",
    "Keep-Alive": "timeout=5",
    "TE": "trailers",
    "Trailer": "x-later",
    "Upgrade": "h2c",
    "HTTP2-Settings": "AAMAAABkAAQAAP__",
    "X-Named": "in Connection",
    "Cookie": "session=1",
    "X-LiteLLM-API-Key": "",
    "API-Key": "sk-another",
    "X-API-Key": "sk-another",
    "X-Goog-Api-Key": "sk-another",
    "Forwarded": "for=1.2.3.4",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Prefix": "/evil",
    "X-Real-IP": "1.2.3.4",
    "X-Amzn-SageMaker-Adapter-Identifier": "another-model",
    "under_score": "dropped",
    "SCRIPT_NAME": "/vllm",
}
KEPT = {
    "Accept": "text/event-stream",
    "User-Agent": "client/1.0",
    "Content-Type": "application/json",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "X-Custom": "caf\xe9, two",
    "X-Session-Id": "s-1",
    "Origin": "https://site.example",
    "Range": "bytes=0-1",
}


def _sent(gateway: Gateway, upstream: Upstream, headers: list[tuple[str, str]], body: bytes = b"") -> Request:
    """The request that the upstream gets for these headers."""
    upstream.on("* /v1/things", answers.json(200, {}))
    response = gateway.call("POST", PATH, headers, body)
    assert response.status == 200, response.body
    return upstream.request_with_id(response.header("x-request-id") or "")


def _answered(gateway: Gateway, upstream: Upstream, headers: list[tuple[str, str]], body: bytes = b"{}") -> Response:
    """What the client gets when the upstream answers with these headers."""
    upstream.on("* /v1/things", answers.body(body, headers=headers))
    return gateway.call("GET", PATH)


# --- To the upstream ----------------------------------------------------------------------------------------


def test_what_concerns_the_connection_or_the_gateway_is_not_passed_on(gateway: Gateway, upstream: Upstream) -> None:
    request = _sent(gateway, upstream, [("connection", "keep-alive, X-Named"), *NOT_PASSED_ON.items()])
    names = {name.lower() for name, _ in request.headers}
    assert not names & {name.lower() for name in NOT_PASSED_ON}
    assert not names & {"under-score", "script-name"}
    assert "sk-" not in str(request.headers)


def test_everything_else_is_passed_on(gateway: Gateway, upstream: Upstream) -> None:
    request = _sent(gateway, upstream, list(KEPT.items()))
    assert {name: request.header(name) for name in KEPT} == KEPT


def test_the_upstream_gets_its_own_credential_and_host(gateway: Gateway, upstream: Upstream) -> None:
    request = _sent(gateway, upstream, [("host", "evil.example")])
    assert wire.values(request.headers, "authorization") == [f"Bearer {CREDENTIAL}"]
    assert wire.values(request.headers, "host") == [f"127.0.0.1:{upstream.port}"]


def test_nobody_is_asked_to_compress(gateway: Gateway, upstream: Upstream) -> None:
    request = _sent(gateway, upstream, [("accept-encoding", "gzip, br")])
    assert wire.values(request.headers, "accept-encoding") == ["identity"]


def test_a_caller_cannot_pretend_to_come_from_elsewhere(gateway: Gateway, upstream: Upstream) -> None:
    request = _sent(gateway, upstream, [("x-forwarded-for", "8.8.8.8"), ("x-forwarded-proto", "https")])
    assert wire.values(request.headers, "x-forwarded-for") == ["127.0.0.1"]
    assert wire.values(request.headers, "x-forwarded-proto") == ["http"]


def test_each_header_is_sent_once(gateway: Gateway, upstream: Upstream) -> None:
    names = [name.lower() for name, _ in _sent(gateway, upstream, [], b"{}").headers]
    assert sorted(names) == sorted(set(names))


def test_nothing_is_told_that_the_client_did_not_say(gateway: Gateway, upstream: Upstream) -> None:
    """No User-Agent, Accept or Content-Type of ours."""
    names = {name.lower() for name, _ in _sent(gateway, upstream, [], b"{}").headers}
    assert names == {
        "host",
        "content-length",
        "accept-encoding",
        "authorization",
        "x-request-id",
        "x-forwarded-for",
        "x-forwarded-proto",
    }


def test_a_sane_request_id_is_kept(gateway: Gateway, upstream: Upstream) -> None:
    request = _sent(gateway, upstream, [("x-request-id", "my-id-1")])
    assert request.header("x-request-id") == "my-id-1"


@pytest.mark.parametrize("given", ['with "quotes"', "x" * 129, ""])
def test_another_request_id_is_replaced(gateway: Gateway, upstream: Upstream, given: str) -> None:
    request = _sent(gateway, upstream, [("x-request-id", given)])
    assert request.header("x-request-id") not in {given, None}


# --- To the client ------------------------------------------------------------------------------------------


def test_the_answer_s_headers_are_the_upstream_s(gateway: Gateway, upstream: Upstream) -> None:
    given = [("content-type", "application/json"), ("x-custom", "caf\xe9"), ("vary", "Origin"), ("etag", '"1"')]
    response = _answered(gateway, upstream, given)
    assert [(name, response.header(name)) for name, _ in given] == given
    assert response.header("content-length") == "2"


def test_server_and_date_come_once(gateway: Gateway, upstream: Upstream) -> None:
    response = _answered(gateway, upstream, [("content-type", "application/json")])
    assert wire.values(response.head.headers, "server") == ["uvicorn"]
    assert len(wire.values(response.head.headers, "date")) == 1


def test_our_own_answers_name_the_gateway(gateway: Gateway) -> None:
    assert wire.values(gateway.call("GET", "/vllm/..").head.headers, "server") == ["vllm-gateway"]


def test_the_ids_of_the_call_are_told(gateway: Gateway, upstream: Upstream) -> None:
    response = gateway.call("GET", "/vllm/version", [("x-request-id", "mine")])
    assert response.header("x-request-id") == "mine"
    assert gateway.row(response)["call_id"] == response.header("x-litellm-call-id")


def test_orders_about_the_connection_or_the_origin_are_not_relayed(gateway: Gateway, upstream: Upstream) -> None:
    """Among them Set-Cookie: requests would keep cookies and send them with the calls of others."""
    dropped = {
        "set-cookie": "a=b",
        "strict-transport-security": "max-age=1",
        "clear-site-data": '"*"',
        "keep-alive": "timeout=5",
        "proxy-authenticate": "Basic",
        "x-named": "in Connection",
        "x-litellm-model-api-base": upstream.url,
    }
    response = _answered(gateway, upstream, [("connection", "keep-alive, x-named"), *dropped.items()])
    assert not set(response.head.names()) & set(dropped)
    assert "cookie" not in str(_sent(gateway, upstream, []).headers).lower()


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("http://127.0.0.1:{port}/v1/things/?a=%2f", "/vllm/v1/things/?a=%2f"),
        ("/v1/other", "/vllm/v1/other"),
        ("other", "other"),
        ("https://elsewhere.example/x", "https://elsewhere.example/x"),
    ],
)
def test_a_location_leads_back_through_the_gateway(gateway: Gateway, upstream: Upstream, given: str, seen: str) -> None:
    upstream.on("* /v1/things", answers.redirect(given))
    response = gateway.call("GET", PATH)
    assert (response.status, response.header("location")) == (307, seen)


def test_a_location_loses_the_base_url_s_own_path(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("*", answers.redirect("http://127.0.0.1:{port}/some/base/v1/things"))
    response = gateway.post("/vllm/v1/things", {"model": "prefixed"})
    assert response.header("location") == "/vllm/v1/things"


def test_a_relayed_page_is_put_in_a_sandbox(gateway: Gateway, upstream: Upstream) -> None:
    given = [("content-type", "text/html; charset=utf-8"), ("content-security-policy", "default-src *")]
    response = _answered(gateway, upstream, given, b"<script>")
    assert wire.values(response.head.headers, "content-security-policy") == ["sandbox allow-scripts"]


def test_a_compressed_body_stays_compressed(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("* /v1/things", answers.gzip({"a": 1}))
    response = gateway.call("GET", PATH)
    assert response.header("content-encoding") == "gzip"
    assert response.body.startswith(b"\x1f\x8b")


def test_a_header_of_30_kb_passes_both_ways(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on("* /v1/things", answers.big_header())
    response = gateway.call("GET", PATH, [("x-big", "b" * 30_000)])
    request = upstream.request_with_id(response.header("x-request-id") or "")
    assert len(response.header("x-big") or "") == len(request.header("x-big") or "") == 30_000


def test_repeated_headers_all_arrive(gateway: Gateway, upstream: Upstream) -> None:
    given = [("content-type", "text/plain"), ("vary", "Origin"), ("vary", "Accept")]
    response = _answered(gateway, upstream, given)
    assert ", ".join(wire.values(response.head.headers, "vary")) == "Origin, Accept"


def test_no_answer_names_the_upstream(gateway: Gateway, upstream: Upstream) -> None:
    names = ("x-served-by", "via", "www-authenticate", "access-control-allow-origin", "refresh", "content-location")
    told = [("link", f"<{upstream.url}/x>; rel=next"), *((name, f"1 {upstream.url}") for name in names)]
    response = _answered(gateway, upstream, told)
    assert str(upstream.port) not in response.head.raw.decode("latin-1")
