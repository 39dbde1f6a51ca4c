"""Reads a few top-level fields of a JSON body without building the rest of it.

Whenever `json.loads` (which vLLM uses) takes a body for an object and this scanner calls it readable, both see the
same values. The reverse is not promised: what is skipped is only matched bracket by bracket, since a body that
vLLM refuses harms nobody. Values that are skipped are never held and pass at the speed of the regex engine.

The patterns keep to possessive repeats whose alternatives differ in their first byte and hold no groups: others
are matched wrongly by Python before 3.11.5.
"""

from __future__ import annotations

import json
import re

from gateway.body.fields import LIMIT, MORE, UNREADABLE, Fields, Irregular, Scanner, Span

MAX_DEPTH = 512
"""Nesting beyond which a body is not readable; vLLM's json.loads gives up near 1,000."""

OUTPUT_NAMES = (b"max_completion_tokens", b"max_output_tokens", b"max_tokens")
WANTED = frozenset((b"model", b"stream", b"user", b"safety_identifier", b"stream_options", b"n", *OUTPUT_NAMES))
METADATA = b"metadata"
"""Wanted only where Anthropic's dialect names the end user in it."""
_SHORT_NUMBER = 16  # digits: fewer make an integer that needs no care
_LONGEST_KEY = 6 * 32  # of the names that anyone wants, each character written as \u00XX

_TEXT = rb'[^"\\]*+(?:\\.[^"\\]*+)*+'
_SCALAR = rb"true|false|null|NaN|-?Infinity|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_STRING = rb'"(?:[^"]*+(?<!\\)"|' + _TEXT + rb'")'  # mostly nothing is escaped before the next quote
_PLAIN = rb'[^"{}\[\]]*+'
_FLAT = rb"[{\[]" + _PLAIN + rb"(?:" + _STRING + _PLAIN + rb")*+[}\]]"  # a container without others in it
_WS = rb"[ \t\n\r]*+"
_BLANK = re.compile(_WS)
_OPENING = re.compile(rb"(?:\xef\xbb\xbf)?" + _WS + rb"\{")
_KEY = re.compile(_WS + rb'"(' + _TEXT + rb')"' + _WS + rb":", re.DOTALL)
_CLOSING = re.compile(_WS + rb"\}")
_VALUE = re.compile(
    _WS + rb'(?:(")' + _TEXT + rb'(")?|([\[{])|(' + _SCALAR + rb")(?=[ \t\n\r,}]))",
    re.DOTALL,
)
_WHOLE_STRING, _OPEN_STRING, _CONTAINER = 2, 1, 3  # groups of _VALUE that matched last; else it is a scalar
_NEXT = re.compile(_WS + rb"([,}])")
_REST_OF_STRING = re.compile(_TEXT, re.DOTALL)
_SHALLOW = rb"[{\[]" + _PLAIN + rb"(?:(?:" + _STRING + rb"|" + _FLAT + rb")" + _PLAIN + rb")*+[}\]]"
# A whole member at once, which most are: key, value, and the comma or brace behind it.
_MEMBER = re.compile(
    _WS + rb'"(' + _TEXT + rb')"' + _WS + rb":" + _WS
    + rb"(" + _STRING + rb"|" + _SCALAR + rb"|" + _SHALLOW + rb")" + _WS + rb"[,}]",
    re.DOTALL,
)  # fmt: skip
# Inside a container: flat ones, a string, a bracket, or a string that the bytes at hand cut. (The repeat is bounded
# because it remembers each of its rounds.)
_TOKEN = re.compile(
    _PLAIN + rb"(?:" + _FLAT + rb"(?:" + _PLAIN + _FLAT + rb"){0,64}|" + _STRING + rb'|([{\[])|([}\]])|(")|\Z)',
    re.DOTALL,
)
_BRACE = ord("}")
_OPENS, _CLOSES, _CUT = 1, 2, 3

_LITERALS = {b"true": True, b"false": False, b"null": None}


class JsonScanner(Scanner):
    """`feed` it a body piece by piece, then take the `Fields` from `finish`, or the values of other names that are
    `wanted` (of at most 32 bytes) from `values`."""

    def __init__(self, wanted: frozenset[bytes] = WANTED) -> None:
        super().__init__()
        self._wanted_names = wanted
        self._step = self._opening
        self._values: dict[bytes, object] = {}
        self._spans: dict[bytes, Span] = {}
        self._models = 0
        self._after_brace: int | None = None
        self._empty = False
        self._name = b""
        self._depth = 0

    def finish(self) -> Fields:
        """The fields of the whole body. Never raises."""
        self._run()
        if self._irregular or self._step != self._end:
            return UNREADABLE
        model = self._values.get(b"model")
        if model is not None and not isinstance(model, str):
            return UNREADABLE
        return Fields(
            readable=True,
            duplicate_model=self._models > 1,
            model=model,
            stream=self._values.get(b"stream"),
            user=self._user(),
            max_tokens=self._max_tokens(),
            choices=_count(self._values.get(b"n")) or 1,
            stream_options=self._values.get(b"stream_options"),
            model_span=self._spans.get(b"model"),
            stream_options_span=self._spans.get(b"stream_options"),
            after_brace=self._after_brace,
            empty=self._empty,
        )

    def _max_tokens(self) -> int | None:
        """The most of what is said: which of the names counts depends on the route, and vLLM ignores the others."""
        counts = (_count(self._values.get(name)) for name in OUTPUT_NAMES)
        return max((most for most in counts if most is not None), default=None)

    def _user(self) -> str | None:
        metadata = self._values.get(METADATA)
        named = metadata.get("user_id") if isinstance(metadata, dict) else None
        said = (self._values.get(b"user"), self._values.get(b"safety_identifier"), named)
        return next((text for text in said if isinstance(text, str) and text), None)

    def values(self) -> dict[str, object] | None:
        """The wanted values of the whole body by name; None when it is not readable. Never raises."""
        self._run()
        if self._irregular or self._step != self._end:
            return None
        return {name.decode(): value for name, value in self._values.items()}

    # --- Steps: bytes at hand and a position in, the new position (or MORE) out ---

    def _opening(self, data: bytes, position: int) -> int:
        match = _OPENING.match(data, position)
        if match is None:
            return MORE
        self._after_brace = self._base + match.end()
        self._step = self._first_key
        return match.end()

    def _first_key(self, data: bytes, position: int) -> int:
        closing = _CLOSING.match(data, position)
        if closing is None:
            return self._key(data, position)
        self._empty = True
        self._step = self._end
        return closing.end()

    def _key(self, data: bytes, position: int) -> int:
        start = position
        wanted = self._wanted_names
        while (member := _MEMBER.match(data, position)) is not None:
            name = member[1]
            if name in wanted or b"\\" in name:
                self._name = _wanted(name, wanted)
                self._taken(data, *member.span(2))
            position = member.end()
            if data[position - 1] == _BRACE:
                self._step = self._end
                return position
        if position > start:
            self._step = self._key
            return position
        key = _KEY.match(data, position)
        if key is None:
            return MORE
        self._name = _wanted(key[1], self._wanted_names)
        self._step = self._value
        return key.end()

    def _value(self, data: bytes, position: int) -> int:
        match = _VALUE.match(data, position)
        if match is None:
            return MORE
        kind = match.lastindex or 0
        start = match.start(kind if kind != _WHOLE_STRING else _OPEN_STRING)
        if kind == _CONTAINER:
            return self._container(data, start)
        if kind == _OPEN_STRING:
            if self._name:
                return MORE
            self._step = self._rest_of_value
            return match.end()
        return self._taken(data, start, match.end())

    def _container(self, data: bytes, start: int) -> int:
        self._depth = 1
        end = self._inside(data, start + 1)
        if not self._name:
            return end
        # A wanted one is small, so it waits until it is whole.
        if self._step != self._after:
            self._step = self._value
            return MORE
        return self._taken(data, start, end)

    def _inside(self, data: bytes, position: int) -> int:
        """Skips the inside of a container, up to its end."""
        self._step = self._inside
        depth = self._depth
        for token in _TOKEN.finditer(data, position):
            kind = token.lastindex
            if kind == _OPENS:
                depth += 1
                if depth > MAX_DEPTH:
                    raise Irregular
            elif kind == _CLOSES:
                depth -= 1
            elif kind == _CUT:
                self._step = self._rest_inside
                break
            if depth == 0:
                self._step = self._after
                break
        self._depth = depth
        return token.end()

    def _rest_inside(self, data: bytes, position: int) -> int:
        return self._rest(data, position, then_inside=True)

    def _rest_of_value(self, data: bytes, position: int) -> int:
        return self._rest(data, position, then_inside=False)

    def _rest(self, data: bytes, position: int, *, then_inside: bool) -> int:
        """Skips the rest of a string whose beginning is gone."""
        match = _REST_OF_STRING.match(data, position)
        end = match.end() if match else position
        if data[end : end + 1] == b'"':
            self._step = self._inside if then_inside else self._after
            return end + 1
        return end if end > position else MORE

    def _taken(self, data: bytes, start: int, end: int) -> int:
        """A whole value stands at (start, end)."""
        self._step = self._after
        name = self._name
        if name:
            if end - start > LIMIT:
                raise Irregular
            self._values[name] = _decoded(data[start:end])
            self._spans[name] = (self._base + start, self._base + end)
            self._models += name == b"model"
        return end

    def _after(self, data: bytes, position: int) -> int:
        match = _NEXT.match(data, position)
        if match is None:
            if _BLANK.fullmatch(data, position):
                return len(data)
            raise Irregular
        self._step = self._key if match[1] == b"," else self._end
        return match.end()

    def _end(self, data: bytes, position: int) -> int:
        if _BLANK.fullmatch(data, position):
            return len(data)
        raise Irregular


def _count(value: object) -> int | None:
    """A count as vLLM (pydantic's lax mode) takes it: 5, 5.0, "5", and true for 1."""
    if isinstance(value, str):
        text = value.strip()
        value = int(text) if text.isdecimal() and len(text) <= 10 else None
    if not isinstance(value, int | float) or not 0 <= value <= 2**31 or value != int(value):
        return None
    return int(value)


def _wanted(key: bytes, wanted: frozenset[bytes]) -> bytes:
    """The key, as it is written between the quotes, when it is one that we want, else b""."""
    if b"\\" in key and len(key) <= _LONGEST_KEY:
        key = str(_decoded(b'"' + key + b'"')).encode()
    return key if key in wanted else b""


def _decoded(data: bytes) -> object:
    """The value, as `json.loads` gives it. Raises Irregular also for text that is not Unicode (lone surrogates)."""
    if data in _LITERALS:
        return _LITERALS[data]
    if data.startswith(b'"') and b"\\" not in data and data.isascii():
        return data[1:-1].decode()
    if data.isdigit() and len(data) < _SHORT_NUMBER:
        return int(data)
    try:
        text = data.decode("utf-8", "surrogatepass")
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Irregular from error
    return value
