"""What is read from a body and what is changed in it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from gateway import routes
from gateway.body.request_body import receive
from gateway.call import ParsedCall, parse, scanner_for
from gateway.errors import DuplicateModel

CHAT = "/v1/chat/completions"


def _parsed(data: bytes, route: str = CHAT, content_type: str = "application/json", *, spool: Path) -> ParsedCall:
    match = routes.find("POST", route)
    scanner = scanner_for(match, content_type)
    body = receive(
        io.BytesIO(data),
        length=len(data),
        limit=10_000_000,
        spool=spool,
        scanners=[scanner],
        on_bytes=lambda total: None,
    )
    return parse(body, match, scanner)


def test_the_few_fields_are_read(tmp_path: Path) -> None:
    call = _parsed(b'{"model":"m","user":"u","stream":true}', spool=tmp_path)
    assert (call.model, call.user, call.is_readable) == ("m", "u", True)


def test_no_body_names_nothing_for_certain(tmp_path: Path) -> None:
    call = _parsed(b"", spool=tmp_path)
    assert (call.model, call.user, call.is_readable) == (None, None, True)
    assert call.edits("served") == ([], False)
    assert call.outgoing([]) == (None, 0)


def test_a_body_that_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    call = _parsed(b'{"model":"m"', spool=tmp_path)
    assert (call.model, call.is_readable, call.edits("served")) == (None, False, ([], False))


def test_a_second_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DuplicateModel):
        _parsed(b'{"model":"m","model":"n"}', spool=tmp_path)


def test_an_alias_becomes_the_served_name(tmp_path: Path) -> None:
    call = _parsed(b'{"model":"m"}', spool=tmp_path)
    edits, asked = call.edits("org/served")
    assert (call.outgoing(edits), asked) == ((b'{"model":"org/served"}', 22), False)


@pytest.mark.parametrize(
    ("route", "body", "asked"),
    [
        (CHAT, b'{"stream":true}', True),
        ("/v1/completions", b'{"stream":true}', True),
        (CHAT, b'{"stream":false}', False),
        (CHAT, b'{"stream":true,"stream_options":{"include_usage":true}}', False),
        ("/v1/responses", b'{"stream":true}', False),
    ],
)
def test_usage_is_asked_for_where_it_must_be(route: str, body: bytes, asked: bool, tmp_path: Path) -> None:
    assert _parsed(body, route, spool=tmp_path).edits(None)[1] is asked


def test_a_spooled_body_is_edited_without_being_held(tmp_path: Path) -> None:
    filling = b"x" * 1_100_000
    call = _parsed(b'{"model":"m","p":"%s"}' % filling, spool=tmp_path)
    edits, _ = call.edits("served")
    body, length = call.outgoing(edits)
    assert not isinstance(body, bytes)
    assert body is not None
    assert b"".join(body) == b'{"model":"served","p":"%s"}' % filling
    assert length == len(filling) + 25
    call.body.close()


def test_the_model_of_a_form_is_read_on_the_speech_routes(tmp_path: Path) -> None:
    form = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper\r\n--b--\r\n'
    given = "multipart/form-data; boundary=b"
    assert _parsed(form, "/v1/audio/transcriptions", given, spool=tmp_path).model == "whisper"
    assert not _parsed(form, CHAT, given, spool=tmp_path).is_readable
