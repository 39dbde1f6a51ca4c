"""A command that repeats a call: without its key, and without its body unless somebody has captured that. Pure, but for
the sources of captured bodies, which are asked for it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from typing import NamedTuple

from django.http import HttpRequest

from gateway.account.entry import Outcome
from gateway.admin_pages.example_bodies import NO_MODEL, example_of
from gateway.admin_pages.public_address import public_address
from gateway.models import RequestLog
from gateway.routes import REALTIME, Match, find

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


class Body(NamedTuple):
    """The arguments that send it, and what has to be put in by hand."""

    lines: tuple[str, ...] = ()
    missing: str = ""


def repeat_of(request: HttpRequest, call: RequestLog, prefix: str, *, names_upstream: bool = False) -> Repeat:
    """`prefix` is that of the face that the call came in by; `names_upstream`: the call itself did."""
    missing = []
    path = prefix + call.route
    if _PART.search(path):
        missing.append("the parts of the path in capitals")
        path = _PART.sub(lambda found: found[1].upper(), path)
    headers = list(_headers(call, names_upstream=names_upstream and not prefix.startswith("/upstreams/")))
    url = public_address(request) + path
    match = find(call.method, call.route)
    if match.template == REALTIME:
        return Repeat(_session(url, call, headers), " and ".join([*missing, "what the session says"]))
    has_body = call.method in _WITH_BODY and not (call.bytes_in == 0 and call.outcome == Outcome.COMPLETED)
    body = _body(request, call, match) if has_body else Body()
    lines = [f"curl{' -N' if call.streaming else ''} {shlex.quote(url)}"]
    if call.method != ("POST" if has_body else "GET"):
        lines.append(f"-X {shlex.quote(call.method)}")
    lines += [f"-H {header}" for header in headers]
    return Repeat(" \\\n  ".join([*lines, *body.lines]), " and ".join(filter(None, [*missing, body.missing])))


def _headers(call: RequestLog, *, names_upstream: bool) -> Iterator[str]:
    """As arguments of a shell."""
    yield f'"Authorization: Bearer ${KEY_VARIABLE}"'
    if names_upstream and call.upstream_name:
        yield shlex.quote(f"x-gateway-upstream: {call.upstream_name}")
    if call.end_user and call.end_user.isprintable():
        yield shlex.quote(f"x-end-user-id: {call.end_user}")
    tags = [tag for tag in call.tags if tag.isprintable() and "," not in tag]
    if tags:
        yield shlex.quote(f"x-gateway-tags: {','.join(tags)}")


def _session(url: str, call: RequestLog, headers: list[str]) -> str:
    """No `curl` holds a conversation."""
    named = f"?model={call.model}" if call.model else ""
    address = re.sub("^http", "ws", url)
    return " \\\n  ".join([f"websocat {shlex.quote(address + named)}", *(f"-H={header}" for header in headers)])


def _body(request: HttpRequest, call: RequestLog, match: Match) -> Body:
    """What was captured, whole; or else what the route takes. A form's file nobody can paste."""
    if match.form:
        named = () if call.model is None else (f"-F {shlex.quote(f'model={call.model}')}",)
        stream = ("-F stream=true",) if call.streaming else ()
        return Body((*named, "-F file=@audio.wav", *stream), "a file of sound for audio.wav")
    captured = next((found for source in BODY_SOURCES if (found := source(request, call)) is not None), None)
    text = None if captured is None or len(captured) > LONGEST_SHOWN else _text(captured)
    if text is not None:
        return Body(_json(shlex.quote(text)))
    why = "which is not on this page"
    if captured is not None:
        why = (
            f"whose {len(captured):,} bytes are too many for a command"
            if len(captured) > LONGEST_SHOWN
            else "which is no text"
        )
    example = example_of(match, call.model, streaming=call.streaming)
    if example is not None:
        needed = "the model in capitals and " if example.get("model") == NO_MODEL != call.model else ""
        return Body(_json(_quoted(example)), f"{needed}your own words, in the place of the body, {why}")
    known: dict[str, object] = {} if call.model is None else {"model": call.model}
    if call.streaming:
        known["stream"] = True
    return Body(_json(_quoted({**known, "...": "put the rest of the body here"})), f"the body, {why}")


def _json(quoted: str) -> tuple[str, ...]:
    return "-H 'Content-Type: application/json'", f"-d {quoted}"


def _quoted(body: dict[str, object]) -> str:
    return shlex.quote(json.dumps(body, ensure_ascii=False))


def _text(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
