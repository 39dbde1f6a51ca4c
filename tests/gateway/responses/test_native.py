"""What an upstream's own answers tell: a missing route, the id of a new response."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.responses.native import REMEMBERED_SECONDS, IdReader, NativeRoutes, is_missing, is_missing_for_all

RECORDINGS = Path(__file__).parents[2] / "recordings"
STREAM = (RECORDINGS / "responses.sse").read_bytes()
PLAIN = (RECORDINGS / "responses.json").read_bytes()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b'{"detail":"Not Found"}'),
        (404, b"<html>"),
        (404, b""),
        (405, b'{"detail":"Method Not Allowed"}'),
        (501, b"{}"),
    ],
)
def test_a_route_is_missing(status: int, body: bytes) -> None:
    assert is_missing(status, body)


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b'{"error":{"message":"The model `x` does not exist."}}'), (400, b"{}"), (200, b"{}"), (500, b"")],
)  # fmt: skip
def test_a_route_is_there(status: int, body: bytes) -> None:
    assert not is_missing(status, body)


@pytest.mark.parametrize(
    ("path", "body", "for_all"),
    [
        ("/v1/responses", b'{"detail":"Not Found"}', True),
        ("/responses", b"", True),
        ("/v1/RESPONSES", b'{"detail":"Not Found"}', False),
        ("/v1/responses", b'{"error":{"message":"Only \'auto\' tool_choice is supported","code":501}}', False),
    ],
)
def test_what_may_be_about_one_call_holds_for_that_one(path: str, body: bytes, *, for_all: bool) -> None:
    assert is_missing_for_all(path, body) == for_all


def test_a_missing_route_is_remembered_for_some_minutes() -> None:
    now = [0.0]
    routes = NativeRoutes(lambda: now[0])
    assert not routes.are_missing(1)
    routes.note_missing(1)
    assert routes.are_missing(1)
    assert not routes.are_missing(2)
    now[0] = REMEMBERED_SECONDS
    assert not routes.are_missing(1)


def read(*pieces: bytes, is_stream: bool) -> tuple[str | None, int]:
    """The id, and after how many pieces it was known."""
    reader, begun = IdReader(is_stream=is_stream), b""
    for count, piece in enumerate(pieces, 1):
        begun += piece
        if reader.look(begun, is_all=False):
            return reader.response_id, count
    assert reader.look(begun, is_all=True)
    return reader.response_id, len(pieces)


def test_a_plain_answer_tells_its_id_at_once() -> None:
    assert read(PLAIN[:40], PLAIN[40:], is_stream=False) == ("resp_8e1a5d3db71e66e9", 1)


def test_an_id_elsewhere_is_found_at_the_end() -> None:
    assert read(b'{"object": "response", ', b'"id": "resp_1"}', is_stream=False) == ("resp_1", 2)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"nonsense", b'{"id": 1}', b'{"id": ""}'])
def test_an_answer_without_an_id_has_none(body: bytes) -> None:
    assert read(body, is_stream=False)[0] is None


@given(st.integers(1, 200))
def test_a_stream_tells_its_id_in_its_first_event(size: int) -> None:
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    found, count = read(*pieces, is_stream=True)
    assert found is not None
    assert found.startswith("resp_")
    assert sum(map(len, pieces[:count])) - size <= STREAM.index(b"\n\n") + 2


def test_a_comment_tells_nothing_and_another_event_that_there_is_none() -> None:
    assert read(b": hello\n\n", b'data: {"response": 1}\n\n', STREAM, is_stream=True) == (None, 2)
