import itertools

from hypothesis import given
from hypothesis import strategies as st

from gateway.metering.sse import Cutter, add_field, data_of, parse_object


def events(stream: bytes, *cuts: int) -> list[bytes]:
    cutter, found, event = Cutter(), [], b""
    places = [0, *sorted(cuts), len(stream)]
    for start, end in itertools.pairwise(places):
        for piece, whole in cutter.cut(stream[start:end]):
            event += piece
            if whole:
                found.append(event)
                event = b""
    return [*found, event]


def test_an_event_ends_with_a_blank_line():
    assert events(b"data: 1\n\ndata: 2\n\n") == [b"data: 1\n\n", b"data: 2\n\n", b""]


def test_an_event_may_end_its_lines_with_crlf():
    assert events(b"data: 1\r\n\r\ndata: 2\r\n\r\n") == [b"data: 1\r\n\r\n", b"data: 2\r\n\r\n", b""]


def test_an_event_may_end_its_lines_with_cr():
    assert events(b"data: 1\r\rdata: 2") == [b"data: 1\r\r", b"data: 2"]


def test_an_unfinished_event_is_no_event():
    assert events(b"data: 1\n\ndata: 2\n") == [b"data: 1\n\n", b"data: 2\n"]


def test_the_pieces_are_the_chunk_again():
    chunk = b"a\n\n\nb\r\n\r\nc"
    assert b"".join(piece for piece, _ in Cutter().cut(chunk)) == chunk


@given(st.text("\n\rx:", max_size=30).map(str.encode), st.lists(st.integers(0, 30), max_size=8))
def test_events_do_not_depend_on_how_a_stream_is_cut(stream, cuts):
    assert events(stream, *(cut for cut in cuts if cut <= len(stream))) == events(stream)


def test_data_loses_its_name_and_one_space():
    assert data_of(b"event: x\ndata:  {}\n\n") == b" {}"


def test_data_needs_no_space():
    assert data_of(b"data:{}\r\n\r\n") == b"{}"


def test_data_lines_are_joined():
    assert data_of(b"data: {\ndata: }\n\n") == b"{\n}"


def test_a_comment_has_no_data():
    assert data_of(b": keep-alive\n\n") == b""


def test_only_an_object_is_an_object():
    assert parse_object(b'{"a":1}') == {"a": 1}
    assert [parse_object(text) for text in (b"[DONE]", b"[1]", b"", b"{", b'{"a":"\xff"}')] == [None] * 5


def test_endless_nesting_is_no_object():
    assert parse_object(b'{"a":' + b"[" * 200_000) is None


def test_a_field_is_added_at_the_end():
    assert add_field(b'data: {"a":{}}\n\n', "b", 'q"é') == 'data: {"a":{},"b":"q\\"é"}\n\n'.encode()
