"""JSON, quickly: what comes out is what the standard library gives."""

import json
import math
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from common.fast_json import decoded, encoded


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1, "b": [true, false, null], "c": "\\u00e9\\ud83d\\ude00", "a": 2}',
        b'{"big": 123456789012345678901234567890, "small": -0.0, "far": 1e400}',
        b'\xef\xbb\xbf{"marked": 1}',
        b'["\\ud83d", Infinity, -Infinity]',
        b'["\xed\xa0\x80"]',
        b' "text" ',
    ],
)
def test_a_text_is_read_as_the_standard_library_reads_it(text: bytes) -> None:
    assert decoded(text) == json.loads(text)


def test_what_is_no_number_is_read() -> None:
    assert math.isnan(decoded(b"NaN"))


@pytest.mark.parametrize("text", [b"", b"{", b'{"a":1}}', b"[DONE]", b"\xff", b"{'a':1}"])
def test_what_is_no_json_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        decoded(text)


def test_endless_nesting_is_an_error() -> None:
    with pytest.raises(RecursionError):
        decoded(b"[" * 100_000)


@pytest.mark.parametrize(
    "value",
    [[1, 2.5, None, True, "é"], {"a": {"b": ()}}, ["\ud800\0"], 2**70, 1e300, 0.1, {1: 2}],
)
def test_what_is_written_reads_the_same(value: object) -> None:
    line = encoded(value)
    assert b"\n" not in line
    assert json.loads(line) == json.loads(json.dumps(value))


def test_what_json_does_not_know_is_its_text() -> None:
    moment = datetime(2026, 11, 21, tzinfo=UTC)
    assert json.loads(encoded([Decimal("0.10"), pytest])) == ["0.10", str(pytest)]
    assert json.loads(encoded(moment)) == "2026-11-21T00:00:00Z"
