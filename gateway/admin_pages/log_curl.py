"""A `curl` that repeats a call: without its key, and without its body unless somebody has captured that. Pure, but for
the sources of captured bodies, which are asked for it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from typing import NamedTuple

from django.http import HttpRequest

from gateway.account.entry import Outcome
from gateway.models import RequestLog

BodySource = Callable[[HttpRequest, RequestLog], bytes | None]
BODY_SOURCES: list[BodySource] = []
"""Who may have the body of a call. Each gives None where it has none, or where the viewer may not see it."""

KEY_VARIABLE = "VLLM_API_KEY"
LONGEST_SHOWN = 20_000
_WITH_BODY = {"POST", "PUT", "PATCH"}
_PART = re.compile(r"\{(\w+)(?::path)?\}")


class Repeat(NamedTuple):
    """The command, and what has to be put in by hand."""

    command: str
    to_fill_in: str


def repeat_of(request: HttpRequest, call: RequestLog, prefix: str) -> Repeat:
    """`prefix` is that of the face that the call came in by."""
    body = next((found for source in BODY_SOURCES if (found := source(request, call)) is not None), None)
    has_body = call.method in _WITH_BODY and not (call.bytes_in == 0 and call.outcome == Outcome.COMPLETED)
    missing = [] if body is not None or not has_body else ["the body, which is not on this page"]
    path = prefix + call.route
    if _PART.search(path):
        missing.insert(0, "the parts of the path in capitals")
        path = _PART.sub(lambda found: found[1].upper(), path)
    lines = [f"curl{' -N' if call.streaming else ''} {shlex.quote(f'{request.scheme}://{request.get_host()}{path}')}"]
    if call.method != ("POST" if has_body else "GET"):
        lines.append(f"-X {shlex.quote(call.method)}")
    lines.append(f'-H "Authorization: Bearer ${KEY_VARIABLE}"')
    if has_body:
        lines += ["-H 'Content-Type: application/json'", f"-d {_shown(call, body)}"]
    return Repeat(" \\\n  ".join(lines), " and ".join(missing))


def _shown(call: RequestLog, body: bytes | None) -> str:
    if body is not None:
        return shlex.quote(body[:LONGEST_SHOWN].decode("utf-8", "replace"))
    known: dict[str, object] = {} if call.model is None else {"model": call.model}
    if call.streaming:
        known["stream"] = True
    return shlex.quote(json.dumps({**known, "...": "put the rest of the body here"}, ensure_ascii=False))
