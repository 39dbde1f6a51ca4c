import time

import pytest

from tests.support import answers, vllm, wire
from tests.support.http_client import HttpClient, call, post_json
from tests.support.ports import unused_port
from tests.support.upstream import Upstream

pytestmark = pytest.mark.sockets

EVENTS = [b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n"]


@pytest.fixture
def upstream():
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def client(upstream):
    with HttpClient(upstream.port) as client:
        yield client


def test_it_starts_within_20_ms():
    assert min(seconds_to_start() for _ in range(20)) < 0.02  # a busy machine lets some of them wait


def seconds_to_start() -> float:
    started = time.monotonic()
    with Upstream():
        return time.monotonic() - started


def test_what_nothing_matches_is_vllms_404(upstream):
    assert call(upstream.port, "GET", "/nothing").json() == {"detail": "Not Found"}


def test_a_request_is_recorded_exactly(upstream, client):
    client.send(b"PUT /a%2Fb?x&x=%zz| HTTP/1.1\r\nX-Odd:  v\xe9 \r\nx-ODD: 2\r\nContent-Length: 2\r\n\r\n\x00\xff")
    request = upstream.wait_for_request()
    assert (request.method, request.target, request.body) == ("PUT", "/a%2Fb?x&x=%zz|", b"\x00\xff")
    assert request.headers == [("X-Odd", "v\xe9"), ("x-ODD", "2"), ("Content-Length", "2")]
    assert request.framing == "length"


def test_chunks_and_trailers_of_a_request_are_recorded(upstream, client):
    client.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\nX-T: 1\r\n\r\n")
    request = upstream.wait_for_request()
    assert (request.body, request.chunk_sizes, request.trailers) == (b"abcde", [2, 3], [("X-T", "1")])


def test_behaviours_are_used_in_turn_and_the_last_one_stays(upstream):
    upstream.on("GET /x", answers.json(500, {}), answers.json(200, {}))
    assert [call(upstream.port, "GET", "/x?q").status for _ in range(3)] == [500, 200, 200]


def test_the_full_target_wins_over_the_path_and_the_path_over_any(upstream):
    for status, route in ((201, "GET /x?a"), (202, "GET /x"), (203, "* /x"), (206, "GET *"), (207, "*")):
        upstream.on(route, answers.json(status, {}))
    asked = [("GET", "/x?a"), ("GET", "/x?b"), ("PUT", "/x"), ("GET", "/y"), ("PUT", "/y")]
    assert [call(upstream.port, *ask).status for ask in asked] == [201, 202, 203, 206, 207]


@pytest.mark.parametrize(("framing", "end"), [("chunked", "clean"), ("length", "clean"), ("close", "closed")])
def test_a_stream_sends_each_event_by_itself_in_every_framing(upstream, framing, end):
    upstream.on("GET /s", answers.stream(EVENTS, gap=0.03, framing=framing))
    response = call(upstream.port, "GET", "/s")
    assert [chunk.data for chunk in response.chunks] == EVENTS
    assert response.end == end
    assert response.times[2] - response.times[0] > 0.05


def test_the_head_of_a_stream_comes_at_once(upstream, client):
    upstream.on("GET /s", answers.stream(EVENTS, before=0.1))
    client.request("GET", "/s")
    head = client.read_head()
    assert next(client.read_chunks(head)).at - head.arrived_at > 0.08


def test_the_peers_close_is_noticed_while_silent(upstream, client):
    upstream.on("GET /s", answers.silence())
    client.request("GET", "/s")
    request = upstream.wait_for_request()
    client.close()
    upstream.wait_for(lambda: request.closed_at)
    assert request.cancelled
    assert upstream.open_connections == 0


def test_a_half_close_counts_as_leaving(upstream, client):
    upstream.on("GET /s", answers.endless(b"data: x\n\n", gap=0.01))
    client.request("GET", "/s")
    upstream.wait_for_request()
    client.half_close()
    upstream.wait_for(lambda: upstream.requests[0].cancelled)
    assert not upstream.connections[0].was_reset


def test_the_peers_reset_is_told_from_its_close(upstream, client):
    upstream.on("GET /s", answers.silence())
    client.request("GET", "/s")
    upstream.wait_for_request()
    client.reset()
    upstream.wait_for(lambda: upstream.connections[0].was_reset)


def test_an_idle_connection_is_closed():
    with Upstream(keep_alive=0.05) as upstream, HttpClient(upstream.port) as client:
        upstream.on("GET /", answers.json(200, {}))
        client.request("GET", "/")
        assert client.read_response().status == 200
        assert client.wait_for_end() == "fin"
        assert not upstream.requests[0].cancelled


def test_connections_are_kept_alive(upstream, client):
    upstream.on("GET /", answers.json(200, {}))
    for _ in range(2):
        client.request("GET", "/")
        client.read_response()
    assert [request.connection.number for request in upstream.requests] == [0, 0]


@pytest.mark.parametrize(
    ("behaviour", "end"),
    [
        (answers.die_mid_stream(EVENTS), "cut"),
        (answers.half_chunk_then_fin(EVENTS), "cut"),
        (answers.wrong_content_length(b"{}", 10), "cut"),
        (answers.reset("stream", EVENTS), "reset"),
        (answers.trailer(EVENTS, [("x-t", "1")]), "clean"),
        (answers.slow_body(b"{}", gap=0.001), "clean"),
        (answers.gzip({"a": 1}), "clean"),
        (answers.interim_100_and_103(answers.json(200, {})), "clean"),
        (answers.close_kept_alive_after_answer(answers.json(200, {})), "clean"),
    ],
)
def test_each_behaviour_ends_its_body_as_it_says(upstream, behaviour, end):
    upstream.on("GET /", behaviour)
    response = call(upstream.port, "GET", "/")
    assert (response.status, response.end) == (200, end)


@pytest.mark.parametrize("at", ["request_head", "request_end"])
def test_a_reset_before_the_answer_leaves_no_head(upstream, client, at):
    upstream.on("POST /", answers.reset(at))
    client.request("POST", "/", body=b"x")
    with pytest.raises(wire.PeerReset):
        client.read_head()


def test_a_connection_can_be_reset_or_silent_from_the_start(upstream):
    upstream.on_connect(answers.reset(), answers.silence())
    try:
        with HttpClient(upstream.port) as client:
            assert client.wait_for_end() == "reset"
    except ConnectionResetError:
        pass  # it came before the connection was ours
    with HttpClient(upstream.port) as client:
        assert client.wait_for_end(0.05) == "open"


def test_an_early_response_does_not_wait_for_the_body(upstream, client):
    upstream.on("POST /", answers.early_response_before_body_end(413))
    client.request("POST", "/", [("content-length", "1000000")], b"begin")
    assert client.read_response().status == 413
    assert not upstream.requests[0].complete


def test_a_head_can_be_followed_by_silence(upstream, client):
    upstream.on("GET /", answers.head_then_silence(events=EVENTS[:1]))
    client.request("GET", "/")
    chunks = client.read_chunks(client.read_head())
    assert next(chunks).data == EVENTS[0]
    client.socket.settimeout(0.05)
    assert (list(chunks), client.end) == ([], "timeout")


def test_echo_describes_the_request(upstream):
    upstream.on("*", answers.echo())
    told = call(upstream.port, "PATCH", "/e?%2f", [("X-A", "1")], b"abc").json()
    assert (told["method"], told["target"], told["body"]["length"]) == ("PATCH", "/e?%2f", 3)
    assert ["X-A", "1"] in told["headers"]


def test_redirects_cookies_and_big_headers_are_headers(upstream):
    upstream.on("GET /r", answers.redirect("http://127.0.0.1:{port}/x"))
    upstream.on("GET /c", answers.set_cookie("a=1", "b=2"))
    upstream.on("GET /b", answers.big_header(1000))
    assert call(upstream.port, "GET", "/r").header("location") == f"{upstream.url}/x"
    assert wire.values(call(upstream.port, "GET", "/c").head.headers, "set-cookie") == ["a=1", "b=2"]
    assert len(call(upstream.port, "GET", "/b").header("x-big") or "") == 1000


def test_a_body_can_be_read_slowly(upstream):
    upstream.on("POST /", answers.read_slowly(answers.echo(), piece=1, gap=0.01))
    started = time.monotonic()
    assert call(upstream.port, "POST", "/", body=b"12345").json()["body"]["length"] == 5
    assert time.monotonic() - started > 0.04


def test_expect_100_continue_is_answered_before_the_body(upstream, client):
    upstream.on("POST /", answers.json(200, {}))
    client.request("POST", "/", [("expect", "100-continue"), ("content-length", "1")])
    assert client.read_head(interim=True).status == 100


def test_what_is_not_http_gets_vllms_400(upstream, client):
    client.send(b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
    assert client.read_response().body == b"Invalid HTTP request received."
    assert len(upstream.malformed) == 1


def test_a_reader_that_stops_stops_an_endless_stream():
    with Upstream(send_buffer=4096) as upstream, HttpClient(upstream.port, receive_buffer=4096) as client:
        upstream.on("GET /", answers.endless(b"x" * 1000))
        client.request("GET", "/")
        request = upstream.wait_for_request()
        time.sleep(0.1)
        assert request.bytes_sent < 200_000


def test_nothing_listens_on_an_unused_port():
    with pytest.raises(ConnectionRefusedError):
        HttpClient(unused_port())


def test_a_chat_stream_has_usage_only_when_it_was_asked_for(upstream):
    vllm.serve(upstream)
    target, asked = "/v1/chat/completions", {"stream_options": {"include_usage": True}}
    plain = post_json(upstream.port, target, {"stream": True}).events()
    usage = post_json(upstream.port, target, {"stream": True, **asked}).events()
    assert len(usage) == len(plain) + 1
    assert '"choices":[],"usage":{"prompt_tokens":13,"total_tokens":25' in usage[-2]
    assert plain[-1] == usage[-1] == "[DONE]"


def test_a_plain_chat_answer_has_usage(upstream):
    vllm.serve(upstream, words=["a", "b"])
    for path in ("chat/completions", "completions"):
        assert post_json(upstream.port, f"/v1/{path}", {}).json()["usage"]["completion_tokens"] == 2


def test_the_monitoring_routes_answer_as_vllm(upstream):
    vllm.serve(upstream)
    found = {path: call(upstream.port, "GET", path) for path in ("/health", "/version", "/v1/models", "/metrics")}
    assert {response.status for response in found.values()} == {200}
    assert found["/v1/models"].json()["data"][0]["id"] == "tiny-chat"
