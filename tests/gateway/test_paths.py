"""Paths: what passes, what is refused, and that the fast way and a slow model always agree."""

import unicodedata
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.paths import Target, UnsafePath, parse


def test_it_works():
    assert parse("/vllm/v1/chat/completions?a=1") == Target(
        raw="/v1/chat/completions?a=1", path="/v1/chat/completions", query="a=1", route="/v1/chat/completions"
    )


@pytest.mark.parametrize(
    ("raw_target", "raw"),
    [
        ("/vllm", "/"),
        ("/vllm/", "/"),
        ("/vllm?", "/?"),
        ("/vllm?a=1", "/?a=1"),
        ("/vllm/v1/models/", "/v1/models/"),
        ("/vllm/x?", "/x?"),
        ("/vllm/x?a=1&a=2&b=&c", "/x?a=1&a=2&b=&c"),
        ("/vllm/x?p=%2f%2F..%00&q=a|b", "/x?p=%2f%2F..%00&q=a|b"),
        ("/vllm/x?u=//h/../?#f", "/x?u=//h/../?#f"),
        ("/vllm/x?q=\xe9", "/x?q=\xe9"),
        ("/vllm/a|b/%zz/%", "/a|b/%zz/%"),
        ("/vllm/a%20b/%C3%A9", "/a%20b/%C3%A9"),
        ("/vllm/.well-known/..x/x..", "/.well-known/..x/x.."),
        ("/vllm/a;b=c", "/a;b=c"),
        ("/vllm/%ff", "/%ff"),
        ("http://h:1/vllm/x?y", "/x?y"),
        ("HTTPS://u@h/vllm/x", "/x"),
        ("http://h/vllm", "/"),
    ],
)
def test_goes_up_byte_for_byte(raw_target, raw):
    assert parse(raw_target).raw == raw


@pytest.mark.parametrize(
    "path",
    [
        "/.", "/..", "/./x", "/../x", "/x/..", "/x/.", "/x/../y", "//x", "/x//", "/x//y", "//",
        "/%2e", "/%2E%2e/x", "/.%2e/x", "/%252e%252e/x", "/%25252e%25252E/x", "/x%2fy", "/x%2Fy", "/x%252fy",
        "/x%25252Fy", "/x%5cy", "/x%5Cy", "/x%255cy", "/x\\y", "/%00", "/x%00y", "/%2500", "/%0d%0a", "/%0a",
        "/%7f", "/%C2%85", "/x\x00", "/x\r\n", "/x y", "/x\ty", "/..;/x", "/;/x", "/.;a=b/x", "/..%3b/x", "/%3b",
        "/%c0%ae%c0%ae/x", "/x%c0%afy", "/%e0%80%ae/x", "/x%u002fy", "/%u002e%U002E/x", "/x%uff0fy", "/x%EF%BC%8Fy",
        "/%EF%BC%8E%EF%BC%8E/x", "/x%E2%84%80", "/..%20/x", "/%20../x", "/x#y", "/\xe9",
        "/%" + "25" * 8 + "41", "x", "%2fx", "%2f..", ".",
    ],
)  # fmt: skip
def test_refuses_what_could_be_read_as_another_path(path):
    with pytest.raises(UnsafePath):
        parse("/vllm" + path)


@pytest.mark.parametrize("query", ["a b", "a\tb", "a\r\nX: y", "\x00", "\x7f", "Ā"])
def test_refuses_spaces_and_control_characters_in_the_query(query):
    with pytest.raises(UnsafePath):
        parse("/vllm/x?" + query)


@pytest.mark.parametrize(
    "target", ["/", "/vllm-other", "/v1/models", "/VLLM/x", "/%76llm/x", "//vllm/x", "*", "http://h/x", "", "h:1"]
)
def test_refuses_what_is_not_below_the_prefix(target):
    with pytest.raises(UnsafePath, match="begin with /vllm"):
        parse(target)


@pytest.mark.parametrize(("target", "raw"), [("/v1/models", "/v1/models"), ("http://h?x", "/?x"), ("", "/")])
def test_needs_no_prefix(target, raw):
    assert parse(target, prefix="").raw == raw


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/V1/Models/", "/v1/models"),
        ("/%73LEEP", "/sleep"),
        ("/%2573leep", "/sleep"),
        ("/%C5%BFleep", "/sleep"),
        ("/", "/"),
        ("", "/"),
        ("/a%20b/", "/a b"),
        ("/%ff", "/\ufffd"),
    ],
)
def test_is_looked_up_decoded_folded_and_without_trailing_slash(path, route):
    assert parse("/vllm" + path).route == route


# --- The model: one character after the other, every reading at every depth --------------------------------------


def readings(path: str) -> list[str]:
    """Every text that some server could take the path for."""
    found, data = [], path.encode("latin-1")
    for _ in range(20):
        text = data.decode("utf-8", "replace")
        found += [text, unicodedata.normalize("NFKC", text)]
        data = unquote_to_bytes(data)
    return found


def is_safe(path: str) -> bool:
    if any(not "!" <= character <= "~" or character in "\\#" for character in path):
        return False
    return all(is_safe_reading(text, path) for text in readings(path))


def is_safe_reading(text: str, path: str) -> bool:
    segments = text.split("/")[1:]
    names = [segment.split(";")[0].strip() for segment in segments]
    return (
        text.count("/") == path.count("/")
        and not any(unicodedata.category(character) == "Cc" or character == "\\" for character in text)
        and not any(name in {".", ".."} for name in names)
        and all(names[:-1])
        and (bool(names[-1]) or segments[-1] == "")
    )


def encoded(text: str, times: int) -> str:
    for _ in range(times):
        text = "".join(f"%{byte:02x}" for byte in text.encode("latin-1"))
    return text


piece = st.one_of(
    st.sampled_from(["v1", "models", ".", "..", "/", "//", ";", "\\", "\x00", "\n", " ", "%", "%2", "|", "#", "A"]),
    st.builds(encoded, st.sampled_from([".", "/", "\\", "\x00", ";", "a", "%", " ", "\x85"]), st.integers(0, 3)),
    st.builds(quote, st.characters(codec="utf-8")),
)


@given(st.lists(piece, max_size=8).map("/".join) | st.lists(piece, max_size=8).map("".join))
def test_agrees_with_the_slow_model(text):
    path = "/" + text.replace("?", "")
    try:
        target = parse("/vllm" + path + "?q")
    except UnsafePath:
        assert not is_safe(path)
    else:
        assert is_safe(path)
        assert target.raw == path + "?q"


@given(st.text(st.characters(codec="latin-1"), max_size=30))
def test_never_fails_in_another_way(text):
    try:
        target = parse("/vllm" + text)
    except UnsafePath:
        return
    assert target.raw == (text if text.startswith("/") else "/" + text)


@pytest.mark.parametrize("path", ["/v1/load_lora_adapter;x", "/v1/load_lora_adapter;a=1;b", "/v1;x/load_lora_adapter"])
def test_parameters_of_a_segment_do_not_hide_what_is_called(path: str) -> None:
    target = parse(f"/vllm{path}")
    assert (target.raw, target.route) == (path, "/v1/load_lora_adapter")
