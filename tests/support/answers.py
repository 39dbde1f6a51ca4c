"""Ready-made behaviours for the scripted upstream, good and broken.

Each function returns a behaviour for `Upstream.on`; `silence` and `reset` also fit `Upstream.on_connect`. Gaps and
pauses are in seconds; while they last the peer is watched, and its close ends the behaviour at once.
"""

from __future__ import annotations

import base64
import gzip as gzip_module
import hashlib
import json as json_module
import threading
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, Literal

from tests.support import wire
from tests.support.exchange import Behaviour, Exchange, before_body
from tests.support.wire import Headers

Framing = Literal["chunked", "close", "length"]
SSE = "text/event-stream; charset=utf-8"
JSON = "application/json"


def event(data: Any) -> bytes:
    """A server-sent event as vLLM writes it; what is not a string is written as compact JSON."""
    text = data if isinstance(data, str) else _compact(data).decode()
    return f"data: {text}\n\n".encode()


def json(status: int, obj: Any, headers: Iterable[tuple[str, str]] = ()) -> Behaviour:
    """A JSON answer with its length, in one send."""
    return body(_compact(obj), status=status, headers=[("content-type", JSON), *headers])


def body(data: bytes, *, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Behaviour:
    """Any body with its length and exactly these headers."""
    fixed = list(headers)
    return lambda exchange: exchange.answer(status, fixed, data)


def raw(data: bytes, *, then_close: bool = True) -> Behaviour:
    """Exactly these bytes for the whole answer, then FIN, or the connection kept."""

    def behave(exchange: Exchange) -> None:
        exchange.send(data)
        exchange.answered()
        if then_close:
            exchange.fin()

    return behave


def stream(
    events: Iterable[bytes],
    gap: float = 0.0,
    *,
    framing: Framing = "chunked",
    head_first: bool = True,
    before: float = 0.0,
    status: int = 200,
    headers: Iterable[tuple[str, str]] = (),
    content_type: str = SSE,
    trailers: Iterable[tuple[str, str]] = (),
) -> Behaviour:
    """One send for each event, `gap` apart, the first one `before` after the head.

    vLLM sends the head at once (`head_first`); otherwise it travels with the first event. The framing "length"
    needs events that can be counted; "close" ends with FIN.
    """
    fixed = [("content-type", content_type), *headers]

    def behave(exchange: Exchange) -> None:
        head = exchange.head(status, [*fixed, _framing_header(framing, events)])
        if head_first:
            exchange.send(head)
            head = b""
        exchange.pause(before)
        send_events(exchange, events, gap, framing=framing, first=head)
        end_body(exchange, framing, trailers)

    return behave


def send_events(
    exchange: Exchange, events: Iterable[bytes], gap: float, *, framing: Framing = "chunked", first: bytes = b""
) -> None:
    """Sends events one by one, for behaviours of a test's own."""
    for number, data in enumerate(events):
        if number:
            exchange.pause(gap)
        exchange.send(first + (wire.chunk(data) if framing == "chunked" else data))
        first = b""


def end_body(exchange: Exchange, framing: Framing = "chunked", trailers: Iterable[tuple[str, str]] = ()) -> None:
    """Ends a body cleanly."""
    if framing == "chunked":
        exchange.send(b"0\r\n" + wire.write_head("", trailers)[2:])
    exchange.answered()
    if framing == "close":
        exchange.fin()


def endless(data: bytes, gap: float = 0.0) -> Behaviour:
    """The same event for ever, until the peer leaves; blocks while it does not read (see `Request.bytes_sent`)."""
    return stream(repeat(data), gap)


def slow_body(data: bytes, *, piece: int = 1, gap: float = 0.01, framing: Framing = "length") -> Behaviour:
    """A body that trickles."""
    pieces = [data[start : start + piece] for start in range(0, len(data), piece)]
    return stream(pieces, gap, framing=framing, content_type=JSON)


def delayed(seconds: float, then: Behaviour) -> Behaviour:
    """Thinks first: no byte for so long, but it notices a peer that leaves."""

    def behave(exchange: Exchange) -> None:
        exchange.pause(seconds)
        then(exchange)

    return behave


def held(let_go: threading.Event, then: Behaviour) -> Behaviour:
    """Thinks until the test lets it go, but it notices a peer that leaves."""

    def behave(exchange: Exchange) -> None:
        while not let_go.is_set():
            exchange.pause(0.01)
        then(exchange)

    return behave


# --- What breaks ------------------------------------------------------------------------------------------


def silence() -> Behaviour:
    """Not a byte, until the peer leaves. With `on_connect`: silent after accepting."""
    return lambda exchange: exchange.pause(None)


def head_then_silence(
    status: int = 200, headers: Iterable[tuple[str, str]] = (("content-type", SSE),), events: Sequence[bytes] = ()
) -> Behaviour:
    """A chunked head, `events` if any, then nothing until the peer leaves."""
    fixed = [*headers, ("transfer-encoding", "chunked")]

    def behave(exchange: Exchange) -> None:
        exchange.send(exchange.head(status, fixed))
        send_events(exchange, events, 0)
        exchange.pause(None)

    return behave


def die_mid_stream(events: Sequence[bytes], gap: float = 0.0, *, content_type: str = SSE) -> Behaviour:
    """FIN after the events, without the last chunk."""

    def behave(exchange: Exchange) -> None:
        exchange.send(exchange.head(200, [("content-type", content_type), ("transfer-encoding", "chunked")]))
        send_events(exchange, events, gap)
        exchange.pause(gap)
        exchange.fin()

    return behave


def half_chunk_then_fin(events: Sequence[bytes], half: bytes = b"data: {") -> Behaviour:
    """FIN in the middle of a chunk, after `events`."""

    def behave(exchange: Exchange) -> None:
        exchange.send(exchange.head(200, [("content-type", SSE), ("transfer-encoding", "chunked")]))
        send_events(exchange, events, 0)
        exchange.send(b"%x\r\n%b" % (len(half) * 2, half))
        exchange.fin()

    return behave


def reset(
    at: Literal["request_head", "request_end", "head", "stream"] = "request_end", events: Sequence[bytes] = ()
) -> Behaviour:
    """RST: when the request's head is there, when the whole request is, after our head, or after `events`.

    What was sent before gets 50 ms to be read, since RST may overtake it.
    """

    def behave(exchange: Exchange) -> None:
        if at in ("head", "stream"):
            exchange.send(exchange.head(200, [("content-type", SSE), ("transfer-encoding", "chunked")]))
            send_events(exchange, events, 0)
            exchange.pause(0.05)
        exchange.reset()

    return before_body(behave) if at == "request_head" else behave


def wrong_content_length(data: bytes, declared: int) -> Behaviour:
    """A body that is shorter (then FIN) or longer than its Content-Length says."""

    def behave(exchange: Exchange) -> None:
        exchange.send(exchange.head(200, [("content-type", JSON), ("content-length", str(declared))]) + data)
        exchange.fin()

    return behave


def early_response_before_body_end(status: int = 413, obj: Any = None) -> Behaviour:
    """Answers on the head alone, reads no body, and closes."""

    def behave(exchange: Exchange) -> None:
        exchange.answer(status, [("content-type", JSON), ("connection", "close")], _compact(obj or {"early": True}))
        exchange.fin()

    return before_body(behave)


def read_slowly(then: Behaviour, *, piece: int = 1024, gap: float = 0.01) -> Behaviour:
    """Takes the request's body in small pieces, then goes on as usual."""

    def behave(exchange: Exchange) -> None:
        exchange.read_body(piece=piece, gap=gap)
        then(exchange)

    return before_body(behave)


def close_kept_alive_after_answer(then: Behaviour, *, after: float = 0.0) -> Behaviour:
    """Answers as if the connection were kept and then closes it: whoever pools it holds a stale one.

    For a connection that dies only when it is used again: `on(route, json(...), reset())`.
    """

    def behave(exchange: Exchange) -> None:
        then(exchange)
        exchange.pause(after)
        exchange.fin()

    return behave


# --- What is rare but right -------------------------------------------------------------------------------


def trailer(events: Sequence[bytes], trailers: Headers) -> Behaviour:
    """A chunked body with a trailer section."""
    return stream(events, trailers=trailers, headers=[("trailer", ", ".join(name for name, _ in trailers))])


def gzip(obj: Any, *, status: int = 200) -> Behaviour:
    """A JSON answer that is compressed although nobody asked for it."""
    data = gzip_module.compress(_compact(obj), mtime=0)
    return body(data, status=status, headers=[("content-type", JSON), ("content-encoding", "gzip")])


def big_header(size: int = 30_000, obj: Any = None) -> Behaviour:
    """A header `x-big` of `size` bytes."""
    return json(200, obj or {}, [("x-big", "b" * size)])


def interim_100_and_103(then: Behaviour) -> Behaviour:
    """Two interim heads before the answer."""

    def behave(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n")
        then(exchange)

    return behave


def redirect(location: str, status: int = 307) -> Behaviour:
    """A redirect; `{port}` in the location is this upstream's own."""

    def behave(exchange: Exchange) -> None:
        port = exchange.connection.socket.getsockname()[1]
        exchange.answer(status, [("location", location.replace("{port}", str(port)))], b"")

    return behave


def set_cookie(*cookies: str) -> Behaviour:
    """A JSON answer that sets cookies."""
    return json(200, {}, [("set-cookie", cookie) for cookie in cookies])


def echo() -> Behaviour:
    """JSON that describes the request as it was received.

    `{"method", "target", "version", "headers": [[name, value], …], "framing", "chunk_sizes", "trailers",
    "body": {"base64", "sha256", "length"}}`; text is latin-1, headers are in order and in their own case.
    """

    def behave(exchange: Exchange) -> None:
        request = exchange.request
        described = {
            "method": request.method,
            "target": request.target,
            "version": request.line.rpartition(" ")[2],
            "headers": request.headers,
            "framing": request.framing,
            "chunk_sizes": request.chunk_sizes,
            "trailers": request.trailers,
            "body": {
                "base64": base64.b64encode(request.body).decode(),
                "sha256": hashlib.sha256(request.body).hexdigest(),
                "length": len(request.body),
            },
        }
        exchange.answer(200, [("content-type", JSON)], _compact(described))

    return behave


def _compact(obj: Any) -> bytes:
    return json_module.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode()


def _framing_header(framing: Framing, events: Iterable[bytes]) -> tuple[str, str]:
    if framing == "chunked":
        return ("transfer-encoding", "chunked")
    if framing == "length":
        return ("content-length", str(sum(map(len, events))))
    return ("connection", "close")
