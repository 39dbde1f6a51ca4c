"""Takes secrets out of a body before anybody keeps it. Pure.

What stands whole in the body is found: our keys, others' keys of well-known shapes, what follows `Bearer`, values of
fields that are named like credentials, and the very secrets that are given. A secret that a model spells out token by
token, in several events of a stream, is not.

Places are looked for by their first letters, and judged one by one: one pattern over a large body would hold up every
stream of the process for a tenth of a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

TAKEN_OUT = b"[redacted]"
SHORTEST = 8
"""A shorter secret would take ordinary words out."""

_WORD = rb"[A-Za-z0-9_-]"
_SHAPES = {
    b"sk-": re.compile(rb"sk-" + _WORD + rb"{8,4096}"),
    b"hf_": re.compile(rb"hf_" + _WORD + rb"{20,4096}"),
    b"gh": re.compile(rb"gh[opsu]_" + _WORD + rb"{20,4096}"),
    b"github_pat_": re.compile(rb"github_pat_" + _WORD + rb"{20,4096}"),
    b"AIza": re.compile(rb"AIza" + _WORD + rb"{30,4096}"),
    b"sk_": re.compile(rb"sk_(?:live|test)_" + _WORD + rb"{8,4096}"),
    b"glpat-": re.compile(rb"glpat-" + _WORD + rb"{16,4096}"),
    b"AKIA": re.compile(rb"AKIA[0-9A-Z]{16}"),
    b"xox": re.compile(rb"xox[abprs]-[A-Za-z0-9-]{10,4096}"),
    b"eyJ": re.compile(rb"eyJ" + _WORD + rb"{10,4096}\." + _WORD + rb"{10,4096}\." + _WORD + rb"{0,4096}"),
}
_SCHEMES = (b"bearer", b"basic")
# With a digit or a sign in it: a bearer of news is no secret.
_CREDENTIAL = re.compile(rb"\s+((?=[A-Za-z._~+/-]{0,200}[0-9=])[A-Za-z0-9._~+/=-]{8,4096})")
_FIELDS = (
    *(b"authorization", b"password", b"passwd"),
    *(
        first + between + second
        for first, second in (
            (b"api", b"key"),
            (b"access", b"token"),
            (b"refresh", b"token"),
            (b"client", b"secret"),
            (b"secret", b"key"),
        )
        for between in (b"", b"_", b"-")
    ),
)
# Also inside a JSON text within JSON, whose quotation marks are escaped.
_VALUE = re.compile(rb"\\{0,8}\"\s{0,20}:\s{0,20}\\{0,8}\"([^\"\\]+)")
_ESCAPED = (b"\\n", b"\\r", b"\\t")
_SEPARATORS = (b" ", b"\n", b"\t", b'"', b"'", b",")
LONGEST_WORD = 4_096


def redact(body: bytes, secrets: Iterable[str], *, is_cut: bool) -> bytes:
    """The body without secrets. `is_cut`: its end is missing, so the last word, which may be half of one, goes too."""
    for secret in secrets:
        if len(secret) >= SHORTEST:
            body = body.replace(secret.encode("utf-8", "replace"), TAKEN_OUT)
    kept: list[bytes] = []
    done = 0
    for start, end in sorted(_found(body)):
        if start >= done:
            kept += (body[done:start], TAKEN_OUT)
        done = max(done, end)
    body = b"".join([*kept, body[done:]])
    return _without_last_word(body) if is_cut else body


def _found(body: bytes) -> Iterator[tuple[int, int]]:
    """Where secrets begin and end."""
    for prefix, shape in _SHAPES.items():
        end = 0
        for at in _places(body, prefix):
            if at >= end and _begins_word(body, at) and (match := shape.match(body, at)):
                end = match.end()
                yield match.span()
    lower = body.lower()
    for names, shape in ((_SCHEMES, _CREDENTIAL), (_FIELDS, _VALUE)):
        for name in names:
            for at in _places(lower, name):
                if match := shape.match(body, at + len(name)):
                    yield match.span(1)


def _places(body: bytes, wanted: bytes) -> Iterator[int]:
    at = body.find(wanted)
    while at >= 0:
        yield at
        at = body.find(wanted, at + len(wanted))


def _begins_word(body: bytes, at: int) -> bool:
    """Whether no word goes on here: `task-` is none of our keys. In JSON a line's end before it reads as a letter."""
    return not body[at - 1 : at].isalnum() or body[max(0, at - 2) : at] in _ESCAPED


def _without_last_word(body: bytes) -> bytes:
    start = max(0, len(body) - LONGEST_WORD)
    ends = max(body.rfind(separator, start) for separator in _SEPARATORS)
    return body[: ends + 1] if ends >= 0 else body[:start]
