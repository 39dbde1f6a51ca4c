"""Checks against scripted servers on loopback sockets."""

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pytest_django import Settings

from tests.support import answers, vllm
from tests.support.patience import PATIENCE
from tests.support.ports import unused_port
from tests.support.upstream import Upstream as Server
from tests.upstreams.test_crypto import new_key
from upstreams import checking
from upstreams.checking import Check, check, figures, pulse
from upstreams.errors import UpstreamError
from upstreams.fields import Credential
from upstreams.load import Figures

pytestmark = pytest.mark.sockets


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        vllm.serve(server)
        yield server


def look(server: Server, credential: str | Credential = "", timeout: float = PATIENCE) -> Check:
    return check(server.url, credential, timeout=timeout)


def header(server: Server, name: str) -> set[str]:
    return {value for request in server.requests for key, value in request.headers if key.lower() == name}


# --- What a check finds


def test_a_healthy_vllm_is_described(server: Server) -> None:
    result = look(server)
    assert (result.healthy, result.version, result.models) == (True, "0.32.0", ("tiny-chat",))
    assert result.latency_ms is not None
    assert result.text == f"vLLM 0.32.0 answers in {result.latency_ms:.0f} ms and serves tiny-chat."


def test_many_models_are_not_all_put_into_the_sentence(server: Server) -> None:
    server.on("GET /v1/models", vllm.models("a", "b", "c", "d", "e"))
    assert look(server).text.endswith("serves a, b, c and 2 more.")


def test_a_server_without_models_is_healthy(server: Server) -> None:
    server.on("GET /v1/models", vllm.models())
    assert look(server).text.endswith("serves no model.")


def test_the_credential_is_sent_and_not_shown(server: Server) -> None:
    result = look(server, Credential("swordfish"))
    assert header(server, "authorization") == {"Bearer swordfish"}
    assert "swordfish" not in repr(result)


def test_an_unreadable_credential_is_a_finding(server: Server, settings: Settings) -> None:
    credential = Credential("swordfish")
    settings.ENCRYPTION_KEYS = [new_key()]
    assert "cannot be decrypted" in look(server, credential).text
    assert not server.requests


def test_a_prefix_is_part_of_every_question(server: Server) -> None:
    server.on("GET /chat/health", vllm.health())
    server.on("GET /chat/version", vllm.version())
    server.on("GET /chat/v1/models", vllm.models("tiny"))
    assert check(f"{server.url}/chat", "").models == ("tiny",)


HTML = answers.body(b"<html>", headers=[("content-type", "text/html")])


@pytest.mark.parametrize(
    ("route", "answer", "words"),
    [
        ("GET /health", answers.json(404, {}), "not a vLLM server: it has no /health"),
        ("GET /health", answers.json(418, {}), "not a vLLM server: /health answers 418"),
        ("GET /health", vllm.health(503), "there, but not well (/health answers 503)"),
        ("GET /version", answers.json(404, {}), "not a vLLM server: /version"),
        ("GET /version", HTML, "not a vLLM server: /version"),
        ("GET /version", answers.json(200, ["0.32.0"]), "not a vLLM server: /version"),
        ("GET /version", answers.json(200, {"version": 3}), "not a vLLM server: /version"),
        ("GET /version", answers.json(200, {"version": "1\x00"}), "not a vLLM server: /version"),
        ("GET /version", answers.json(200, {"version": 51 * "1"}), "not a vLLM server: /version"),
        ("GET /version", answers.body(100_000 * b"["), "not a vLLM server: /version"),
        ("GET /version", answers.body(1_000_001 * b" "), "too large"),
        ("GET /v1/models", answers.json(200, {"data": {}}), "not a vLLM server: /v1/models"),
        ("GET /v1/models", vllm.unauthorized(), "wants a credential, and none is stored (/v1/models answers 401)"),
        ("GET /health", answers.json(403, {}), "wants a credential, and none is stored (/health answers 403)"),
        ("GET /health", answers.raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "does not speak HTTP"),
        ("GET /health", answers.wrong_content_length(b"x", 100), "breaks off"),
    ],
)
def test_what_is_wrong_is_said_in_words(server: Server, route: str, answer: Any, words: str) -> None:
    server.on(route, answer)
    result = look(server)
    assert not result.healthy
    assert words in result.text


def test_a_wrong_credential_is_told_from_a_missing_one(server: Server) -> None:
    server.on("GET /v1/models", vllm.unauthorized())
    result = look(server, "swordfish")
    assert "does not accept the credential" in result.text
    assert "swordfish" not in result.text
    assert result.version == "0.32.0"


def test_model_names_that_no_call_could_use_are_left_out(server: Server) -> None:
    rows = [{"id": "good"}, {"id": "\x00"}, {"id": ""}, {"id": 7}, {}, "text", {"id": 201 * "x"}]
    server.on("GET /v1/models", answers.json(200, {"data": rows}))
    assert look(server).models == ("good",)


def test_a_redirect_is_not_followed(server: Server) -> None:
    with Server() as other:
        vllm.serve(other)
        server.on("GET /health", answers.json(307, {}, [("location", f"{other.url}/health")]))
        assert "redirects /health elsewhere" in look(server, "swordfish").text
        assert not other.requests


def test_silence_is_a_finding(server: Server) -> None:
    server.on("GET /health", answers.silence())
    assert "does not answer in time" in look(server, timeout=0.2).text


def test_a_closed_port_is_a_finding() -> None:
    assert "connection is refused" in check(f"http://127.0.0.1:{unused_port()}", "").text


def test_an_unknown_name_is_a_finding() -> None:
    assert "host name is not known" in check("http://no-such-host.invalid", "").text


def test_a_server_that_hangs_up_is_a_finding(server: Server) -> None:
    server.on("GET /health", answers.raw(b""))
    assert "closes the connection without an answer. Is it starting or stopping" in look(server).text


def test_https_where_http_is_spoken_is_a_finding(server: Server) -> None:
    server.on_connect(answers.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    assert "expect http://" in check(server.url.replace("http:", "https:"), "").text


def test_an_unforeseen_failure_is_a_finding_too() -> None:
    no_url: Any = None
    assert "check itself failed" in check(no_url, "").text


@pytest.fixture
def self_signed(tmp_path: Path) -> Iterator[int]:
    """The port of a server whose certificate nobody has signed."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)  # as the builder wants it
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now)
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    yield from _serve_tls(pem)


def _serve_tls(pem: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            peer, _ = listener.accept()
            with peer:
                try:
                    context.wrap_socket(peer, server_side=True)
                except OSError:
                    return

        thread = threading.Thread(target=greet)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(timeout=2)


def test_a_certificate_that_is_not_trusted_is_named(self_signed: int) -> None:
    text = check(f"https://127.0.0.1:{self_signed}", "").text
    assert text == "No secure connection (TLS): the certificate is not trusted (self-signed certificate)."


def test_every_transport_error_has_words() -> None:
    ours = {one for one in UpstreamError.__subclasses__() if one.__module__ == UpstreamError.__module__}
    assert set(checking.WORDS) == {one for one in ours if one.__name__ != "UpgradeRefused"}  # no probe asks for that


# --- The models


def test_what_the_server_says_of_its_models_is_kept(server: Server) -> None:
    server.on("GET /v1/models", vllm.models("tiny-chat"))
    (detail,) = look(server).details
    assert set(detail) == {"id", "root", "parent", "max_model_len", "created"}
    assert detail["created"] == vllm.CREATED


def test_a_lora_adapter_has_a_parent(server: Server) -> None:
    rows = [{"id": "base", "parent": None, "max_model_len": 2048}, {"id": "lora", "parent": "base", "root": "/a\x00"}]
    server.on("GET /v1/models", answers.json(200, {"data": rows}))
    base, lora = look(server).details
    assert (base["max_model_len"], lora["parent"], lora["root"]) == (2048, "base", None)


def test_a_model_that_is_listed_twice_counts_once(server: Server) -> None:
    server.on("GET /v1/models", vllm.models("a", "b", "a"))
    assert look(server).models == ("a", "b")


# --- The pulse


def test_a_pulse_asks_for_the_health_alone(server: Server) -> None:
    assert pulse(server.url, Credential("swordfish")).healthy
    assert [request.target for request in server.requests] == ["/health"]


def test_a_pulse_says_what_is_wrong(server: Server) -> None:
    server.on("GET /health", vllm.health(503))
    assert "not well (/health answers 503)" in pulse(server.url, "").text


def test_an_unforeseen_failure_of_a_pulse_is_a_finding_too() -> None:
    no_url: Any = None
    assert "check itself failed" in pulse(no_url, "").text


# --- The load


def test_the_figures_come_from_the_metrics(server: Server) -> None:
    server.on("GET /metrics", vllm.metrics(running=3, waiting=2))
    assert figures(server.url, "") == Figures(3, 2, None)


@pytest.mark.parametrize("answer", [answers.json(404, {}), answers.raw(b""), answers.body(b"nothing")])
def test_without_figures_the_load_is_unknown(server: Server, answer: Any) -> None:
    server.on("GET /metrics", answer)
    assert figures(server.url, "") is None


def test_an_unforeseen_failure_leaves_the_load_unknown() -> None:
    no_url: Any = None
    assert figures(no_url, "") is None
