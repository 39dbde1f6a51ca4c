"""Reads a few fields of a form (audio is sent as one) without holding its files.

Stricter than any parser that vLLM may use: what two parsers could read differently (padded boundaries, folded or
repeated headers, backslashes in names, text before or after the form …) is not readable. What is readable has one
meaning.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from gateway.body.fields import LIMIT, MORE, UNREADABLE, Fields, Irregular, Scanner, Span

WANTED = frozenset((b"model", b"stream", b"user", b"stream_include_usage"))
HEAD_LIMIT = 8_192
"""Bytes that the headers of one part may have."""

_MULTIPART = re.compile(
    r"multipart/form-data(?:[ \t]*;[ \t]*charset=(?:\"utf-8\"|utf-8))?[ \t]*;[ \t]*"
    r"boundary=(?:\"([0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-])\"|([0-9A-Za-z'+_.-]{1,70}))"
    r"(?:[ \t]*;[ \t]*charset=(?:\"utf-8\"|utf-8))?[ \t]*(?:;[ \t]*)?",
    re.IGNORECASE,
)
_URLENCODED = re.compile(
    r"application/x-www-form-urlencoded(?:[ \t]*;[ \t]*charset=(?:\"utf-8\"|utf-8))?[ \t]*(?:;[ \t]*)?", re.IGNORECASE
)
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_PARAMETER = rb"[ \t]*;[ \t]*([A-Za-z0-9_*-]+)=(\"(?:[^\"\\]|\\.)*\"|[^\"\\;,= \t]+)"
_DISPOSITION = re.compile(rb"form-data((?:" + _PARAMETER + rb")+)[ \t]*", re.IGNORECASE)
_PARAMETERS = re.compile(_PARAMETER)
_NAMES = re.compile(rb"(?<![A-Za-z0-9_-])name\*?[0-9]*\*?[ \t]*=", re.IGNORECASE)
_ENCODED = re.compile(rb"[!-:<-~]*")  # some parsers take `;` for a separator


class FormScanner(Scanner):
    """`feed` it a body piece by piece, then take the `Fields` from `finish`.

    `content_type` is the request's header; other types than the two of forms are not readable.
    """

    def __init__(self, content_type: str) -> None:
        super().__init__()
        self._values: dict[bytes, bytes] = {}
        self._spans: dict[bytes, Span] = {}
        self._models = 0
        self._name = b""
        self._delimiter = b""
        self._kind = "multipart"
        self._step = self._first_boundary
        multipart = _MULTIPART.fullmatch(content_type.strip(" \t"))
        if multipart is not None:
            self._delimiter = b"\r\n--" + (multipart[1] or multipart[2]).encode()
        elif _URLENCODED.fullmatch(content_type.strip(" \t")):
            self._kind = "urlencoded"
            self._step = self._pair
        else:
            self._give_up()

    def finish(self) -> Fields:
        """The fields of the whole body. Never raises."""
        self._run()
        try:
            self._finish_step()
            texts = {name: _text(value) for name, value in self._values.items()}
        except Irregular:
            return UNREADABLE
        return Fields(
            readable=True,
            kind=self._kind,
            duplicate_model=self._models > 1,
            model=texts.get(b"model"),
            stream=texts.get(b"stream"),
            user=texts.get(b"user"),
            stream_include_usage=texts.get(b"stream_include_usage"),
            model_span=self._spans.get(b"model"),
        )

    def _finish_step(self) -> None:
        if self._irregular:
            raise Irregular
        if self._kind == "urlencoded":
            rest = b"".join(self._pieces)
            self._take_pair(rest, 0, len(rest))
        elif self._step != self._epilogue:
            raise Irregular

    def _take(self, name: bytes, value: bytes, span: Span) -> None:
        self._values[name] = value
        self._spans[name] = span
        self._models += name == b"model"

    # --- multipart/form-data ---

    def _first_boundary(self, data: bytes, position: int) -> int:
        opening = self._delimiter[2:] + b"\r\n"
        if len(data) < len(opening):
            return MORE
        if not data.startswith(opening):
            raise Irregular
        self._step = self._head
        return len(opening)

    def _head(self, data: bytes, position: int) -> int:
        end = data.find(b"\r\n\r\n", position)
        if (len(data) if end < 0 else end) - position > HEAD_LIMIT:
            raise Irregular
        # What follows the headers has to be seen too: a delimiter there would be a body for some parsers only.
        body = end + 4
        if end < 0 or len(data) < body + len(self._delimiter):
            return MORE
        if data.startswith(self._delimiter[2:], body):
            raise Irregular
        self._name = _wanted_name(data[position:end])
        self._step = self._wanted_value if self._name else self._content
        return body

    def _content(self, data: bytes, position: int) -> int:
        """Skips what nobody wants, a file mostly."""
        found = data.find(self._delimiter, position)
        if found < 0:
            skipped = len(data) - len(self._delimiter) + 1
            return skipped if skipped > position else MORE
        self._step = self._after_delimiter
        return found + len(self._delimiter)

    def _wanted_value(self, data: bytes, position: int) -> int:
        found = data.find(self._delimiter, position)
        if (len(data) if found < 0 else found) - position > LIMIT:
            raise Irregular
        if found < 0:
            return MORE
        self._take(self._name, data[position:found], (self._base + position, self._base + found))
        self._step = self._after_delimiter
        return found + len(self._delimiter)

    def _after_delimiter(self, data: bytes, position: int) -> int:
        mark = data[position : position + 2]
        if len(mark) < 2:
            return MORE
        if mark not in {b"\r\n", b"--"}:
            raise Irregular
        self._step = self._head if mark == b"\r\n" else self._epilogue
        return position + 2

    def _epilogue(self, data: bytes, position: int) -> int:
        if data[position:].strip(b"\r\n"):
            raise Irregular
        return len(data)

    # --- application/x-www-form-urlencoded ---

    def _pair(self, data: bytes, position: int) -> int:
        end = data.find(b"&", position)
        if end < 0:
            return MORE
        self._take_pair(data, position, end)
        return end + 1

    def _take_pair(self, data: bytes, start: int, end: int) -> None:
        if not _ENCODED.fullmatch(data, start, end):
            raise Irregular
        equals = data.find(b"=", start, end)
        name = _unquoted(data[start : equals if equals >= 0 else end])
        if name not in WANTED:
            return
        if equals < 0:
            raise Irregular
        self._take(name, _unquoted(data[equals + 1 : end]), (self._base + equals + 1, self._base + end))


def _wanted_name(head: bytes) -> bytes:
    """The name of the field whose part has these headers, or b"" when it is a file or nothing that we want."""
    headers: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n"):
        header = _HEADER.fullmatch(line)
        if header is None or header[1].lower() in headers:
            raise Irregular
        headers[header[1].lower()] = header[2]
    disposition = headers.get(b"content-disposition", b"")
    name, is_file = _disposition(disposition)
    if name in WANTED and (is_file or b"content-transfer-encoding" in headers):
        raise Irregular
    return name if name in WANTED else b""


def _disposition(value: bytes) -> tuple[bytes, bool]:
    """The name in a Content-Disposition, and whether it names a file. Raises Irregular unless there is one name."""
    match = _DISPOSITION.fullmatch(value)
    if match is None or len(_NAMES.findall(value)) != 1:
        raise Irregular
    parameters = [(key.lower(), text) for key, text in _PARAMETERS.findall(match[1])]
    names = [text for key, text in parameters if key == b"name"]
    if not names or b"\\" in names[0]:
        raise Irregular
    return names[0].strip(b'"'), any(key.startswith(b"filename") for key, _ in parameters)


def _unquoted(data: bytes) -> bytes:
    return unquote_to_bytes(data.replace(b"+", b" "))


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Irregular from error
