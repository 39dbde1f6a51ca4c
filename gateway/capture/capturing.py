"""One call that is captured: keeps the beginning of what is asked and answered, while the bytes pass as ever."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse

from common.errors import GatewayError
from gateway import named_model
from gateway.account.entry import Outcome
from gateway.capture.captures import Captures, Payload, most_bytes
from gateway.exchange import Exchange
from gateway.realtime import handshake
from keys.authentication import presented_key
from keys.permissions import resolve_alias

logger = logging.getLogger(__name__)

HEADER = "x-gateway-capture"


class Capturing:
    """What is kept of one call, up to a set size for each body. `attach` it to the answer."""

    def __init__(self, exchange: Exchange, captures: Captures, capture_id: int, model: str | None) -> None:
        self._exchange = exchange
        self._captures = captures
        self._capture_id = capture_id
        self._model = model or ""
        self._most = most_bytes()
        self._request = b""
        self._pieces: list[bytes] = []
        self._kept = 0
        self._passed = 0
        self._done = False

    def keep_request(self) -> None:
        """Reads the beginning of the request's body, which is there."""
        body = self._exchange.parsed.body
        size = min(body.length, self._most)
        if self._captures.hold(size):
            try:
                self._request = b"".join(body.read_range(0, size))
            finally:
                self._captures.give_back(size - len(self._request))  # all of it where it could not be read

    def feed(self, chunk: bytes) -> None:
        """Bytes on their way to the client."""
        self._passed += len(chunk)
        room = self._most - self._kept
        if room > 0 and chunk:
            piece = chunk[:room]
            if self._captures.hold(len(piece)):
                self._pieces.append(piece)
                self._kept += len(piece)
            else:
                self._most = self._kept  # there is no gap in what is kept

    def attach(self, response: HttpResponseBase) -> HttpResponseBase:
        """The same answer, which tells the caller that it is captured. Never raises."""
        try:
            if self._is_unsent and not self._captures.keeps_unsent(self._capture_id):
                self.drop()
                return response
            response.headers[HEADER] = "on"
            if isinstance(response, StreamingHttpResponse):
                response.streaming_content = CapturedBody(self, response)
                self._also_when_abandoned(response)
            elif isinstance(response, HttpResponse):
                self.feed(response.content)
                self.finish(response)
        except Exception:
            logger.exception("An answer could not be captured.")
        return response

    @property
    def _is_unsent(self) -> bool:
        """Whether the call has ended, refused or failed, before any upstream had it."""
        call = self._exchange.call
        return call.outcome not in (None, Outcome.COMPLETED) and not call.attempts

    def _also_when_abandoned(self, response: HttpResponseBase) -> None:
        """A server closes only a body that it received (`gateway.wsgi`)."""
        environ = self._exchange.environ
        abandon: Callable[[], None] = environ.get("gateway.abandon", lambda: None)

        def abandon_both() -> None:
            abandon()
            self.finish(response)

        environ["gateway.abandon"] = abandon_both

    def drop(self) -> None:
        """There is no answer, since the call was ended from outside: nothing is kept."""
        self._done = True
        self._captures.give_back(len(self._request) + self._kept)

    def finish(self, response: HttpResponseBase) -> None:
        """The answer has ended, however it did. Without effect the second time. Never raises."""
        if self._done:
            return
        self._done = True
        try:
            self._captures.put(self._payload(response))
        except Exception:
            logger.exception("A payload could not be captured.")
            self._captures.give_back(len(self._request) + self._kept)

    def _payload(self, response: HttpResponseBase) -> Payload:
        exchange, call = self._exchange, self._exchange.call
        return Payload(
            capture_id=self._capture_id,
            call_id=call.call_id,
            key_id=call.key_id,
            key_name=call.key_name,
            team_id=call.team_id,
            model=self._model,
            status=response.status_code,
            unsent=self._is_unsent,
            at=time.time(),
            request_type=str(exchange.environ.get("CONTENT_TYPE", "")),
            request=self._request,
            request_bytes=exchange.parsed.body.length,
            response_type=response.headers.get("Content-Type", ""),
            response=b"".join(self._pieces),
            response_bytes=self._passed,
            secrets=frozenset(_secrets(exchange)),
        )


class CapturedBody:
    """A body on its way to the client, of which the beginning is kept. Each chunk leaves as it comes."""

    def __init__(self, capturing: Capturing, response: StreamingHttpResponse) -> None:
        self._capturing = capturing
        self._response = response
        self._inner: Iterable[bytes] = response.streaming_content  # type: ignore[assignment]

    def __iter__(self) -> Iterator[bytes]:
        feed = self._capturing.feed
        for chunk in self._inner:
            feed(chunk)
            yield chunk

    def close(self) -> None:
        """Called by the server in every case, after the body behind has been closed."""
        self._capturing.finish(self._response)


def begin(exchange: Exchange) -> Capturing | None:
    """Keeps what follows, if somebody captures this call; a WebSocket session is never captured. Never raises."""
    try:
        return _begin(exchange)
    except Exception:
        logger.exception("A call could not be captured.")
        return None


def _begin(exchange: Exchange) -> Capturing | None:
    if handshake.is_upgrade(exchange.environ):
        return None
    captures: Captures = exchange.plane.captures
    model = exchange.parsed.model or exchange.model_in_path or named_model.in_query(exchange.path.query)
    names = {model, resolve_alias(exchange.identity, model)} if model else set()
    active = captures.match(exchange.identity.key_id, exchange.identity.team_id, names)
    if active is None:
        return None
    capturing = Capturing(exchange, captures, active.id, model)
    capturing.keep_request()
    return capturing


def _secrets(exchange: Exchange) -> Iterator[str]:
    """What may stand in a body of this call although it must not: the caller's key and the upstreams' credentials."""
    yield settings.MASTER_KEY
    environ: Any = exchange.environ
    with contextlib.suppress(GatewayError):
        yield presented_key(environ) or ""
    for candidate in exchange.candidates:
        yield candidate.upstream.credential
    used = exchange.plane.pool.by_id(exchange.call.upstream_id)
    if used is not None:
        yield used.upstream.credential
