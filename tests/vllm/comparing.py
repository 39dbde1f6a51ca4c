"""One call made directly and through the gateway, and whether the two answers are the same.

What may differ is declared here, all of it. That the list is not too short is seen by comparing two direct calls in
the same way; that it is not too long, by reading it.
"""

from __future__ import annotations

import difflib
import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.support.http_client import Head, Response
from tests.vllm.conftest import Site
from tests.vllm.servers import Body

Headers = tuple[tuple[str, str], ...]
Send = Callable[[str, str, Iterable[tuple[str, str]], Body], Response]

VARYING = (
    # Seconds since 1970.
    (re.compile(rb'"(created|created_at|completed_at)":\s?\d+'), rb'"\1":TIME'),
    # Ids that vLLM draws although the caller sent an X-Request-Id, which it puts into all others.
    (re.compile(rb'"signature":"[0-9a-f]{32}"'), rb'"signature":"ID"'),
    (re.compile(rb'"request_id":"chatcmpl-[0-9a-f]{16}"'), rb'"request_id":"ID"'),
    (re.compile(rb"\b(resp|msg|rs|fc|call|chatcmpl-tool|modelperm)[_-][0-9a-f]{16,32}\b"), rb"\1_ID"),
)
"""What differs between two direct calls with the same X-Request-Id, and what stands for it."""

SAMPLE = (re.compile(rb"(?m)^([^#\n].*) [-+.e\dInfNa]+$"), rb"\1 VALUE")
"""In metrics: the samples' values."""

NOT_COMPARED: Mapping[str, str] = {
    "date": "the clock",
    "connection": "about one connection (RFC 9110, 7.6.1)",
    "keep-alive": "about one connection",
    "transfer-encoding": "about one connection",
    "x-litellm-call-id": "the gateway's own id of the call, which it adds",
}
"""Response headers that are not compared, and why."""

ROUNDS = 40
"""How often a case is asked again at most. A stream's tokens share an event when its reader was slower than the engine,
choices are interleaved at will, and the last digit of a score depends on what shared its batch."""


@dataclass(frozen=True)
class Call:
    """A request. `body`: None for none, bytes as they are, a list of bytes as chunks, anything else as JSON."""

    method: str
    target: str
    body: Any = None
    headers: Headers = ()

    def parts(self) -> tuple[list[tuple[str, str]], bytes | Sequence[bytes]]:
        """The headers and the body to send."""
        headers = list(self.headers)
        if self.body is None or isinstance(self.body, bytes):
            return headers, self.body or b""
        if isinstance(self.body, list) and all(isinstance(piece, bytes) for piece in self.body):
            return headers, self.body
        if not any(name == "content-type" for name, _ in headers):
            headers.append(("content-type", "application/json"))
        return headers, json.dumps(self.body).encode()

    def filled(self, values: Mapping[str, str]) -> Call:
        """With `$name` replaced in the target and in a JSON body."""
        target, body = self.target, json.dumps(self.body) if isinstance(self.body, dict) else None
        for name, value in values.items():
            target = target.replace(f"${name}", value)
            body = body.replace(f"${name}", value) if body else body
        return replace(self, target=target, body=json.loads(body) if body else self.body)


@dataclass(frozen=True)
class Case:
    """What is compared. `before` brings the server into the state, `after` out of it, for each answer anew.

    `$id` in the call stands for the `id` in the answer of the last call before it, `$models` for the folder of the
    server's models.
    """

    name: str
    call: Call
    before: tuple[Call, ...] = ()
    after: tuple[Call, ...] = ()

    def __str__(self) -> str:
        return self.name


def compare(site: Site, case: Case, prefix: str = "/vllm") -> None:
    """Asserts that the gateway's answer below `prefix` is the server's own.

    Of streams, and where direct calls differ, one answer that both sides gave, to the byte, is enough. Everywhere else
    every answer has to be the same.
    """
    direct: list[Answer] = []
    relayed: list[Answer] = []
    request_id = f"cmp-{uuid.uuid4().hex[:12]}"
    for _ in range(ROUNDS):
        direct += [_ask(site, case, request_id, directly=True) for _ in range(2)]
        relayed.append(_ask(site, case, request_id, directly=False, prefix=prefix))
        is_repeatable = any(one == other for at, one in enumerate(direct) for other in direct[:at])
        strange = [answer for answer in relayed if answer not in direct]
        is_same = len(strange) < len(relayed) if _varies(direct) else not strange
        if is_repeatable and is_same:
            break
    assert is_repeatable, "direct calls differ, so the list of what varies is too short:\n" + difference(*direct[-2:])
    assert is_same, "the gateway's answer is not the server's:\n" + difference(direct[-1], strange[0])


def _varies(direct: Sequence[Answer]) -> bool:
    return direct[0].is_stream or any(answer != direct[0] for answer in direct)


def difference(expected: Answer, seen: Answer) -> str:
    """The lines in which two answers differ."""
    return "\n".join(difflib.unified_diff(expected.lines(), seen.lines(), "direct", "gateway", n=0, lineterm=""))


@dataclass(frozen=True)
class Answer:
    """The comparable part of a response."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes
    end: str

    @property
    def is_stream(self) -> bool:
        return any(name == "content-type" and value.startswith("text/event-stream") for name, value in self.headers)

    def lines(self) -> list[str]:
        """For people: the head and the body."""
        headers = [f"{name}: {value}" for name, value in self.headers]
        body = self.body.decode("utf-8", "backslashreplace").replace(',"', ',\n"').splitlines()
        return [f"{self.status} {self.reason}", *headers, "", *body, f"({self.end})"]


def _ask(site: Site, case: Case, request_id: str, *, directly: bool, prefix: str = "/vllm") -> Answer:
    server = site.server
    values = {"id": "", "models": str(server.models_directory()) if "$models" in repr(case) else ""}
    try:
        for step in case.before:
            # What the gateway is asked for must be its own: a response belongs to the key that made it.
            send = server.call if directly else _through(site)
            values["id"] = _id_in(_send(send, step.filled(values)))
        return _answer_to(site, case.call.filled(values), request_id, directly=directly, prefix=prefix)
    finally:
        for step in case.after:
            _send(server.call, step.filled(values))


def _through(site: Site) -> Send:
    def send(method: str, target: str, headers: Iterable[tuple[str, str]], body: Body) -> Response:
        return site.gateway.call(method, f"/vllm{target}", headers, body, key=site.secret, timeout=60)

    return send


def _answer_to(site: Site, call: Call, request_id: str, *, directly: bool, prefix: str) -> Answer:
    headers, body = call.parts()
    headers.append(("x-request-id", request_id))
    if directly:
        return _expected(site.server.call(call.method, call.target, headers, body), request_id)
    return _seen(site.gateway.call(call.method, f"{prefix}{call.target}", headers, body, key=site.secret, timeout=60))


def _send(send: Send, step: Call) -> Response:
    headers, body = step.parts()
    return send(step.method, step.target, headers, body)


def _id_in(response: Response) -> str:
    found = re.search(rb'"id":\s?"([^"]+)"', response.body)
    return found[1].decode() if found else ""


def _seen(response: Response) -> Answer:
    head = response.head
    headers = sorted((name.lower(), value) for name, value in head.headers if name.lower() not in NOT_COMPARED)
    return _answer(response, headers)


def _expected(response: Response, request_id: str) -> Answer:
    """The direct answer with what the gateway changes in a head, said in the README: three things."""
    headers = []
    for name, value in _seen(response).headers:
        # 1. A location on the server becomes the same one on the gateway.
        headers.append((name, re.sub("^http://[^/]+", "/vllm", value) if name == "location" else value))
    # 2. The request id is always told, not only with --enable-request-id-headers.
    if ("x-request-id", request_id) not in headers:
        headers.append(("x-request-id", request_id))
    # 3. Pages share the origin of the admin, so they are locked up; so is what a browser might take for one.
    if _is_page(response.head):
        headers.append(("content-security-policy", "sandbox allow-scripts"))
    return _answer(response, sorted(headers))


def _is_page(head: Head) -> bool:
    content_type = head.header("content-type")
    return "html" in content_type if content_type else head.header("content-length") != "0"


def _answer(response: Response, headers: list[tuple[str, str]]) -> Answer:
    is_metrics = (response.header("content-type") or "").startswith("text/plain; version=")
    patterns = (*VARYING, SAMPLE) if is_metrics else VARYING
    if is_metrics:  # the values' digits make its length vary
        headers = [pair for pair in headers if pair[0] != "content-length"]
    same = [(name, normalised(value.encode("latin-1"), patterns).decode("latin-1")) for name, value in headers]
    return Answer(response.status, response.head.reason, same, normalised(response.body, patterns), response.end)


def normalised(data: bytes, patterns: Sequence[tuple[re.Pattern[bytes], bytes]] = VARYING) -> bytes:
    """The data with a word in place of each value that varies."""
    for pattern, word in patterns:
        data = pattern.sub(word, data)
    return data
