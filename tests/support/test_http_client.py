import time

import pytest

from tests.support import answers
from tests.support.http_client import HttpClient, call
from tests.support.upstream import Upstream

pytestmark = pytest.mark.sockets


@pytest.fixture
def upstream():
    with Upstream() as upstream:
        yield upstream.on("*", answers.echo())


@pytest.fixture
def client(upstream):
    with HttpClient(upstream.port) as client:
        yield client


def test_any_bytes_are_sent_as_they_are(upstream, client):
    client.send(b"ODD \xff HTTP/1.1\r\n\r\n")
    assert client.read_response().json()["target"] == "\xff"


def test_a_list_of_pieces_is_sent_chunked(upstream):
    told = call(upstream.port, "POST", "/", body=[b"ab", b"c"]).json()
    assert (told["framing"], told["chunk_sizes"]) == ("chunked", [2, 1])


def test_bytes_can_be_sent_slowly(client):
    started = time.monotonic()
    client.send_slowly(b"GET / HTTP/1.1\r\n\r\n", piece=6, gap=0.01)
    assert client.read_response().status == 200
    assert time.monotonic() - started > 0.02


def test_the_answer_to_head_has_no_body(client):
    for _ in range(2):
        client.request("HEAD", "/")
        response = client.read_response()
        assert (response.status, response.body) == (200, b"")


def test_interim_heads_are_shown_on_demand(upstream, client):
    upstream.on("GET /", answers.interim_100_and_103(answers.json(200, {})))
    client.request("GET", "/")
    assert [client.read_head(interim=True).status for _ in range(3)] == [100, 103, 200]


def test_trailers_are_read(upstream):
    upstream.on("GET /", answers.trailer([b"x"], [("x-t", "1")]))
    assert call(upstream.port, "GET", "/").trailers == [("x-t", "1")]


def test_an_open_connection_is_told_from_an_ended_one(client):
    assert client.wait_for_end(0.02) == "open"


def test_events_are_the_data_of_each_event(upstream):
    upstream.on("GET /", answers.stream([b"event: a\ndata: 1\n\n", b": note\n\n", answers.event({"b": 2})]))
    assert call(upstream.port, "GET", "/").events() == ["1", '{"b":2}']


def test_the_client_answers_through_a_half_close(upstream, client):
    upstream.on("GET /", answers.json(200, {}))
    client.request("GET", "/")
    client.half_close()
    assert client.read_response().status == 200
