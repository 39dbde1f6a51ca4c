"""YAML that remembers its lines, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.document import ConfigError, parse, read


def test_values_remember_their_lines() -> None:
    found = parse("a: 1\nb:\n  - x: 2\n", "f")
    assert (found.lines, found["b"].lines, found["b"][0].line) == ({"a": 1, "b": 2}, [3], 3)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\na: 2", "f, line 2: The key a stands here twice."),
        ("model_list:\n  - x: 1\n    x: 1", "f, line 3: The key x stands here twice."),
        ("- a", "f, line 1: The file must hold keys such as model_list."),
        ("word", "f, line 1: The file must hold keys such as model_list."),
        ("a: [1", "f, line 1: "),
        ("a:\n  b: c: d", "f, line 2: "),
        ("a: !!python/object/apply:os.system [ls]", "f, line 1: Could not determine a constructor"),
        ("a: *nobody", "f, line 1: Found undefined alias"),
        ("a: &a [*a]", "f, line 1: Found unconstructable recursive node."),
        ("[1]: a", "f, line 1: A key must be plain text."),
        ("a: 1\nb: \x01", "f, line 2: There is a character that YAML does not allow."),
        ('a: "\\x"', "f, line 1: "),
        ("a: 1\n---\nb: 2", "f, line 2: But found another document."),
        ("a: !!int x", "f: It is not valid YAML."),
    ],
)
def test_what_cannot_be_read_is_one_sentence_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_anchors_merge_and_what_is_written_out_wins() -> None:
    found = parse("base: &base {a: 1, b: 2}\nrow:\n  <<: *base\n  b: 3\n", "f")
    assert dict(found["row"]) == {"a": 1, "b": 3}


def test_a_date_stays_text_and_an_empty_file_is_empty() -> None:
    assert parse("a: 2026-11-21", "f")["a"] == "2026-11-21"
    assert parse("# nothing\n", "f") == {}


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"a: \xff")
    for name, sentence in ((tmp_path / "none", "cannot be read"), (tmp_path / "latin", "is not UTF-8 text")):
        with pytest.raises(ConfigError, match=sentence):
            read(str(name))
