"""What lies behind the relay: the admin and the key API, handed over whole; and what the relay says of itself."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest

from tests.support.gateway import Gateway
from tests.support.http_client import Response, call
from tests.support.patience import wait_for
from tests.support.upstream import Upstream

FORM = ("content-type", "application/x-www-form-urlencoded")


def _get(gateway: Gateway, target: str, headers: list[tuple[str, str]] | None = None) -> Response:
    return call(gateway.port, "GET", target, headers or [])


# --- The relay's own addresses ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/healthz", "/health/liveliness", "/health/liveness"])
def test_the_relay_says_that_it_is_alive(gateway: Gateway, path: str) -> None:
    assert _get(gateway, path).status == 200


@pytest.mark.parametrize("path", ["/readyz", "/health/readiness"])
def test_the_relay_says_how_it_is(gateway: Gateway, path: str) -> None:
    response = _get(gateway, path)
    detail = response.json()
    assert (response.status, detail["db"], detail["journal"]["status"]) == (200, "connected", "ok")
    assert detail["status"] in {"healthy", "degraded"}
    assert "127.0.0.1" not in response.body.decode()


def test_an_unhealthy_upstream_is_degraded_and_still_ready(gateway: Gateway, upstream: Upstream) -> None:
    gateway.query("UPDATE upstreams_upstream SET health = 'unhealthy' WHERE name = 'refused'")
    wait_for(lambda: gateway.ready()["upstreams"].get("unhealthy"))
    response = _get(gateway, "/readyz")
    assert (response.status, response.json()["status"]) == (200, "degraded")


@pytest.mark.parametrize("path", ["/healthz/", "/health/", "/readyz/x", "/health/unknown"])
def test_nothing_else_lives_there(gateway: Gateway, path: str) -> None:
    response = _get(gateway, path)
    assert (response.status, response.json()["error"]["type"]) == (404, "not_found_error")


# --- Handed over --------------------------------------------------------------------------------------------


def test_the_bare_address_leads_to_the_admin(gateway: Gateway) -> None:
    response = _get(gateway, "/")
    assert (response.status, response.header("location")) == (302, "/admin/")


def test_an_unknown_address_is_a_404_in_our_shape(gateway: Gateway) -> None:
    response = _get(gateway, "/nowhere")
    assert (response.status, response.json()["error"]["type"]) == (404, "not_found_error")


def test_pages_come_with_their_policy(gateway: Gateway) -> None:
    response = _get(gateway, "/admin/login/")
    assert (response.status, response.end) == (200, "clean")
    assert "unsafe" not in (response.header("content-security-policy") or "unsafe")


def test_static_files_are_served(gateway: Gateway) -> None:
    page = _get(gateway, "/admin/login/").body.decode()
    files = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert files
    assert [_get(gateway, file).status for file in files] == [200] * len(files)


def test_head_gets_the_head_of_a_page(gateway: Gateway) -> None:
    response = call(gateway.port, "HEAD", "/admin/login/")
    assert (response.status, response.body, response.end) == (200, b"", "clean")


def test_a_person_logs_in_through_the_relay(gateway: Gateway) -> None:
    """Cookies, forms and redirects pass, with the host that the browser named."""
    password = re.search(r"password +(\S+)", gateway.output)
    assert password
    host = ("host", "gateway.example:4000")
    page = _get(gateway, "/admin/login/", [host])
    cookies = _cookies(page)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.body.decode())
    assert token
    form = {"csrfmiddlewaretoken": token[1], "username": "admin", "password": password[1], "next": "/admin/"}
    given = [host, FORM, ("cookie", cookies), ("origin", "http://gateway.example:4000")]
    logged_in = call(gateway.port, "POST", "/admin/login/", given, urlencode(form).encode())
    assert (logged_in.status, logged_in.header("location")) == (302, "/admin/")
    assert {"csrftoken", "vgw_session", "vgw_signed_in"} <= {
        cookie.partition("=")[0] for cookie in _cookies(logged_in).split("; ")
    }
    assert "httponly" in str(logged_in.head.headers).lower()
    home = _get(gateway, "/admin/", [host, ("cookie", _cookies(logged_in))])
    assert home.status == 200


def _cookies(response: Response) -> str:
    given = [value for name, value in response.head.headers if name.lower() == "set-cookie"]
    return "; ".join(value.partition(";")[0] for value in given)


def test_a_spoofed_address_or_scheme_is_not_handed_over(gateway: Gateway) -> None:
    """Django believes X-Forwarded-Proto, which only the relay may write."""
    spoofed = [("proto", "https"), ("for", "8.8.8.8"), ("ssl", "on"), ("protocol", "ssl"), ("host", "elsewhere")]
    response = _get(gateway, "/admin/login/", [(f"x-forwarded-{name}", value) for name, value in spoofed])
    assert response.status == 200
    assert "secure" not in str(response.head.headers).lower()


@pytest.mark.parametrize("chunked", [False, True])
def test_the_key_api_takes_bodies_of_either_framing(gateway: Gateway, chunked: bool) -> None:
    """Django takes a chunked body for empty; the relay hands every body over with its length."""
    body = b'{"key_alias": "framed-%d"}' % chunked
    sent = [body[:5], body[5:]] if chunked else body
    response = gateway.call("POST", "/key/generate", [("content-type", "application/json")], sent)
    assert (response.status, response.json()["key_alias"]) == (200, f"framed-{chunked:d}")


def test_a_post_of_the_key_api_is_never_redirected(gateway: Gateway) -> None:
    for path in ("/key/generate/", "/key", "/key/"):
        assert gateway.post(path, {}).status in {200, 404, 405}


def test_the_key_api_needs_the_master_key(gateway: Gateway, key: str) -> None:
    assert gateway.post("/key/generate", {}, key=key).status == 401
    assert call(gateway.port, "POST", "/key/generate", body=b"{}").status == 401


def test_no_query_string_with_a_key_is_printed(gateway: Gateway, key: str) -> None:
    assert gateway.call("GET", f"/key/info?key={key}").status == 200
    assert key not in gateway.output


def test_a_body_over_ten_megabytes_is_refused(gateway: Gateway) -> None:
    response = gateway.call("POST", "/key/generate", [("content-length", "10000001")])
    assert (response.status, response.header("connection")) == (413, "close")


@pytest.mark.parametrize(
    ("path", "headers", "length", "status"),
    [
        ("/key/generate", [], 10, 401),
        ("/team/new", [("authorization", "Bearer sk-vgw-nobody-knows-it")], 10, 401),
        ("/nowhere", [], 1_000_001, 413),
        ("/admin/login/", [], 1_000_001, 413),
        ("/admin/login/", [("cookie", "vgw_session=x")], 1_000_001, 100),
        ("/admin/login/", [], 1_000_000, 100),
    ],
)
def test_strangers_are_invited_to_send_little(
    gateway: Gateway, path: str, headers: list[tuple[str, str]], length: int, status: int
) -> None:
    """The refusal comes before anything of the body."""
    with gateway.connect() as client:
        client.request("POST", path, [*headers, ("expect", "100-continue"), ("content-length", str(length))])
        head = client.read_head(interim=True)
        assert (head.status, head.header("connection")) == (status, None if status == 100 else "close")


def test_a_slow_body_is_refused(gateway: Gateway) -> None:
    response = gateway.call("POST", "/key/generate", [("content-length", "10")])
    assert (response.status, response.json()["error"]["type"]) == (408, "request_timeout")


def test_a_client_that_leaves_in_its_body_is_nothing_to_speak_of(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.request("POST", "/key/generate", [*gateway.headers(), ("content-length", "10")])
        client.half_close()
        assert client.wait_for_end() in {"fin", "reset"}
    assert _get(gateway, "/healthz").status == 200


def test_connections_are_kept_between_the_planes_and_calls(gateway: Gateway, upstream: Upstream) -> None:
    with gateway.connect() as client:
        for target in ("/admin/login/", "/vllm/version", "/key/list", "/healthz"):
            client.request("GET", target, gateway.headers())
            response = client.read_response()
            assert (response.status, response.end) == (200, "clean")


def test_the_terminal_shows_no_traceback_and_no_secret(gateway: Gateway, key: str) -> None:
    gateway.call("GET", "/vllm/version", key=key)
    assert "Traceback" not in gateway.output
    gateway.call("HEAD", "/vllm/sleep", key=key)
    assert "no-body response" not in gateway.output
    for secret in (key, gateway.master_key, "the-upstreams-own-credential"):
        assert secret not in gateway.output
