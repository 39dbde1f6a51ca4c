"""What the relay asks of gunicorn's objects, and that it works without them."""

from __future__ import annotations

import io
import socket
import threading
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.wsgi import Response

from gateway.serving.server import ClientConnection
from gateway.serving.server_response import RelayResponse, adopt
from gateway.wsgi import application
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.sockets


class Request:
    """What a gunicorn response asks of its request."""

    version = (1, 1)
    method = "GET"

    @staticmethod
    def should_close() -> bool:
        return False


@pytest.fixture
def pair() -> Any:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(PATIENCE)
        yield ours, theirs


def _response(sock: socket.socket, *headers: tuple[str, str]) -> Response:
    response = Response(Request(), sock, Config())
    adopt(response.start_response)
    if headers or headers == ():
        response.start_response("200 OK", list(headers))
    return response


def test_without_a_server_nothing_happens() -> None:
    connection = ClientConnection({})
    connection.set_server_name("x")
    connection.close_after()
    connection.cut()
    connection.abort()
    connection.linger()


def test_only_gunicorn_s_own_response_is_adopted(pair: Any) -> None:
    assert type(_response(pair[0])) is RelayResponse
    assert adopt(lambda status, headers: None) is None


def test_a_head_whose_body_has_a_length_leaves_with_it(pair: Any) -> None:
    response = _response(pair[0], ("Content-Length", "4"))
    response.send_headers()
    pair[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        pair[1].recv(1000)
    response.write(b"body")
    assert pair[1].recv(1000).endswith(b"\r\n\r\nbody")


def test_a_head_that_is_held_leaves_with_the_end_at_the_latest(pair: Any) -> None:
    response = _response(pair[0], ("Content-Length", "4"))
    response.send_headers()
    response.close()
    assert pair[1].recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_chunked_body_that_is_cut_has_no_last_chunk(pair: Any) -> None:
    response = _response(pair[0])
    connection = ClientConnection({"gateway.server_response": response, "gunicorn.socket": pair[0]})
    response.write(b"abc")
    connection.cut()
    response.close()
    assert response.should_close()
    assert pair[1].recv(1000).endswith(b"3\r\nabc\r\n")


def test_more_than_the_socket_takes_at_once_is_sent_whole(pair: Any) -> None:
    received = bytearray()

    def read() -> None:
        while len(received) < 3_000_000:
            received.extend(pair[1].recv(65_536))

    reader = threading.Thread(target=read)
    reader.start()
    _response(pair[0], ("Content-Length", "3000000")).write(b"x" * 3_000_000)
    pair[0].shutdown(socket.SHUT_WR)
    reader.join()
    assert received.endswith(b"x" * 3_000_000)


def test_an_abort_ends_both_directions(pair: Any) -> None:
    ClientConnection({"gunicorn.socket": pair[0]}).abort()
    assert pair[1].recv(10) == b""
    ClientConnection({"gunicorn.socket": pair[0]}).abort()


def test_lingering_reads_what_is_still_coming(pair: Any) -> None:
    pair[1].sendall(b"x" * 1000)
    pair[1].shutdown(socket.SHUT_WR)
    ClientConnection({"gunicorn.socket": pair[0]}).linger()
    assert pair[0].recv(10) == b""


@pytest.mark.django_db  # Django looks after its connection at the start of each request
def test_what_is_open_is_closed_when_an_answer_cannot_start() -> None:
    """A server closes only a body that it received."""
    closed: list[int] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/healthz", "gateway.abandon": lambda: closed.append(1)}

    def start_response(*arguments: object) -> None:
        raise OSError

    with pytest.raises(OSError):
        application({**environ, "SERVER_NAME": "x", "SERVER_PORT": "1", "wsgi.input": io.BytesIO()}, start_response)
    assert closed == [1]
