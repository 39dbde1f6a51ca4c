"""Takes secrets out of a body before anybody keeps it. Pure.

What stands whole in the body is found: the very secrets that are given, and what `gateway.secrets_in_text` knows. A
secret that a model spells out token by token, in several events of a stream, is not.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.secrets_in_text import without_secrets

TAKEN_OUT = b"[redacted]"
SHORTEST = 8
"""A shorter secret would take ordinary words out."""
LONGEST_WORD = 4_096
_SEPARATORS = (b" ", b"\n", b"\t", b'"', b"'", b",")


def redact(body: bytes, secrets: Iterable[str], *, is_cut: bool) -> bytes:
    """The body without secrets. `is_cut`: its end is missing, so the last word, which may be half of one, goes too."""
    for secret in secrets:
        if len(secret) >= SHORTEST:
            body = body.replace(secret.encode("utf-8", "replace"), TAKEN_OUT)
    body = without_secrets(body, TAKEN_OUT)
    return _without_last_word(body) if is_cut else body


def _without_last_word(body: bytes) -> bytes:
    start = max(0, len(body) - LONGEST_WORD)
    ends = max(body.rfind(separator, start) for separator in _SEPARATORS)
    return body[: ends + 1] if ends >= 0 else body[:start]
