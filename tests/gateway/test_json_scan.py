"""The JSON scanner sees what json.loads sees, however the body is cut."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.body.fields import BLOCK, LIMIT, Fields
from gateway.body.json_scan import MAX_DEPTH, JsonScanner


def scan(body: bytes, cut: int = 0) -> Fields:
    """The fields of a body fed in pieces of `cut` bytes (0: at once) that are looked at as they come."""
    scanner = JsonScanner()
    for start in range(0, len(body), cut or len(body) or 1):
        scanner.feed(body[start : start + (cut or len(body))])
        if cut:
            scanner._wanted = 0
    return scanner.finish()


def test_it_works():
    fields = scan(b'{"model": "m", "stream": true, "user": "u", "messages": [], "stream_options": {"a": 1}}')
    assert (fields.model, fields.stream, fields.user, fields.stream_options) == ("m", True, "u", {"a": 1})
    assert fields.readable
    assert fields.streaming
    assert not fields.duplicate_model


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"[]", b'"model"', b"1", b"null", b"{", b'{"model":"m"', b'{"model":"m"}}', b'{"model":"m"} x',
        b'{"model":"m",}', b'{,"model":"m"}', b'{"model" "m"}', b"{model:1}", b"{'model':'m'}", b'{"a":01}',
        b'{"a":tru}', b'{"a":1 "b":2}', b'{"a":}', b'x{"model":"m"}', b'\xef\xbb\xbf\xef\xbb\xbf{}',
        '{"model":"m"}'.encode("utf-16"), '{"model":"m"}'.encode("utf-16-le"), '{"model":"m"}'.encode("utf-32"),
        b'{"model":5}', b'{"model":["m"]}', b'{"model":{}}', b'{"model":"\\ud800"}', b'{"user":"\\udfff"}',
        b'{"model":"\xff"}', b'{"model":"\xed\xa0\x80"}', b'{"mod\\u00":1}', b'{"model":"\\x"}', b'{"a":"b',
        b'{"a":[1,2', b'{"a":"\\', b"\x1f\x8b\x08", b'{"stream_options":{"a":}}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("cut", [0, 1])
def test_is_not_readable(body, cut):
    assert scan(body, cut) == Fields(readable=False)


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (b'\xef\xbb\xbf {"model":"m"}', "m"),
        (b' \n\t\r{ "model"\n:\t"m" }\r\n ', "m"),
        (b'{"mod\\u0065l":"m"}', "m"),
        (b'{"model":"\\u006d\\n\\"\\\\"}', 'm\n"\\'),
        (b'{"a":"\\\\","model":"m"}', "m"),
        (b'{"a":"\\"model\\":\\"x\\"","model":"m"}', "m"),
        (b'{"a":{"model":"x"},"b":[{"model":"y"}],"model":"m"}', "m"),
        (b'{"a":"{[","b":["]}"],"model":"m"}', "m"),
        (b'{"a":-1.5e+3,"b":NaN,"c":-Infinity,"d":null,"model":"m"}', "m"),
        (b'{"Model":"x","model ":"y","model":"m"}', "m"),
        ('{"é":"é","model":"é"}'.encode(), "é"),
        (b'{"model":null}', None),
        (b'{"model":""}', ""),
        (b"{}", None),
        (b'{"":"x"}', None),
    ],
)
@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_reads_the_model(body, model, cut):
    fields = scan(body, cut)
    assert fields.readable
    assert fields.model == model


@pytest.mark.parametrize(
    "body", [b'{"model":"a","model":"b"}', b'{"model":"b","x":1,"m\\u006fdel":"b"}', b'{"model":null,"model":"b"}']
)
def test_tells_a_second_model(body):
    fields = scan(body)
    assert fields.duplicate_model
    assert fields.model == "b"


def test_the_last_of_other_duplicates_counts():
    assert scan(b'{"stream":true,"stream":false}').stream is False


@pytest.mark.parametrize("user", [b'{"id":1}', b'""'])
def test_a_user_that_is_no_text_or_empty_is_none(user):
    assert scan(b'{"user":%s}' % user).user is None


@pytest.mark.parametrize("value", ["true", "1", "1.0", '"true"', '"ON"', '"yes"', '"t"'])
def test_streams_where_vllm_would(value):
    assert scan(b'{"stream":%s}' % value.encode()).streaming


@pytest.mark.parametrize("value", ["false", "0", "null", '"false"', '"no"', "2", "[]", '""'])
def test_does_not_stream_where_vllm_would_not(value):
    assert not scan(b'{"stream":%s}' % value.encode()).streaming


@pytest.mark.parametrize("cut", [0, 1, 5])
def test_tells_where_the_values_stand(cut):
    body = b' { "a":[{"model":"n"}], "model" : "m" ,"stream_options":{"a":[1]}}'
    fields = scan(body, cut)
    assert body[slice(*fields.model_span)] == b'"m"'
    assert body[slice(*fields.stream_options_span)] == b'{"a":[1]}'
    assert fields.after_brace == 2
    assert not fields.empty


def test_an_empty_object_is_told():
    assert scan(b" { } ", 1).empty


def nested(depth: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return b'{"a":' + opening * depth + closing * depth + b',"model":"m"}'


def test_depth_is_limited():
    assert scan(nested(MAX_DEPTH)).model == "m"
    assert not scan(nested(MAX_DEPTH + 2)).readable
    assert not scan(nested(100_000, b'{"a":[', b"]}")).readable


@pytest.mark.parametrize(
    "filling",
    [
        b'"' + b"x" * 300_000 + b'"',
        b'"' + b'\\"' * 150_000 + b'"',
        b'"' + b"\\\\" * 150_000 + b'"',
        b'[{"b":"' + b"\\n" * 150_000 + b'"},"c"]',
        b"[" + b"[]," * 100_000 + b"1]",
        b"[" + b'"a",' * 70_000 + b"[[]]]",
        b'[{"a":{"b":[' + b"1," * 150_000 + b"2]}}]",
    ],
)
@pytest.mark.parametrize("cut", [0, 1_000, 65_537])
def test_large_values_pass_without_being_held(filling, cut):
    scanner = JsonScanner()
    body = b'{"messages":' + filling + b',"model":"m"}'
    for start in range(0, len(body), cut or len(body)):
        scanner.feed(body[start : start + (cut or len(body))])
        assert scanner._held < BLOCK + 2
    fields = scanner.finish()
    assert fields.model == "m"
    assert body[slice(*fields.model_span)] == b'"m"'


@pytest.mark.parametrize("cut", [0, 65_536])
@pytest.mark.parametrize(
    "value", [b'"' + b"x" * LIMIT + b'"', b'{"a":[' + b"1," * LIMIT + b"1]}", b'{"a":"' + b"x" * LIMIT + b'"}']
)
def test_a_wanted_value_may_not_be_large(value, cut):
    assert not scan(b'{"stream_options":%s,"model":"m"}' % value, cut).readable


def test_a_value_that_never_ends_is_given_up():
    scanner = JsonScanner()
    for _ in range(10):
        scanner.feed(b'{"model":"' + b"x" * 30_000)
    assert scanner._held == 0
    assert not scanner.finish().readable


# --- Against json.loads --------------------------------------------------------------------------------------------

names = st.sampled_from(["model", "stream", "user", "stream_options", "Model", "a", 'x"y', "b\\", "é", ""])
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["]}", '"', "\\"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
members = st.lists(st.tuples(names, values), max_size=6)


def spelled(name: str, *, escaped: bool) -> str:
    return '"' + "".join(f"\\u{ord(character):04x}" for character in name) + '"' if escaped else json.dumps(name)


@st.composite
def bodies(draw: Any) -> bytes:
    blank = draw(st.sampled_from(["", " ", "\n\t"]))
    ascii_only = draw(st.booleans())
    written = [
        f"{spelled(name, escaped=draw(st.booleans()))}{blank}:{json.dumps(value, ensure_ascii=ascii_only)}"
        for name, value in draw(members)
    ]
    return ("{" + blank + f"{blank},{blank}".join(written) + blank + "}").encode("utf-8", "surrogatepass")


broken = st.tuples(
    bodies(), st.integers(0, 60), st.binary(max_size=2) | st.sampled_from([b'"', b"}", b"\\", b","])
).map(lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + 1 :])


@given(bodies() | broken, st.integers(0, 9))
@example(b'{"user":""}', 0)
def test_sees_what_json_loads_sees(body, cut):
    fields = scan(body, cut)
    try:
        pairs = json.loads(body, object_pairs_hook=lambda pairs: pairs)
        value = json.loads(body)
    except ValueError:
        return
    if not isinstance(value, dict) or not fields.readable:
        return
    assert fields.model == value.get("model")
    assert repr(fields.stream) == repr(value.get("stream"))
    assert fields.user == ((value.get("user") or None) if isinstance(value.get("user"), str) else None)
    assert repr(fields.stream_options) == repr(value.get("stream_options"))
    assert fields.duplicate_model == (sum(name == "model" for name, _ in pairs) > 1)
    assert fields.empty == (not value)


@given(members, st.integers(0, 9))
def test_reads_every_ordinary_object(pairs, cut):
    value = {name: value for name, value in pairs if name != "model"}
    fields = scan(json.dumps({**value, "model": "m"}).encode(), cut)
    assert fields.readable
    assert fields.model == "m"
