"""JSON as the standard library reads and writes it, several times quicker: for what each call needs.

msgspec does nearly all; what it refuses and Python's own module takes (NaN, lone surrogates) goes there.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder(enc_hook=str).encode
_encode_slowly = json.JSONEncoder(separators=(",", ":"), default=str, check_circular=False).encode


def decoded(text: bytes) -> Any:
    """The value that the text is. Raises ValueError, or RecursionError where it is nested endlessly."""
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return json.loads(text)


def encoded(value: Any) -> bytes:
    """The value as JSON in one line of UTF-8, what JSON does not know as its `str`."""
    try:
        return _encode(value)
    except (TypeError, ValueError):
        return _encode_slowly(value).encode("ascii")
