"""The form scanner reads what has one meaning, and refuses to read the rest."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.body.fields import LIMIT, Fields
from gateway.body.form_scan import HEAD_LIMIT, FormScanner

MULTIPART = "multipart/form-data; boundary=B"
URLENCODED = "application/x-www-form-urlencoded"


def part(name: str, value: bytes, more: str = "", head: str = "") -> bytes:
    return f'--B\r\nContent-Disposition: form-data; name="{name}"{more}\r\n{head}\r\n'.encode() + value + b"\r\n"


AUDIO = part("file", b"\x00\r\n--\r\r\n--A\xff" * 50, '; filename="a.wav"', "Content-Type: audio/wav\r\n")
END = b"--B--\r\n"


def scan(body: bytes, content_type: str = MULTIPART, cut: int = 0) -> Fields:
    scanner = FormScanner(content_type)
    for start in range(0, len(body), cut or len(body) or 1):
        scanner.feed(body[start : start + (cut or len(body))])
        if cut:
            scanner._wanted = 0
    return scanner.finish()


@pytest.mark.parametrize("cut", [0, 1, 2, 7])
def test_it_works(cut):
    body = AUDIO + part("model", b"whisper") + part("stream", b"true") + part("user", "é".encode()) + END
    fields = scan(body, cut=cut)
    assert (fields.readable, fields.kind, fields.model, fields.user) == (True, "multipart", "whisper", "é")
    assert fields.streaming
    assert not fields.include_usage
    assert body[slice(*fields.model_span)] == b"whisper"


def test_reads_whether_usage_is_wanted():
    assert scan(part("stream_include_usage", b"true") + END).include_usage


@pytest.mark.parametrize(
    "content_type",
    [
        'Multipart/Form-Data;boundary="B"', "multipart/form-data; charset=utf-8; boundary=B",
        "multipart/form-data; boundary=B; charset=UTF-8", " multipart/form-data; boundary=B;",
    ],
)  # fmt: skip
def test_reads_the_usual_content_types(content_type):
    assert scan(part("model", b"m") + END, content_type).model == "m"


@pytest.mark.parametrize(
    "content_type",
    [
        "", "application/json", "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=B",
        "multipart/form-data; boundary=B; boundary=C", "multipart/form-data; boundary=B; charset=utf-16",
        "multipart/form-data; boundary*=B", "multipart/form-data; x=y; boundary=B", URLENCODED + "; charset=utf-7",
    ],
)  # fmt: skip
def test_does_not_read_other_content_types(content_type):
    assert not scan(part("model", b"m") + END, content_type).readable


@pytest.mark.parametrize("value", [b"", b"\r\n", b"\r", b"x--B", b"a\r\nb", b"\r\n--", b"-", b"\n--B--\n"])
@pytest.mark.parametrize("cut", [0, 1])
def test_values_may_look_like_boundaries(value, cut):
    assert scan(part("model", value) + END, cut=cut).model == value.decode()


def test_the_name_may_be_bare():
    body = b"--B\r\ncontent-disposition:form-data;name=model\r\n\r\nm\r\n--B--"
    assert scan(body).model == "m"


def test_tells_a_second_model():
    fields = scan(part("model", b"a") + part("model", b"b") + END)
    assert fields.duplicate_model
    assert fields.model == "b"


MODEL = part("model", b"m")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"--B--", MODEL, MODEL + b"--B", MODEL + b"--B-", MODEL + END + b"x", b"\r\n" + MODEL + END,
        b"preamble\r\n" + MODEL + END, MODEL + b"--B \r\n" + END, MODEL + b"--Bx\r\n" + END,
        part("model", b"m", '; filename="x"') + END, part("model", b"m", "; filename*=utf-8''x") + END,
        part("model", b"m", '; name="file"') + END, part("file", b"m", '; name="model"') + END,
        part("file", b"m", '; name*="model"') + END, part("file", b"m", '; filename="a\\"; name=\\"model"') + END,
        part("mod\\el", b"m") + END, part("model", b"\xff") + END,
        part("model", b"m", head="Content-Transfer-Encoding: base64\r\n") + END,
        part("x", b"m", head='Content-Disposition: form-data; name="model"\r\n') + END,
        part("x", b"m", head=" folded: x\r\n") + END, part("x", b"m", head="a: \x00\r\n") + END,
        part("x", b"m", head="a: b\rc: d\r\n") + END, part("x", b"m", head="no colon\r\n") + END,
        part("x", b"m", head="a: " + "b" * HEAD_LIMIT + "\r\n") + END,
        b"--B\r\n\r\nm\r\n--B--", b"--B\r\na: b\r\n\r\nm\r\n--B--",
        b"--B\r\nContent-Disposition: form-data\r\n\r\nm\r\n--B--",
        b'--B\r\nContent-Disposition: attachment; name="model"\r\n\r\nm\r\n--B--',
        b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\n--B--\r\n--B--',
    ],
)  # fmt: skip
@pytest.mark.parametrize("cut", [0, 1])
def test_does_not_read_what_parsers_could_read_differently(body, cut):
    assert scan(body, cut=cut) == Fields(readable=False)


def test_a_wanted_value_may_not_be_large():
    assert scan(part("model", b"x" * LIMIT) + END).readable
    assert not scan(part("model", b"x" * (LIMIT + 1)) + END).readable


def test_files_are_not_held():
    scanner = FormScanner(MULTIPART)
    scanner.feed(part("file", b"", '; filename="a"')[:-2])
    for _ in range(50):
        scanner.feed(b"\r\n--" + b"x" * 50_000)
        assert scanner._held < 120_000
    scanner.feed(b"\r\n" + MODEL + END)
    assert scanner.finish().model == "m"


@given(
    st.lists(st.tuples(st.sampled_from(["model", "stream", "user", "file", "x"]), st.binary(max_size=9)), max_size=5),
    st.integers(0, 9),
)
def test_reads_back_every_form(parts, cut):
    texts = [(name, value) for name, value in parts if name == "file" or value.isascii()]
    body = b"".join(part(name, value) for name, value in texts) + END
    fields = scan(body, cut=cut)
    if not texts or any(b"\r\n--B" in b"\r\n" + value for _, value in texts):
        return
    expected = {name: value.decode("latin-1") for name, value in texts}
    assert fields.readable
    assert (fields.model, fields.stream, fields.user) == tuple(map(expected.get, ("model", "stream", "user")))
    assert fields.duplicate_model == (sum(name == "model" for name, _ in texts) > 1)


@pytest.mark.parametrize("cut", [0, 1])
def test_reads_urlencoded_forms(cut):
    body = b"&a=b&mod%65l=a+b%2F%C3%A9&&stream=1&flag"
    fields = scan(body, URLENCODED, cut)
    assert (fields.kind, fields.model, fields.stream) == ("urlencoded", "a b/é", "1")
    assert body[slice(*fields.model_span)] == b"a+b%2F%C3%A9"


@pytest.mark.parametrize(
    "body",
    [b"a=1;model=x", b"model", b"model=%ff", b"model=\xff", b"model=a b", b"a=" + b"x" * 2 * LIMIT],
)
def test_does_not_read_doubtful_urlencoded_forms(body):
    assert not scan(body, URLENCODED).readable


@pytest.mark.parametrize("begin", [MULTIPART, URLENCODED])
def test_a_long_type_takes_no_time(begin: str) -> None:
    """One of 32 kB, which the server takes, held up all calls for three seconds."""
    began = time.thread_time()
    assert not scan(b"model=m", begin + " " * 32_000 + "x").readable
    assert time.thread_time() - began < 0.2
