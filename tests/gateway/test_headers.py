"""Headers: what crosses the gateway in either direction."""

import pytest

from gateway import headers
from gateway.headers import HOP_BY_HOP, KEY_HEADERS, for_client, for_upstream, sane_request_id
from gateway.upstream_address import our_location

BASE = "http://vllm.internal:8000"


def to_upstream(credential: str = "upstream-secret", **environ: object) -> dict[str, str]:
    pairs = for_upstream(environ, credential=credential, request_id="r-1", client_address="192.0.2.7", scheme="https")
    assert len({name.lower() for name, _ in pairs}) == len(pairs)
    return {name.lower(): value for name, value in pairs}


def environ_key(name: str) -> str:
    return "HTTP_" + name.upper().replace("-", "_")


def to_client(*pairs: tuple[str, str], **options: object) -> list[tuple[str, str]]:
    settings = {"upstream_base": BASE, "prefix": "/vllm", "request_id": "r-1", "call_id": "c-1", **options}
    typed = [("content-type", "application/json")]
    if any(name.lower() == "content-type" for name, _ in pairs):
        typed = []
    sent = for_client([*typed, *pairs], **settings)
    assert sent[-2:] == [("x-request-id", "r-1"), ("x-litellm-call-id", "c-1")]
    return [pair for pair in sent[:-2] if pair not in typed]


def test_sends_the_rest_with_ours():
    sent = to_upstream(
        CONTENT_TYPE="application/json", HTTP_USER_AGENT="curl", HTTP_TRACEPARENT="00-1", HTTP_ACCEPT="a,b", PATH="/"
    )
    assert sent == {
        "content-type": "application/json",
        "user-agent": "curl",
        "traceparent": "00-1",
        "accept": "a,b",
        "accept-encoding": "identity",
        "x-request-id": "r-1",
        "x-forwarded-for": "192.0.2.7",
        "x-forwarded-proto": "https",
        "authorization": "Bearer upstream-secret",
    }


@pytest.mark.parametrize(
    "name",
    [
        *sorted(HOP_BY_HOP | KEY_HEADERS - {"authorization"}), "Host", "Cookie", "Content-Length", "Expect",
        "Forwarded", "Via", "X-Real-IP", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Whatever",
        "True-Client-IP", "CF-Connecting-IP", "X-Original-URL", "X-Amzn-SageMaker-Adapter-Identifier",
    ],
)  # fmt: skip
def test_does_not_send_what_is_not_the_upstreams(name):
    assert name.lower() not in to_upstream(**{environ_key(name): "v"})
    assert name.lower() not in to_upstream(**{environ_key("x-pass-" + name): "v"})


def test_replaces_authorization_and_what_a_caller_pretends():
    sent = to_upstream(
        HTTP_AUTHORIZATION="Bearer sk-virtual", HTTP_X_FORWARDED_FOR="1.1.1.1", HTTP_X_REQUEST_ID="theirs"
    )
    assert sent["authorization"] == "Bearer upstream-secret"
    assert sent["x-forwarded-for"] == "192.0.2.7"
    assert sent["x-request-id"] == "r-1"


def test_sends_no_authorization_without_a_credential():
    assert "authorization" not in to_upstream(credential="", HTTP_AUTHORIZATION="Bearer sk-virtual")


def test_drops_headers_named_in_connection():
    sent = to_upstream(HTTP_CONNECTION="close, X-One ,x-two", HTTP_X_ONE="1", HTTP_X_TWO="2", HTTP_X_THREE="3")
    assert "x-three" in sent
    assert not {"x-one", "x-two", "connection"} & set(sent)


def test_connection_cannot_name_our_own_headers_away():
    sent = to_upstream(HTTP_CONNECTION="authorization, x-forwarded-for, x-request-id, accept-encoding")
    assert {"authorization", "x-forwarded-for", "x-request-id", "accept-encoding"} <= set(sent)


def test_x_pass_sends_the_bare_header_over_the_plain_one():
    sent = to_upstream(HTTP_X_PASS_ANTHROPIC_BETA="b1", HTTP_ANTHROPIC_BETA="b0", HTTP_X_PASS_USER_AGENT="mine")
    assert (sent["anthropic-beta"], sent["user-agent"]) == ("b1", "mine")


@pytest.mark.parametrize(
    "name", ["Authorization", "Accept-Encoding", "Content-Type", "Content-Length", "X-Amz-Date", "X-Request-Id", ""]
)
def test_x_pass_cannot_set_protected_names(name):
    sent = to_upstream(**{environ_key("x-pass-" + name): "evil"})
    assert "evil" not in sent.values()


def test_tells_the_whole_chain_and_the_host_when_they_are_given():
    pairs = dict(
        for_upstream(
            {},
            credential="",
            request_id="r",
            client_address="192.0.2.7",
            scheme="http",
            host="gw.example",
            forwarded_for="192.0.2.7, 10.0.0.1",
        )
    )
    assert pairs["X-Forwarded-For"] == "192.0.2.7, 10.0.0.1"
    assert pairs["X-Forwarded-Host"] == "gw.example"


def test_remembers_only_so_many_names(monkeypatch):
    monkeypatch.setattr(headers, "_NAMES", {})
    for number in range(2000):
        assert to_upstream(**{f"HTTP_X_{number}": "v"})[f"x-{number}"] == "v"
    assert len(headers._NAMES) == 1024


@pytest.mark.parametrize("value", ["abc", "0123-_.~:/+=@|", "x" * 128])
def test_keeps_a_sane_request_id(value):
    assert sane_request_id(value) == value
    assert headers.request_id({"HTTP_X_REQUEST_ID": value}, lambda: "new") == value


@pytest.mark.parametrize("value", [None, "", "x" * 129, "a b", 'a"b', "a\nb", "a,b", "é", "a;b", "a{b}"])
def test_replaces_any_other_request_id(value):
    assert sane_request_id(value) is None
    assert headers.request_id({"HTTP_X_REQUEST_ID": value}, lambda: "new") == "new"


# --- To the client -------------------------------------------------------------------------------------------------


def test_keeps_the_rest_in_its_order():
    pairs = [("server", "uvicorn"), ("vary", "Origin"), ("content-encoding", "gzip"), ("vary", "Accept"), ("x-a", "1")]
    assert to_client(*pairs) == pairs


@pytest.mark.parametrize(
    "name",
    [
        *sorted(HOP_BY_HOP), "Set-Cookie", "Strict-Transport-Security", "Clear-Site-Data", "Alt-Svc", "Date", "NEL",
        "Service-Worker-Allowed", "X-Litellm-Model-Api-Base", "X-Litellm-Key-Spend", "X-Request-ID",
        "x-litellm-call-id", "X-Accel-Redirect",
    ],
)  # fmt: skip
def test_does_not_relay(name):
    assert to_client((name, "v"), ("x-a", "1")) == [("x-a", "1")]


def test_drops_response_headers_named_in_connection():
    assert to_client(("x-one", "1"), ("Connection", "close, X-One"), ("x-two", "2")) == [("x-two", "2")]


def test_keeps_the_length_only_of_an_unchanged_body():
    assert to_client(("Content-Length", "5")) == [("Content-Length", "5")]
    assert to_client(("Content-Length", "5"), keep_length=False) == []


def test_makes_folded_and_broken_values_fit():
    assert to_client(("x-a", "1\r\n 2"), ("x-b", "a\tb"), ("x-c", "é")) == [
        ("x-a", "1  2"),
        ("x-b", "a\tb"),
        ("x-c", "é"),
    ]


@pytest.mark.parametrize(
    ("location", "ours"),
    [
        ("http://vllm.internal:8000/v1/models?a=%2F&b", "/vllm/v1/models?a=%2F&b"),
        ("https://VLLM.internal:8000/v1/models#x", "/vllm/v1/models#x"),
        ("http://u:p@vllm.internal:8000", "/vllm/"),
        ("http://vllm.internal:8000?x", "/vllm/?x"),
        ("//vllm.internal:8000/x", "/vllm/x"),
        ("/v1/models?", "/vllm/v1/models?"),
        ("models", "models"),
        ("?x=1", "?x=1"),
        ("https://elsewhere.example/x", "https://elsewhere.example/x"),
        ("http://vllm.internal:9000/x", None),
        ("http://vllm.internal:x/", None),
        ("http:///x", None),
        ("http:\\\\vllm.internal:8000\\x", None),
        ("http:/vllm.internal:8000/x", None),
    ],
)
def test_a_location_shows_our_path_and_not_the_upstream(location, ours):
    assert our_location(location, upstream_base=BASE, prefix="/vllm") == ours
    assert to_client(("location", location)) == ([("location", ours)] if ours else [])


@pytest.mark.parametrize(
    ("base", "location", "ours"),
    [
        ("http://h/sub", "http://h/sub/v1/x", "/vllm/v1/x"),
        ("http://h/sub", "http://h/sub", "/vllm/"),
        ("http://h/sub", "/sub?x", "/vllm/?x"),
        ("http://h/sub", "/subway", "/vllm/subway"),
        ("http://h:80", "https://h/x", "/vllm/x"),
        ("https://h", "http://h:80/x", "/vllm/x"),
        ("http://[::1]:8000", "http://[::1]:8000/x", "/vllm/x"),
    ],
)
def test_a_location_loses_the_upstreams_own_base_path(base, location, ours):
    assert our_location(location, upstream_base=base, prefix="/vllm") == ours


def test_no_other_header_names_the_upstream():
    named = "<http://vllm.internal:8000/x>; rel=next"
    assert to_client(("link", named), ("refresh", f"0;url={BASE}"), ("link", "</x>; rel=next")) == [
        ("link", "</x>; rel=next")
    ]
    assert to_client(("content-location", BASE + "/x")) == [("content-location", "/vllm/x")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("via", "1.1 vllm.internal"),
        ("Via", "1.1 vllm.internal:8000 (nginx)"),
        ("x-served-by", "VLLM.internal:8000"),
        ("x-served-by", "gpu7, vllm.internal"),
        ("www-authenticate", f'Basic realm="{BASE}"'),
        ("content-security-policy", f"connect-src {BASE}"),
        ("location", f"https://elsewhere.example/?back={BASE}/x"),
        ("location", f"/x?back={BASE}"),
        ("x-anything", "<vllm.internal>"),
        ("x-anything", "see vllm.internal."),
        ("x-worker", "vllm.internal:5557"),
        ("x-worker", "http://vllm.internal:3000"),
    ],
)
def test_whatever_names_the_upstream_goes(name, value):
    assert to_client((name, value), ("x-a", "1")) == [("x-a", "1")]


@pytest.mark.parametrize(
    "value",
    ["vllm", "1.1 vllm.internal.example", "my-vllm.internal", "vllm-internal", "http://vllm.example:8000", "x"],
)
def test_what_names_another_host_stays(value):
    assert to_client(("x-a", value)) == [("x-a", value)]


@pytest.mark.parametrize(
    ("base", "named"),
    [
        ("http://vllm:8000", ["vllm:8000", "vllm:5557", "http://vllm/x", "//u@vllm:8000/", "//vllm:3000/"]),
        ("http://vllm", ["vllm:80", "https://vllm:443/"]),
        ("http://10.0.0.5:8000", ["10.0.0.5", "1.1 10.0.0.5:8000", "10.0.0.5:5557", "tcp://10.0.0.5:5557"]),
        ("http://[2001:db8::1]:8000", ["2001:db8::1", "[2001:db8::1]:8000", "[2001:db8::1]:5557"]),
        ("http://localhost:8000", ["localhost:8000", "//localhost/x"]),
        ("http://[::1]:8000", ["[::1]:8000", "::1"]),
    ],
)
def test_names_of_one_word_and_addresses_are_found(base, named):
    for value in named:
        assert to_client(("x-a", value), upstream_base=base) == []


@pytest.mark.parametrize(
    ("base", "value"),
    [
        ("http://vllm:8000", "vllm"),
        ("http://vllm:8000", "vllm:80001"),
        ("http://vllm:8000", "/vllm/x"),
        ("http://10.0.0.5:8000", "10.0.0.50"),
        ("http://[::1]:8000", "2001:db8::1"),
        ("http://localhost:8000", "http://localhost:3000"),
        ("http://127.0.0.1:8000", "127.0.0.1:3000"),
        ("http://[::1]:8000", "http://[::1]:3000"),
        ("unix:/run/vllm.sock", "/run/vllm.sock"),
    ],
)
def test_what_only_looks_like_the_upstreams_address_stays(base, value):
    assert to_client(("x-a", value), upstream_base=base) == [("x-a", value)]


def test_a_name_of_one_word_is_a_host_where_headers_tell_hosts():
    assert to_client(("via", "1.1 vllm"), ("x-served-by", "vllm"), upstream_base="http://vllm:8000") == []


def test_an_origin_that_is_the_upstreams_is_allowed_nothing():
    allowed = [("Access-Control-Allow-Origin", BASE), ("access-control-allow-credentials", "true"), ("x-a", "1")]
    assert to_client(*allowed) == [("x-a", "1")]


@pytest.mark.parametrize("origin", ["*", "https://chat.example", "http://vllm.internal:3000", "http://vllm.internal"])
def test_origins_of_callers_stay_allowed(origin):
    allowed = [("access-control-allow-origin", origin), ("access-control-allow-credentials", "true")]
    assert to_client(*allowed) == allowed


@pytest.mark.parametrize(
    "content_type",
    [
        "text/html; charset=utf-8",
        "TEXT/HTML",
        "application/xhtml+xml",
        "image/svg+xml",
        "text/xsl",
        "text",
        "text/;",
        "*/*",
    ],
)
def test_pages_are_sandboxed(content_type):
    sent = to_client(("content-type", content_type), ("Content-Security-Policy", "default-src *"), ("x-a", "1"))
    assert sent == [
        ("content-type", content_type),
        ("x-a", "1"),
        ("content-security-policy", "sandbox allow-scripts"),
    ]


def test_of_two_types_a_browser_may_take_either():
    sent = to_client(("content-type", "text/html"), ("content-type", "text/plain"))
    assert ("content-security-policy", "sandbox allow-scripts") in sent


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream; charset=utf-8", "text/plain"])
def test_data_is_not_sandboxed(content_type):
    pairs = [("content-type", content_type), ("content-security-policy", "default-src *")]
    assert to_client(*pairs) == pairs


@pytest.mark.parametrize(("length", "sandboxed"), [("0", False), ("5", True)])
def test_a_body_whose_type_a_browser_would_guess_is_sandboxed(length, sandboxed):
    sent = dict(
        for_client([("content-length", length)], upstream_base=BASE, prefix="/vllm", request_id="r", call_id="c")
    )
    assert ("content-security-policy" in sent) is sandboxed
