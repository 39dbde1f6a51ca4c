"""Takes secrets out of a body before anybody keeps it. Pure.

What stands whole in the body is found: our keys, others' keys of well-known shapes, what follows `Bearer`, values of
fields that are named like credentials, and the very secrets that are given. A secret that a model spells out token by
token, in several events of a stream, is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

TAKEN_OUT = b"[redacted]"
SHORTEST = 8
"""A shorter secret would take ordinary words out."""

_KEYS = re.compile(
    rb"sk-[A-Za-z0-9_-]{8,}|(?:hf|ghp|gho|ghs|ghu|glpat)[_-][A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}|xox[abprs]-[A-Za-z0-9-]{10,}"
    rb"|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*"
)
_AUTHORIZATION = re.compile(rb"\b([Bb]earer|BEARER|[Bb]asic|BASIC)(\s+)[A-Za-z0-9._~+/=-]{8,}")
# Also inside a JSON text within JSON, whose quotation marks are escaped.
_FIELD = re.compile(
    rb"\b((?:proxy-)?authorization|(?:x-)?api[_-]?key|access[_-]?token|refresh[_-]?token|client[_-]?secret|secret[_-]?key"
    rb"|password|passwd)(\\*\"\s*:\s*\\*\")[^\"\\]+",
    re.IGNORECASE,
)
_SEPARATORS = (b" ", b"\n", b"\t", b'"', b"'", b",")
LONGEST_WORD = 4_096


def redact(body: bytes, secrets: Iterable[str], *, is_cut: bool) -> bytes:
    """The body without secrets. `is_cut`: its end is missing, so the last word, which may be half of one, goes too."""
    for secret in secrets:
        if len(secret) >= SHORTEST:
            body = body.replace(secret.encode("utf-8", "replace"), TAKEN_OUT)
    body = _KEYS.sub(TAKEN_OUT, body)
    body = _AUTHORIZATION.sub(rb"\1\2" + TAKEN_OUT, body)
    body = _FIELD.sub(rb"\1\2" + TAKEN_OUT, body)
    return _without_last_word(body) if is_cut else body


def _without_last_word(body: bytes) -> bytes:
    start = max(0, len(body) - LONGEST_WORD)
    ends = max(body.rfind(separator, start) for separator in _SEPARATORS)
    return body[: ends + 1] if ends >= 0 else body[:start]
