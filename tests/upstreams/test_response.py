"""How response heads are read, on bytes."""

import http.client
import io
from typing import Any

import pytest

from upstreams.response import MOST_HEADERS, UpstreamHTTPResponse, read_headers


class Socket:
    """A socket from which these bytes come."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self._data))


def response(data: bytes, method: str = "GET") -> Any:
    read = UpstreamHTTPResponse(Socket(data), method=method)  # type: ignore[arg-type]
    read.begin()
    return read


def whole(read: UpstreamHTTPResponse) -> bytes:
    return b"".join(iter(read.read1, b""))


def head(*lines: bytes, status: bytes = b"200 OK", version: bytes = b"HTTP/1.1") -> bytes:
    return b"\r\n".join((version + b" " + status, *lines, b"", b""))


def test_headers_come_in_their_order_and_repeat() -> None:
    headers = read_headers(io.BytesIO(b"B: 1\r\nA:  2 \r\nb: 3\r\n\r\nrest"))
    assert headers == [("B", "1"), ("A", "2"), ("b", "3")]


def test_a_folded_line_belongs_to_the_value_before() -> None:
    assert read_headers(io.BytesIO(b"A: 1\r\n\t2\r\n\r\n")).get("a") == "1 2"


def test_bytes_beyond_ascii_are_kept() -> None:
    assert read_headers(io.BytesIO("A: ü\r\n\r\n".encode())).get("a") == "Ã¼"


@pytest.mark.parametrize(
    "line", [b"no colon", b": no name", b"space : before", b"x(y): 1", b" folded without a header"]
)
def test_what_is_no_header_is_refused(line: bytes) -> None:
    with pytest.raises(http.client.HTTPException):
        read_headers(io.BytesIO(line + b"\r\n\r\n"))


def test_headers_without_end_are_refused() -> None:
    with pytest.raises(http.client.IncompleteRead):
        read_headers(io.BytesIO(b"A: 1\r\nB: 2"))
    with pytest.raises(http.client.IncompleteRead):
        read_headers(io.BytesIO(b"A: 1\r\n"))
    with pytest.raises(http.client.HTTPException):
        read_headers(io.BytesIO(b"A: 1\r\n" * (MOST_HEADERS + 1) + b"\r\n"))
    with pytest.raises(http.client.LineTooLong):
        read_headers(io.BytesIO(b"A: " + b"x" * 70_000))


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing", b"103 Early Hints"])
def test_interim_answers_are_skipped(interim: bytes) -> None:
    read = response(head(b"Link: </a>", status=interim) + head(b"Content-Length: 2") + b"ok")
    assert (read.status, whole(read)) == (200, b"ok")


def test_a_body_ends_with_its_length() -> None:
    read = response(head(b"Content-Length: 2") + b"ok, next")
    assert (whole(read), read.will_close) == (b"ok", False)


def test_a_body_ends_with_its_last_chunk() -> None:
    read = response(head(b"Transfer-Encoding: Chunked") + b"2\r\nok\r\n0\r\n\r\nnext")
    assert (whole(read), read.will_close) == (b"ok", False)


@pytest.mark.parametrize(("rest", "is_fit"), [(b"", True), (b"x", False), (b"HTTP/1.1 200 OK\r\n", False)])
def test_a_connection_on_which_more_than_the_body_came_is_for_nobody_else(rest: bytes, is_fit: bool) -> None:
    read = response(head(b"Content-Length: 2") + b"ok" + rest)
    assert (whole(read), read.is_fit_for_more) == (b"ok", is_fit)


def test_a_body_without_framing_ends_with_the_connection() -> None:
    read = response(head() + b"ok")
    assert (whole(read), read.will_close) == (b"ok", True)


def test_two_framings_spoil_the_connection() -> None:
    read = response(head(b"Transfer-Encoding: chunked", b"Content-Length: 99") + b"2\r\nok\r\n0\r\n\r\n")
    assert (whole(read), read.will_close) == (b"ok", True)
    assert read.headers.get_all("content-length") == []  # who gets it would wait for 99 bytes


def test_a_length_that_is_told_twice_counts_once() -> None:
    read = response(head(b"Content-Length: 2", b"Content-Length: 2") + b"ok")
    assert (whole(read), read.headers.get_all("content-length")) == (b"ok", ["2"])


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"identity", b"chunked, chunked"])
def test_a_coding_that_cannot_be_undone_is_refused(coding: bytes) -> None:
    with pytest.raises(http.client.HTTPException):
        response(head(b"Transfer-Encoding: " + coding))


@pytest.mark.parametrize("status", [b"101 Switching Protocols", b"600 Six", b"999 Nine"])
def test_a_status_that_is_no_answer_s_is_refused(status: bytes) -> None:
    with pytest.raises(http.client.HTTPException):
        response(head(b"Content-Length: 0", status=status))


def test_a_reason_can_be_passed_on() -> None:
    assert response(head(status=b"200 O\x01K \xfc")).reason == "O K \u00fc"


@pytest.mark.parametrize("lengths", [[b"2", b"3"], [b"-1"], [b"+2"], [b"two"], [b"9" * 5_000]])
def test_a_length_in_doubt_is_refused(lengths: list[bytes]) -> None:
    with pytest.raises(http.client.HTTPException):
        response(head(*(b"Content-Length: " + length for length in lengths)))


@pytest.mark.parametrize(
    ("status", "method"), [(b"204 No Content", "GET"), (b"304 Not Modified", "GET"), (b"200 OK", "HEAD")]
)
def test_answers_without_a_body_have_none(status: bytes, method: str) -> None:
    for framing in (b"Content-Length: 5", b"Transfer-Encoding: chunked"):
        read = response(head(framing, status=status), method)
        assert (whole(read), read.will_close) == (b"", False)


@pytest.mark.parametrize(("lines", "closes"), [((), True), ((b"Connection: keep-alive",), False)])
def test_http_1_0_closes_unless_it_says_otherwise(lines: tuple[bytes, ...], closes: bool) -> None:
    assert response(head(b"Content-Length: 0", *lines, version=b"HTTP/1.0")).will_close is closes


def test_another_protocol_is_refused() -> None:
    with pytest.raises(http.client.HTTPException):
        response(head(version=b"HTTP/2"))


def test_a_body_that_ends_before_its_length_is_not_whole() -> None:
    read = response(head(b"Content-Length: 5") + b"ok")
    assert read.read1() == b"ok"
    with pytest.raises(http.client.IncompleteRead):
        read.read1()


@pytest.mark.parametrize(
    "line", [b"", b"HTTP/1.1", b"HTTP/1.1 20", b"HTTP/1.1 2000 OK", b"HTTP/1.1 \xb2\xb2\xb2", b"ICY 200"]
)
def test_what_is_no_status_line_is_refused(line: bytes) -> None:
    with pytest.raises(http.client.HTTPException):
        response(line + b"\r\n\r\n")


def test_of_a_long_body_little_is_held_at_once() -> None:
    read = response(head(b"Content-Length: 300000") + b"x" * 300_000)
    assert len(read.read1()) <= 65_536
    assert len(whole(read)) > 200_000
