"""Edits: the model's name and the wish for usage, spliced into bodies."""

import json

import pytest

from gateway.body.scan import (
    UNREADABLE,
    Edit,
    Fields,
    FormScanner,
    JsonScanner,
    apply,
    apply_bytes,
    ask_for_usage,
    edited_length,
    replace_model,
)


def read(body: bytes) -> Fields:
    scanner = JsonScanner()
    scanner.feed(body)
    return scanner.finish()


def read_form(body: bytes, content_type: str) -> Fields:
    scanner = FormScanner(content_type)
    scanner.feed(body)
    return scanner.finish()


def with_usage(body: bytes) -> bytes | None:
    edit = ask_for_usage(read(body))
    return None if edit is None else apply_bytes(body, [edit])


def test_replaces_the_model_and_nothing_else():
    body = b'{ "a" : 1, "model" : "alias" , "b":"model" }'
    assert apply_bytes(body, [replace_model(read(body), 'org/"é"')]) == (
        b'{ "a" : 1, "model" : "org/\\"\\u00e9\\"" , "b":"model" }'
    )


def test_replaces_the_model_in_a_multipart_form():
    body = b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nalias\r\n--B--\r\n'
    fields = read_form(body, "multipart/form-data; boundary=B")
    assert apply_bytes(body, [replace_model(fields, "é")]) == body.replace(b"alias", "é".encode())


def test_replaces_the_model_in_an_urlencoded_form():
    body = b"a=b&model=alias&c"
    fields = read_form(body, "application/x-www-form-urlencoded")
    assert apply_bytes(body, [replace_model(fields, "a b&é")]) == b"a=b&model=a+b%26%C3%A9&c"


def test_cannot_replace_a_model_that_is_not_there():
    with pytest.raises(ValueError, match="no model"):
        replace_model(read(b"{}"), "m")


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (b'{"a":1}', b'{"stream_options":{"include_usage":true},"a":1}'),
        (b" { } ", b' {"stream_options":{"include_usage":true} } '),
        (b'{"stream_options":null}', b'{"stream_options":{"include_usage":true}}'),
        (b'{"stream_options": {} }', b'{"stream_options": {"include_usage":true} }'),
        (b'{"stream_options":{"include_usage":false,"x":[1]}}', b'{"stream_options":{"include_usage":true,"x":[1]}}'),
        (b'{"stream_options":{"continuous_usage_stats":true}}', b'{"stream_options":{"include_usage":true}}'),
    ],
)
def test_asks_for_usage(body, changed):
    assert with_usage(body) == changed


@pytest.mark.parametrize(
    "body",
    [
        b'{"stream_options":{"include_usage":true}}',
        b'{"stream_options":{"include_usage":"yes"}}',
        b'{"stream_options":[]}',
        b'{"stream_options":"x"}',
        b"[]",
        b"",
    ],
)
def test_leaves_the_body_alone(body):
    assert with_usage(body) is None


def test_keeps_a_wrong_option_for_vllm_to_refuse():
    changed = with_usage(b'{"stream_options":{"continuous_usage_stats":"x"}}')
    assert json.loads(changed)["stream_options"] == {"continuous_usage_stats": "x", "include_usage": True}


def test_both_edits_at_once():
    body = b'{"model":"alias","stream":true}'
    fields = read(body)
    edits = [replace_model(fields, "served"), ask_for_usage(fields)]
    assert apply_bytes(body, edits) == (b'{"stream_options":{"include_usage":true},"model":"served","stream":true}')
    assert edited_length(edits, len(body)) == len(apply_bytes(body, edits))


def test_segments_refer_to_the_original():
    edits = [Edit(5, 8, b"new"), Edit(0, 0, b"head"), Edit(8, 10, b"")]
    assert apply(edits, 12) == [b"head", (0, 5), b"new", (10, 12)]
    assert apply([], 3) == [(0, 3)]
    assert apply([], 0) == []


def test_nothing_is_known_of_an_unreadable_body():
    assert Fields(readable=False) == UNREADABLE
    assert not UNREADABLE.streaming
    assert not UNREADABLE.include_usage
