"""Judges a request target once and cuts it into what goes upstream and what is looked up in the catalogue.

Works on the raw target alone: no Host header and no URL that was rebuilt from one plays any part. Knows nothing
about routes or keys.

What is decided about characters outside ASCII: raw ones are refused in the path (RFC 3986 wants them encoded, and
vLLM's server reads the target as ASCII) and pass in the query; encoded ones pass, unless they are an overlong form
or a look-alike (Unicode compatibility) of a slash, a backslash, a dot segment or a control character.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

MAX_ROUNDS = 8
"""Percent-encodings inside each other that are undone before a path counts as a trick."""

# Nothing to decode, no segment that begins with a dot, no empty segment: nearly every call takes this way.
_PLAIN = re.compile(r"((?:/[A-Za-z0-9_-][A-Za-z0-9._~!$&'()*+,=:@|-]*)*/?)(?:\?([!-~]*))?")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_RAW_PATH = re.compile(r"[!-\"$-\[\]-~]*")
_RAW_QUERY = re.compile(r"[!-~\x80-\xff]*")
_OVERLONG = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f]|\xf0[\x80-\x8f]")
_WIDE = re.compile(rb"%[uU]([0-9a-fA-F]{4})")
_PARAMETERS = re.compile(r";[^/]*")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")


class UnsafePath(ValueError):
    """The request target could be read as another path than the one it shows: 400."""


@dataclass(frozen=True, slots=True)
class Target:
    """A request target below the prefix.

    `raw` goes upstream byte for byte: the path after the prefix, and the query with its `?` when there was one (an
    empty path is "/"). `path` and `query` are its raw parts. `route` is the decoded path, case folded and without
    trailing slash, by which the catalogue is searched.
    """

    raw: str
    path: str
    query: str
    route: str


def parse(raw_target: str, prefix: str = "/vllm") -> Target:
    """Cuts a raw request target (latin-1 text, as WSGI servers give it) into a Target.

    Raises UnsafePath for dot segments, empty segments, encoded slashes, backslashes, NUL and control characters, in
    any encoding and also when encoded several times; and for a target that is not below `prefix`. The query is
    never decoded; only raw control characters and spaces are refused there.
    """
    if raw_target.startswith(prefix):
        plain = _PLAIN.fullmatch(raw_target, len(prefix))
        if plain is not None:
            path, query = plain.groups()
            raw = raw_target[len(prefix) :]
            return Target(raw if path else f"/{raw}", path or "/", query or "", _looked_up(path))
    return _parse_carefully(raw_target, prefix)


def _parse_carefully(raw_target: str, prefix: str) -> Target:
    absolute = _ABSOLUTE.match(raw_target)
    rest = raw_target[absolute.end() :] if absolute else raw_target
    path, mark, query = rest.partition("?")
    if not path.startswith(prefix):
        raise UnsafePath(f"The path must begin with {prefix or '/'}.")
    path = path[len(prefix) :] or "/"
    if not path.startswith("/"):
        raise UnsafePath(f"The path must begin with {prefix or '/'}.")
    if not _RAW_PATH.fullmatch(path):
        raise UnsafePath("The path holds a character that must be percent-encoded or is not allowed.")
    if not _RAW_QUERY.fullmatch(query):
        raise UnsafePath("The query holds a space or a control character.")
    return Target(path + mark + query, path, query, _looked_up(_safely_decoded(path)))


def _looked_up(path: str) -> str:
    # A server behind may cut `;parameters` off a segment: what is then called must have been judged.
    plain = _PARAMETERS.sub("", path) if ";" in path else path
    return plain.rstrip("/").casefold() or "/"


def _safely_decoded(path: str) -> str:
    """The path with every layer of encoding undone; what is unsafe in one layer stays unsafe in the last."""
    data = _undo_encodings(path.encode("ascii"))
    if _OVERLONG.search(data):
        raise UnsafePath("The path holds an overlong encoding.")
    decoded = data.decode("utf-8", "replace")
    _refuse_unsafe(decoded, path.count("/"))
    _refuse_unsafe(unicodedata.normalize("NFKC", decoded), path.count("/"))
    return decoded


def _undo_encodings(data: bytes) -> bytes:
    for _ in range(MAX_ROUNDS):
        inner = unquote_to_bytes(_WIDE.sub(_undo_wide, data))
        if inner == data:
            return data
        data = inner
    raise UnsafePath("The path is percent-encoded too many times.")


def _undo_wide(match: re.Match[bytes]) -> bytes:
    """`%u002e`: not in any RFC, but some servers decode it."""
    return chr(int(match[1], 16)).encode("utf-8", "surrogatepass")


def _refuse_unsafe(decoded: str, slashes: int) -> None:
    if decoded.count("/") != slashes:
        raise UnsafePath("The path holds an encoded slash.")
    if _FORBIDDEN.search(decoded):
        raise UnsafePath("The path holds a backslash or a control character.")
    *inner, last = decoded.split("/")[1:]
    if "" in inner:
        raise UnsafePath("The path holds an empty segment.")
    for segment in (*inner, last):
        # Some servers cut `;parameters` off a segment, some ignore spaces around it.
        name = segment.partition(";")[0].strip()
        if name in {".", ".."} or (segment and not name):
            raise UnsafePath("The path holds a dot segment.")
