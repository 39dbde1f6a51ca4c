"""Passes calls on: opens one on an upstream, and pumps the answer back. Bytes move here and nowhere else.

Knows no table, no recorder and no admin.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from common.errors import GatewayError
from gateway.account.entry import Outcome, UsageSource
from gateway.cuts import CallCut
from gateway.metering.plain_meter import Meter
from gateway.open_call import OpenCall, Phase
from gateway.serving.server import ClientConnection
from gateway.turns import let_others_go
from upstreams.client import Body, Outgoing, UpstreamClient, UpstreamResponse
from upstreams.errors import NoUpstream, UpstreamBroken, UpstreamError
from upstreams.selection import Candidate

logger = logging.getLogger(__name__)

YIELD_WORK = 65_536
"""Work after which a stream lets others go: bytes, and for each chunk what costs as much as 2,048 of them."""
CHUNK_WORK = 2_048


class InFlightCounts(Protocol):
    """Who counts the calls that are open on each upstream."""

    def enter(self, upstream_id: int | None) -> None: ...
    def leave(self, upstream_id: int | None) -> None: ...


Prepare = Callable[[Candidate], tuple[Outgoing, Body]]


class Relay:
    """Opens calls on upstreams."""

    def __init__(self, client: UpstreamClient, counts: InFlightCounts) -> None:
        self._client = client
        self._counts = counts

    def open(self, call: OpenCall, candidates: Sequence[Candidate], prepare: Prepare) -> RelayedAnswer:
        """Sends the call to the first candidate that can be reached, and waits for the response head.

        `prepare` gives what is sent to a candidate. Only an upstream that cannot have seen the call (refused, no
        connection) makes way for the next one. Raises UpstreamError, NoUpstream.
        """
        failure: GatewayError = NoUpstream()
        for candidate in candidates:
            try:
                return self._open_on(call, candidate, prepare)
            except UpstreamError as error:
                if not error.before_sent:
                    raise
                call.usage_source = UsageSource.NONE
                failure = error
        raise failure

    def _open_on(self, call: OpenCall, candidate: Candidate, prepare: Prepare) -> RelayedAnswer:
        upstream = candidate.upstream
        call.upstream_id, call.upstream_name = upstream.id, upstream.name
        call.served_model = candidate.served_name or call.model
        outgoing, body = prepare(candidate)
        call.enter(Phase.ANSWER)
        self._counts.enter(upstream.id)
        try:
            response = self._client.open(upstream.base_url, call.method, outgoing, body)
        except BaseException:
            self._counts.leave(upstream.id)
            raise
        call.head_at = time.time()
        call.status = response.status
        return RelayedAnswer(candidate, response, lambda: self._counts.leave(upstream.id))


class RelayedAnswer:
    """An upstream's answer whose head has come. `close` it once, whatever happens."""

    def __init__(self, candidate: Candidate, response: UpstreamResponse, on_close: Callable[[], None]) -> None:
        self.candidate = candidate
        self.response = response
        self._on_close: Callable[[], None] | None = on_close

    def close(self) -> None:
        """Frees the upstream's connection: for the next call after a clean end, else by closing it."""
        if self._on_close is not None:
            on_close, self._on_close = self._on_close, None
            self.response.close()
            on_close()


class RelayedBody:
    """The body on its way to the client: what a StreamingHttpResponse iterates over and closes."""

    def __init__(
        self,
        call: OpenCall,
        answer: RelayedAnswer,
        meter: Meter,
        connection: ClientConnection,
        fingerprints: dict[int | None, str],
    ) -> None:
        self._fingerprints = fingerprints
        self._call = call
        self._answer = answer
        self._meter = meter
        self._connection = connection
        self._ending: tuple[Outcome, GatewayError | None] | None = None

    def __iter__(self) -> Iterator[bytes]:  # noqa: C901 - the hot loop and every way in which it ends
        call, meter, read1, feed = self._call, self._meter, self._answer.response.read1, self._meter.feed
        passed = b""
        try:
            if call.streaming:
                yield b""  # lets the head leave now: vLLM sends it long before the first event
            left = YIELD_WORK
            # The hot loop: one turn for each chunk of each stream, so it stays whole.
            while chunk := read1():
                left -= len(chunk) + CHUNK_WORK
                if left < 0:
                    left = YIELD_WORK
                    let_others_go()  # an upstream that is faster than we are must not keep all others waiting
                passed = feed(chunk)
                if call.first_token_at is None and meter.started:
                    call.first_token_at = time.time()
                if passed:
                    if not call.bytes_out:
                        call.phase = Phase.STREAM
                    call.bytes_out += len(passed)
                    call.writing = True
                    yield passed
                    call.writing = False
            if rest := meter.end():
                call.bytes_out += len(rest)
                yield rest
            self._complete()
        except UpstreamBroken as error:
            yield from self._break_off(Outcome.UPSTREAM_FAILED, error, passed)
        except CallCut as cut:
            yield from self._cut_off(cut, passed)
        except Exception:
            logger.exception("The relay itself failed in the middle of an answer.")
            yield from self._break_off(Outcome.GATEWAY_FAILED, GatewayError(), passed)

    def _cut_off(self, cut: CallCut, passed: bytes) -> Iterator[bytes]:
        if cut.error is not None:
            yield from self._break_off(cut.outcome, cut.error, passed)
        else:  # It left; `close` sees that the call has not ended. By half, it could still read a clean end.
            self._connection.cut()

    def _complete(self) -> None:
        """The upstream's body came to its clean end; the client gets the end after this."""
        call, meter = self._call, self._meter
        if meter.failure:
            call.error_type, call.error_text = meter.failure, meter.failure_text
        failed = meter.failure and (call.status is None or not 400 <= call.status < 500)
        self._end(Outcome.UPSTREAM_FAILED if failed else Outcome.COMPLETED)

    def _break_off(self, outcome: Outcome, error: GatewayError, passed: bytes) -> Iterator[bytes]:
        """Ends the body so that the client can tell; a stream of events says why, in an event of its own.

        `passed` is what went out last. The call stays open until the event is written: a client that does not
        read must still be cut.
        """
        call = self._call
        self._ending = (outcome, error)
        call.cut_is_handled()
        if call.streaming:
            held = self._meter.end()
            before = held or passed
            mid_event = bool(before) and not before.endswith((b"\n\n", b"\r\n\r\n"))
            call.writing = True
            yield held + error_event(call.route, error, mid_event=mid_event)
        self._end(outcome, error)
        self._connection.cut()

    def close(self) -> None:
        """Called by the server in every case, also when the client left in the middle of a write."""
        call = self._call
        if call.outcome is None:
            self._meter.end()
            cut = call.pending_cut
            outcome, error = self._ending or ((cut.outcome, cut.error) if cut else (Outcome.CLIENT_DISCONNECTED, None))
            if outcome == Outcome.CLIENT_DISCONNECTED and self._client_had_all():
                self._complete()
            self._end(outcome, error)
            self._connection.abort()
        self._answer.close()

    def _client_had_all(self) -> bool:
        """Whether a client left after the last event, without waiting for the empty chunk that ends the body.

        Client libraries do so at `[DONE]`. The usage of a stream comes when nothing else but that can follow.
        """
        call = self._call
        return call.streaming and not call.writing and self._meter.is_whole

    def _end(self, outcome: Outcome, error: GatewayError | None = None) -> None:
        call, usage = self._call, self._meter.usage(self._call.bytes_in)
        call.prompt_tokens, call.completion_tokens = usage.prompt_tokens, usage.completion_tokens
        call.cached_tokens, call.reasoning_tokens = usage.cached_tokens, usage.reasoning_tokens
        call.usage_source = UsageSource(usage.source)
        if self._meter.fingerprint is not None:
            self._fingerprints[call.upstream_id] = self._meter.fingerprint
        call.fail(outcome, error)


def error_event(route: str, error: GatewayError, *, mid_event: bool) -> bytes:
    """The event that ends a broken stream, in the shape that the route's own errors have (vLLM, Anthropic, OpenAI).

    `mid_event`: the event before it was cut in its middle, and a blank line must end that one first.
    """
    start = b"\n\n" if mid_event else b""
    body = error.body()
    if route.startswith("/v1/messages"):
        shape: dict[str, object] = {"type": "error", "error": {"type": error.type, "message": error.message}}
    elif route.startswith("/v1/responses"):
        shape = {"type": "error", "code": error.type, "message": error.message, "param": error.param}
    else:
        return start + b"data: " + json.dumps(body).encode() + b"\n\n"
    return start + b"event: error\ndata: " + json.dumps(shape).encode() + b"\n\n"
