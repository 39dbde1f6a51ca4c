"""Where secrets stand in a text, as bytes: what is kept of calls and what is logged goes through here. Pure.

Found are keys of well-known shapes, what follows `Bearer` or `Basic`, passwords in URLs, private keys in PEM, and
values of what is named like a credential: in JSON, also within JSON, in headers, `name=value` and `name: value`, in
options of commands and XML. Code and prose stay readable: a name alone is no secret, and neither is `password=None`.

Places are looked for by their first letters, and judged one by one within a bounded length: one pattern over a large
body would hold up every stream of the process for a tenth of a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_WORD = rb"[A-Za-z0-9_-]"
_SHAPES = {
    b"sk-": re.compile(rb"sk-" + _WORD + rb"{8,4096}"),
    b"hf_": re.compile(rb"hf_" + _WORD + rb"{20,4096}"),
    b"gh": re.compile(rb"gh[oprsu]_" + _WORD + rb"{20,4096}"),
    b"github_pat_": re.compile(rb"github_pat_" + _WORD + rb"{20,4096}"),
    b"glpat-": re.compile(rb"glpat-" + _WORD + rb"{16,4096}"),
    b"AIza": re.compile(rb"AIza" + _WORD + rb"{30,4096}"),
    b"ya29.": re.compile(rb"ya29\." + _WORD + rb"{20,4096}"),
    b"nvapi-": re.compile(rb"nvapi-" + _WORD + rb"{20,4096}"),
    b"npm_": re.compile(rb"npm_[A-Za-z0-9]{36}"),
    b"pypi-": re.compile(rb"pypi-" + _WORD + rb"{40,4096}"),
    b"sk_": re.compile(rb"sk_(?:live|test)_" + _WORD + rb"{8,4096}"),
    b"rk_": re.compile(rb"rk_(?:live|test)_" + _WORD + rb"{8,4096}"),
    b"AKIA": re.compile(rb"AKIA[0-9A-Z]{16}"),
    b"ASIA": re.compile(rb"ASIA[0-9A-Z]{16}"),
    b"xox": re.compile(rb"xox[abeprs]-[A-Za-z0-9-]{10,4096}"),
    # A signed token (RFC 7519) has three parts, an encrypted one (RFC 7516) five.
    b"eyJ": re.compile(rb"eyJ" + _WORD + rb"{10,4096}+\." + _WORD + rb"{0,4096}+(?:\." + _WORD + rb"{1,4096}+){1,3}"),
}
_SIGNED = b"eyJ"
_WORDS = re.compile(_WORD + rb"*+")
# With a digit or a sign in it: a bearer of news is no secret.
_CREDENTIAL = re.compile(rb"\s{1,20}((?=[A-Za-z._~+/-]{0,200}[0-9=])[A-Za-z0-9._~+/=-]{8,4096})")
_HEADER = re.compile(
    rb"""[\\"']{0,4}\s{0,20}[:=]\s{0,20}[\\"']{0,4}(?:basic|bearer|token|digest|apikey|negotiate)\s{1,20}"""
    rb"""([^\s"'\\]{4,4096})""",
    re.IGNORECASE,
)
_IN_URL = re.compile(rb"""[^\s/?#@:"'<>\\]{0,256}:([^\s/?#@"'<>\\]{1,256})@""")

# --- Values of what is named like a credential -----------------------------------------------------------------------

_NAMES = {
    **dict.fromkeys((b"password", b"passwd", b"passphrase", b"secret", b"authorization")),
    b"key": re.compile(rb"(?:api|access|account|private|secret)[_-]?\Z"),
    b"token": re.compile(rb"(?:access|auth|bearer|refresh|session)[_-]?\Z"),
}
"""How a name ends, and what stands before it where that alone says too little."""
_LONGEST_BEFORE = 8
_TEXT = rb"""[^\s"'`&;,<>(){}\[\]|\\]"""
# What stands for a value that is somewhere else, or for none.
_ELSEWHERE = (
    rb"(?!(?:none|null|nil|true|false|undefined|str|string|bytes|required|optional)(?![A-Za-z0-9_-])"
    rb"|[$%*<{]|(?:os|env|self|process|settings|config|args|request)\.|(?-i:[A-Z]+_[A-Z_]+(?![A-Za-z0-9_]))|\[redacted)"
)
_FORMS = (
    # JSON. Escapes belong to the value, unless its quotation marks are escaped themselves: JSON within JSON.
    re.compile(rb'"\s{0,20}:\s{0,20}"((?:[^"\\]|\\.)++)', re.DOTALL),
    re.compile(rb'\\{1,8}"\s{0,20}:\s{0,20}\\{1,8}"([^"\\]++)'),
    # name="value", 'name': 'value'; a scheme whose credential was taken out stays
    re.compile(
        rb"""["']?[ \t]{0,4}(?:=|:|=>|:=)[ \t]{0,4}"""
        rb"""(?:"(?!b\w{4,5} \xe2)([^"\\\r\n]{1,400})"|'(?!b\w{4,5} \xe2)([^'\\\r\n]{1,400})')"""
    ),
    re.compile(rb"""[ \t]{0,4}[=:][ \t]{0,4}\\{1,8}"([^"\\\r\n]{1,400})"""),
    # name=value; but no call of a function
    re.compile(rb"[ \t]{0,4}=[ \t]{0,4}" + _ELSEWHERE + rb"(" + _TEXT + rb"{4,400}+)(?![(\[])", re.IGNORECASE),
    # name: value, of prose too, where only what has a digit or a sign in it is no word
    re.compile(
        rb"[ \t]{0,4}:[ \t]{0,4}"
        + _ELSEWHERE
        + rb"((?=[A-Za-z_./-]{0,60}[0-9!@#$%^*+=~?])"
        + _TEXT
        + rb"{6,400}+)(?![(\[])",
        re.IGNORECASE,
    ),
    re.compile(rb">([^<>\s]{1,400})</"),
)
_OPTION = re.compile(
    rb"""[ =](?:"([^"\\\r\n]{1,400})"|'([^'\\\r\n]{1,400})'|""" + _ELSEWHERE + rb"(?!-)(" + _TEXT + rb"{4,400}+))",
    re.IGNORECASE,
)
# "token" and "pwd" alone mean other things as well: parts of a text, and a directory.
_TOKEN = re.compile(
    rb"""[\\"']{0,4}[ \t]{0,4}[:=][ \t]{0,4}[\\"']{0,4}((?=[A-Za-z._~+/-]{0,200}[0-9])(?=[0-9._~+/-]{0,200}[A-Za-z])"""
    rb"[A-Za-z0-9._~+/=-]{16,4096}+)"
)
_PWD = re.compile(
    rb"[ \t]{0,4}=[ \t]{0,4}(?![/~.])" + _ELSEWHERE + rb"(" + _TEXT + rb"{4,400}+)(?![(\[])", re.IGNORECASE
)
_AFTER = {
    b"bearer": _CREDENTIAL,
    b"basic": _CREDENTIAL,
    b"authorization": _HEADER,
    b"://": _IN_URL,
    b"token": _TOKEN,
    b"pwd": _PWD,
}
# What is longer than these look goes on to the end of the word: neither half a secret stays, nor half a letter.
_TO_THE_END = (_HEADER, _PWD)
_REST = re.compile(_TEXT + rb"*+")

# --- Private keys ----------------------------------------------------------------------------------------------------

_BEGIN = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_END = b"-----END "
_LONGEST_KEY = 16_384
# Python before 3.11.5 goes too far with a possessive group whose last round fails within (cpython's gh-106052).
_KEY_WITHOUT_END = re.compile(rb"(?:[A-Za-z0-9+/=\s]++|\\{1,8}[nr])*")
_ESCAPED = (b"\\n", b"\\r", b"\\t")

Span = tuple[int, int]


def without_secrets(body: bytes, instead: bytes) -> bytes:
    """The text with `instead` in the place of each secret."""
    kept: list[bytes] = []
    done = 0
    for start, end in sorted(_found(body)):
        if start >= done:
            kept += (body[done:start], instead)
        done = max(done, end)
    return b"".join([*kept, body[done:]]) if done else body


def _found(body: bytes) -> Iterator[Span]:
    """Where secrets begin and end; some may be found twice."""
    for prefix, shape in _SHAPES.items():
        yield from _shaped(body, prefix, shape)
    lower = body.lower()
    for prefix, shape in _AFTER.items():
        yield from _matches(body, lower, prefix, shape)
    for name, before in _NAMES.items():
        yield from _named(body, lower, name, before)
    yield from _private_keys(body)


def _matches(body: bytes, looked_in: bytes, prefix: bytes, shape: re.Pattern[bytes]) -> Iterator[Span]:
    """What the shape finds behind each place that begins so. Nothing is looked at twice."""
    end = 0
    for at in _places(looked_in, prefix):
        if at >= end and (match := shape.match(body, at + len(prefix))):
            start, stop = match.span(match.lastindex or 0)
            if shape in _TO_THE_END:
                stop = _end_of(_REST, body, stop)
            end = max(match.end(), stop)
            yield start, stop


def _shaped(body: bytes, prefix: bytes, shape: re.Pattern[bytes]) -> Iterator[Span]:
    end = 0
    for at in _places(body, prefix):
        if at < end or not _begins_word(body, at):
            continue
        if match := shape.match(body, at):
            end = match.end()
            yield match.span()
        elif prefix == _SIGNED:
            end = _end_of(_WORDS, body, at)  # no dot follows, nor does one follow what begins in there


def _named(body: bytes, lower: bytes, name: bytes, before: re.Pattern[bytes] | None) -> Iterator[Span]:
    end = 0
    for at in _places(lower, name):
        first = before.search(lower, max(0, at - _LONGEST_BEFORE), at) if before is not None else None
        if at < end or (before is not None and first is None):
            continue
        start = at if first is None else first.start()
        shapes = (*_FORMS, _OPTION) if body[max(0, start - 2) : start] == b"--" else _FORMS
        for shape in shapes:
            if match := shape.match(body, at + len(name)):
                value, stop = match.span(match.lastindex or 0)
                stop = _end_of(_REST, body, stop)
                end = max(match.end(), stop)
                yield value, stop
                break


def _private_keys(body: bytes) -> Iterator[Span]:
    done = 0
    foot = body.find(_END)
    for at in _places(body, b"-----BEGIN "):
        head = _BEGIN.match(body, at) if at >= done else None
        if head is None:
            continue
        if 0 <= foot < at:
            foot = body.find(_END, at)
        done = foot
        if not 0 <= foot <= head.end() + _LONGEST_KEY:  # it is cut off
            rest = _KEY_WITHOUT_END.match(body, head.end(), head.end() + _LONGEST_KEY)
            done = rest.end() if rest is not None else head.end()
        yield head.end(), done


def _end_of(pattern: re.Pattern[bytes], body: bytes, at: int) -> int:
    """Where what the pattern matches from there on ends; just there, if that is nothing."""
    match = pattern.match(body, at)
    return at if match is None else match.end()


def _places(body: bytes, wanted: bytes) -> Iterator[int]:
    at = body.find(wanted)
    while at >= 0:
        yield at
        at = body.find(wanted, at + len(wanted))


def _begins_word(body: bytes, at: int) -> bool:
    """Whether no word goes on here: `task-` is none of our keys. In JSON a line's end before it reads as a letter."""
    return not body[at - 1 : at].isalnum() or body[max(0, at - 2) : at] in _ESCAPED
