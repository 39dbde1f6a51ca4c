"""Requests leave byte for byte and on kept connections; whatever goes wrong has one of our names."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import itertools
import socket
import ssl
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import answers
from tests.support.exchange import Exchange
from tests.support.patience import PATIENCE
from tests.support.ports import unused_port
from tests.support.tls import ANSWER, TlsServer
from tests.support.upstream import Upstream
from upstreams import errors
from upstreams.client import UpstreamClient, UpstreamResponse, fetch, target_below
from upstreams.response import UpstreamHTTPResponse
from upstreams.transport import KEEP_IDLE_SECONDS, Outgoing

pytestmark = pytest.mark.sockets


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        upstream.on("*", answers.json(200, {}))
        yield upstream


@pytest.fixture
def client() -> UpstreamClient:
    return UpstreamClient(connect_timeout=PATIENCE, read_timeout=PATIENCE)


def _open(client: UpstreamClient, base_url: str, target: str = "/x", body: bytes | None = None) -> UpstreamResponse:
    headers = {"Accept-Encoding": "identity"}
    if body is not None:
        headers["Content-Length"] = str(len(body))
    return client.open(base_url, "GET" if body is None else "POST", Outgoing(headers, target), body)


def _read(response: UpstreamResponse) -> bytes:
    try:
        return b"".join(response.chunks())
    finally:
        response.close()


@pytest.mark.parametrize(
    ("base_url", "below"),
    [
        ("http://host", "/v1/x?a"),
        ("http://host:8000", "/v1/x?a"),
        ("https://host/base", "/base/v1/x?a"),
        ("https://host/base/", "/base/v1/x?a"),
        ("unix:/run/control.sock", "/v1/x?a"),
    ],
)
def test_the_base_s_own_path_comes_first(base_url: str, below: str) -> None:
    assert target_below(base_url, "/v1/x?a") == below


def test_neither_netrc_nor_proxies_nor_cookies_play_a_part(
    client: UpstreamClient, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Session would replace our Authorization by netrc's, and send one caller's cookie with another's call."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    upstream.on("*", answers.set_cookie("a=b"))
    for _ in range(2):
        outgoing = Outgoing({"Authorization": "Bearer ours"}, "/x")
        _read(client.open(upstream.url, "GET", outgoing))
    assert [request.header("authorization") for request in upstream.requests] == ["Bearer ours"] * 2
    assert all(request.header("cookie") is None for request in upstream.requests)


def test_a_redirect_is_an_answer(client: UpstreamClient, upstream: Upstream) -> None:
    upstream.on("*", answers.redirect("http://127.0.0.1:{port}/elsewhere"))
    response = _open(client, upstream.url)
    assert (response.status, response.header("location")) == (307, f"{upstream.url}/elsewhere")
    response.close()


def test_a_body_of_pieces_is_sent_with_its_length(client: UpstreamClient, upstream: Upstream) -> None:
    outgoing = Outgoing({"Content-Length": "4"}, "/x")
    _read(client.open(upstream.url, "POST", outgoing, iter([b"ab", b"cd"])))
    assert (upstream.requests[0].body, upstream.requests[0].framing) == (b"abcd", "length")


@pytest.mark.parametrize(
    ("headers", "target", "body"),
    [
        ({"X-Name": "a\r\nX-Other: b"}, "/x", None),
        ({"X-Name": "a\nb"}, "/x", None),
        ({"X-Name\r": "a"}, "/x", None),
        ({"X-Name": "a\0b"}, "/x", None),
        ({}, "/x HTTP/1.1", None),
        ({}, "/x\x7f", None),
        ({}, "/x", iter([b"pieces"])),
    ],
)
def test_what_would_break_the_request_s_framing_is_not_sent(
    client: UpstreamClient, upstream: Upstream, headers: dict[str, str], target: str, body: Iterator[bytes] | None
) -> None:
    with pytest.raises(ValueError, match=r"must not hold|needs its length"):
        client.open(upstream.url, "POST", Outgoing(headers, target), body)
    assert upstream.requests == []


def test_the_head_is_complete_without_a_word_from_the_caller(client: UpstreamClient, upstream: Upstream) -> None:
    _read(client.open(upstream.url, "POST", Outgoing({}, "/x")))
    sent = upstream.requests[0]
    assert sent.header("host") == upstream.url.removeprefix("http://")
    assert sent.header("accept-encoding") == "identity"
    assert sent.header("content-length") == "0"
    assert sent.header("user-agent") is None


def test_a_connection_is_used_again(client: UpstreamClient, upstream: Upstream) -> None:
    for _ in range(3):
        _read(_open(client, upstream.url))
    assert len(upstream.connections) == 1


def test_an_answer_that_was_not_read_to_its_end_ends_its_connection(client: UpstreamClient, upstream: Upstream) -> None:
    upstream.on("*", answers.stream([b"x"] * 5, 0.05))
    response = _open(client, upstream.url)
    response.read1()
    response.close()
    upstream.wait_for(lambda: upstream.requests[0].cancelled)


def test_a_connection_that_was_idle_for_long_is_not_used_again(
    client: UpstreamClient, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """vLLM closes it a second later without saying so."""
    _read(_open(client, upstream.url))
    late = time.monotonic() + KEEP_IDLE_SECONDS
    monkeypatch.setattr("upstreams.transport.time.monotonic", lambda: late)
    _read(_open(client, upstream.url))
    assert len(upstream.connections) == 2


def test_a_connection_that_the_upstream_has_closed_is_not_used_again(
    client: UpstreamClient, upstream: Upstream
) -> None:
    upstream.on("*", answers.close_kept_alive_after_answer(answers.json(200, {})))
    _read(_open(client, upstream.url))
    upstream.wait_for(lambda: not upstream.open_connections)
    _read(_open(client, upstream.url, body=b"{}"))
    assert len(upstream.requests) == 2


def test_connections_that_a_burst_left_behind_are_closed(
    client: UpstreamClient, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upstream has closed them by then, so each would hold an open file for ever."""
    burst = [_open(client, upstream.url) for _ in range(3)]
    for response in burst:
        _read(response)
    client.close_idle()
    assert upstream.open_connections == 3
    late = time.monotonic() + KEEP_IDLE_SECONDS + 1
    monkeypatch.setattr("upstreams.transport.time.monotonic", lambda: late)
    client.close_idle()
    upstream.wait_for(lambda: not upstream.open_connections)


def test_a_forgotten_upstream_s_connections_are_closed(client: UpstreamClient, upstream: Upstream) -> None:
    _read(_open(client, upstream.url))
    client.forget(upstream.url)
    client.forget(upstream.url)
    upstream.wait_for(lambda: not upstream.open_connections)


def test_an_answer_that_ends_after_its_upstream_was_forgotten_is_whole(
    client: UpstreamClient, upstream: Upstream
) -> None:
    upstream.on("*", answers.stream([b"a", b"b"], 0.05))
    response = _open(client, upstream.url)
    client.forget(upstream.url)
    assert _read(response) == b"ab"
    upstream.wait_for(lambda: not upstream.open_connections)


# --- What goes wrong ----------------------------------------------------------------------------------------


def test_a_refused_connection_has_not_been_seen(client: UpstreamClient) -> None:
    with pytest.raises(errors.UpstreamRefused) as caught:
        _open(client, f"http://127.0.0.1:{unused_port()}")
    assert caught.value.before_sent


def test_an_unknown_name(client: UpstreamClient) -> None:
    with pytest.raises(errors.UpstreamNameUnknown):
        _open(client, "http://no-such-host.invalid")


def test_a_missing_unix_socket_is_refused(client: UpstreamClient, tmp_path: Path) -> None:
    with pytest.raises(errors.UpstreamRefused):
        _open(client, f"unix:{tmp_path}/none.sock")


@contextlib.contextmanager
def _full_backlog() -> Iterator[str]:
    """The URL of a listener that the kernel takes no more connections for: it drops what would connect."""
    with contextlib.ExitStack() as held, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_connection_that_is_not_accepted_in_time() -> None:
    with _full_backlog() as url, pytest.raises(errors.UpstreamConnectTimeout):
        _open(UpstreamClient(connect_timeout=0.2), url)


def test_a_call_may_have_a_connect_time_of_its_own() -> None:
    client, began = UpstreamClient(connect_timeout=PATIENCE), time.monotonic()
    with _full_backlog() as url, pytest.raises(errors.UpstreamConnectTimeout):
        client.open(url, "GET", Outgoing([], "/"), connect_timeout=0.2)
    assert time.monotonic() - began < PATIENCE / 2


def test_the_connect_time_of_a_call_is_not_the_time_for_its_answer(upstream: Upstream) -> None:
    upstream.on("GET /slow", answers.stream([b"late"], before=0.4, head_first=False))
    client = UpstreamClient(connect_timeout=PATIENCE)
    response = client.open(upstream.url, "GET", Outgoing([], "/slow"), connect_timeout=0.1)
    assert _read(response) == b"late"


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (answers.reset(), errors.UpstreamReset),
        (answers.raw(b""), errors.UpstreamReset),
        (answers.raw(b"not http at all\r\n\r\n"), errors.UpstreamInvalid),
        (answers.raw(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), errors.UpstreamInvalid),
        (answers.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"), errors.UpstreamInvalid),
    ],
)
def test_a_head_that_does_not_come(
    client: UpstreamClient, upstream: Upstream, behaviour: Callable[..., None], error: type[Exception]
) -> None:
    upstream.on("*", behaviour)
    with pytest.raises(error):
        _open(client, upstream.url)


@pytest.mark.parametrize("body", [None, b"{}"])
def test_silence_is_a_time_out(upstream: Upstream, body: bytes | None) -> None:
    upstream.on("*", answers.silence())
    began = time.monotonic()
    with pytest.raises(errors.UpstreamTimeout):
        _open(UpstreamClient(connect_timeout=PATIENCE, read_timeout=0.2), upstream.url, body=body)
    assert time.monotonic() - began < PATIENCE / 2


@pytest.mark.parametrize("body", [None, b"{}"])
def test_a_connect_time_out_bounds_no_answer(upstream: Upstream, body: bytes | None) -> None:
    upstream.on("*", answers.delayed(0.4, answers.json(200, {})))
    assert _read(_open(UpstreamClient(connect_timeout=0.1), upstream.url, body=body)) == b"{}"


@pytest.mark.parametrize(
    "behaviour",
    [
        answers.die_mid_stream([b"x"]),
        answers.half_chunk_then_fin([b"x"]),
        answers.reset("stream", [b"x"]),
        answers.wrong_content_length(b"x", 5),
        answers.raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
    ],
)
def test_a_body_that_breaks_off(client: UpstreamClient, upstream: Upstream, behaviour: Callable[..., None]) -> None:
    upstream.on("*", behaviour)
    with pytest.raises(errors.UpstreamBroken):
        _read(_open(client, upstream.url))


def test_an_untrusted_certificate_is_a_failed_tls(client: UpstreamClient, tmp_path: Path) -> None:
    with TlsServer(tmp_path) as server, pytest.raises(errors.UpstreamTlsFailed):
        _open(client, server.url)


def test_what_tls_has_deciphered_already_is_no_answer_to_the_next_call(
    client: UpstreamClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
    body_for_head = head + b"x" * (io.DEFAULT_BUFFER_SIZE - len(head))  # which no answer to HEAD should have
    with TlsServer(tmp_path, body_for_head + ANSWER) as server:
        monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(server.certificate))
        _read(client.open(server.url, "HEAD", Outgoing({}, "/")))
        following = Outgoing({}, "/")
        assert _read(client.open(server.url, "GET", following)) == b"x" * 9
        assert not following.reused
        client.forget(server.url)


def test_when_a_connection_stood_is_known(
    client: UpstreamClient, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TlsServer(tmp_path) as server:
        monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(server.certificate))
        for url in (upstream.url, server.url):
            outgoing, began = Outgoing({}, "/"), time.monotonic()
            _read(client.open(url, "GET", outgoing))
            assert began <= outgoing.connected_at <= time.monotonic()
            client.forget(url)


def test_tls_to_a_server_that_speaks_plainly(client: UpstreamClient, upstream: Upstream) -> None:
    upstream.on_connect(answers.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    with pytest.raises(errors.UpstreamTlsFailed):
        _open(client, upstream.url.replace("http", "https"))


# --- What is sent again -------------------------------------------------------------------------------------


def test_a_stale_connection_costs_no_call(
    client: UpstreamClient, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upstreams.client.STALE_SECONDS", PATIENCE)
    upstream.on("*", answers.json(200, {}), answers.reset("request_head"), answers.json(200, {"again": 1}))
    _read(_open(client, upstream.url))
    assert _read(_open(client, upstream.url, body=b"12345")) == b'{"again":1}'
    assert upstream.requests[-1].body == b"12345"


def test_what_a_connection_noted_of_an_earlier_call_says_nothing_of_the_next(
    client: UpstreamClient, upstream: Upstream
) -> None:
    first, second = Outgoing({}, "/x"), Outgoing({}, "/x")
    _read(client.open(upstream.url, "GET", first, None))
    first.connection.was_answered = True
    _read(client.open(upstream.url, "GET", second, None))
    assert second.connection is first.connection
    assert not second.was_answered


def test_a_new_connection_that_is_reset_is_not_tried_again(client: UpstreamClient, upstream: Upstream) -> None:
    upstream.on("*", answers.reset())
    with pytest.raises(errors.UpstreamReset):
        _open(client, upstream.url)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "failure",
    [ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "unexpected eof"), OSError(errno.EHOSTUNREACH, "no route")],
    ids=["the TLS connection broke", "the way was lost"],
)
def test_what_fails_after_the_request_has_left_may_have_been_seen(
    client: UpstreamClient, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, failure: OSError
) -> None:
    """Another candidate must not get it too: the generation would run twice."""

    def fail(response: UpstreamHTTPResponse) -> None:
        raise failure

    monkeypatch.setattr(UpstreamHTTPResponse, "begin", fail)
    with pytest.raises(errors.UpstreamReset) as caught:
        _open(client, upstream.url, body=b"12345")
    assert not caught.value.before_sent
    assert upstream.wait_for_request().body == b"12345"


def test_an_old_connection_that_is_reset_after_work_is_not_tried_again(
    client: UpstreamClient, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upstreams.client.STALE_SECONDS", 0.1)
    upstream.on("*", answers.json(200, {}), answers.delayed(0.2, answers.reset()))
    _read(_open(client, upstream.url))
    with pytest.raises(errors.UpstreamReset):
        _open(client, upstream.url)
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nCont",
        b"H",
    ],
    ids=["early hints", "continue", "half a head", "one byte"],
)
@pytest.mark.parametrize("end", ["reset", "fin"])
def test_a_call_of_which_the_upstream_has_said_something_is_not_sent_again(
    client: UpstreamClient, upstream: Upstream, said: bytes, end: str
) -> None:
    """The connection was none that had been closed before: the GPU may be at work."""
    outgoing = Outgoing({"Content-Length": "5"}, "/x")

    def begin_and_end(exchange: Exchange) -> None:
        exchange.send(said)
        while _unread(outgoing):  # a reset takes along what has not been read
            exchange.pause(0.001)
        getattr(exchange, end)()

    upstream.on("*", answers.json(200, {}), begin_and_end, answers.json(200, {"again": 1}))
    _read(_open(client, upstream.url))
    with pytest.raises(errors.UpstreamError):
        client.open(upstream.url, "POST", outgoing, b"12345")
    assert len(upstream.requests) == 2


def _unread(outgoing: Outgoing) -> int:
    """Bytes that the client's side has received and not taken from its socket."""
    return struct.unpack("i", fcntl.ioctl(outgoing.connection.sock, termios.FIONREAD, bytes(4)))[0]


# --- Probes -------------------------------------------------------------------------------------------------


def test_a_probe_fetches_a_small_answer(upstream: Upstream) -> None:
    fetched = fetch(upstream.url, "secret", "/version", timeout=PATIENCE)
    assert (fetched.status, fetched.body, fetched.headers["content-type"]) == (200, b"{}", "application/json")
    assert upstream.requests[0].header("authorization") == "Bearer secret"
    upstream.wait_for(lambda: not upstream.open_connections)


def test_a_probe_reads_no_large_answer(upstream: Upstream) -> None:
    upstream.on("*", answers.body(b"x" * 2000))
    with pytest.raises(errors.UpstreamInvalid, match="too large"):
        fetch(upstream.url, "", "/version", timeout=PATIENCE, limit=1000)


@pytest.mark.parametrize("slow", [answers.slow_body(b"x" * 5000), answers.silence()])
def test_a_probe_s_time_is_bounded(upstream: Upstream, slow: Callable[..., None]) -> None:
    upstream.on("*", slow)
    began = time.monotonic()
    with pytest.raises(errors.UpstreamTimeout):
        fetch(upstream.url, "", "/version", timeout=0.3)
    assert time.monotonic() - began < PATIENCE / 2


def test_a_head_that_drips_in_ends_with_the_probe_s_time(upstream: Upstream) -> None:
    def drip(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\n")
        for piece in itertools.repeat(b"x"):
            exchange.send(piece)
            exchange.pause(0.05)

    upstream.on("*", drip)
    with pytest.raises(errors.UpstreamTimeout):
        fetch(upstream.url, "", "/version", timeout=0.3)


def test_many_threads_share_a_client(client: UpstreamClient, upstream: Upstream) -> None:
    bodies: list[bytes] = []
    threads = [threading.Thread(target=lambda: bodies.append(_read(_open(client, upstream.url)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == [b"{}"] * 8
    client.forget(upstream.url)
