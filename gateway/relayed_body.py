"""Pumps an upstream's answer to the client. Bytes move here and nowhere else.

Knows no table, no recorder and no admin.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator

from common.errors import GatewayError
from gateway.account.entry import Outcome, UsageSource
from gateway.cuts import CallCut
from gateway.metering.answers import ABORTED
from gateway.metering.plain_meter import Meter
from gateway.open_call import OpenCall, Phase
from gateway.relay import RelayedAnswer, shows_health
from gateway.serving.server import ClientConnection
from gateway.turns import let_others_go
from upstreams.errors import UpstreamBroken, UpstreamTimeout
from upstreams.health import Mark

logger = logging.getLogger(__name__)

YIELD_WORK = 65_536
"""Work after which a stream lets others go: bytes, and for each chunk what costs as much as 2,048 of them."""
CHUNK_WORK = 2_048


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
        call, meter, feed = self._call, self._meter, self._meter.feed
        read1 = self._answer.read1 if self._answer.ahead else self._answer.response.read1
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
            self._answer.mark(Mark.RESET)
            yield from self._break_off(Outcome.UPSTREAM_FAILED, error, passed)
        except CallCut as cut:
            yield from self._cut_off(cut, passed)
        except Exception:
            logger.exception("The relay itself failed in the middle of an answer.")
            yield from self._break_off(Outcome.GATEWAY_FAILED, GatewayError(), passed)

    def _cut_off(self, cut: CallCut, passed: bytes) -> Iterator[bytes]:
        if cut.error is not None:
            if isinstance(cut.error, UpstreamTimeout):
                self._answer.mark(Mark.TIMEOUT)
            yield from self._break_off(cut.outcome, cut.error, passed)
        else:  # It left; `close` sees that the call has not ended. By half, it could still read a clean end.
            self._connection.cut()

    def _complete(self) -> None:
        """The upstream's body came to its clean end; the client gets the end after this."""
        call, meter = self._call, self._meter
        failed = conclude(call, self._answer, meter)
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
            call.writing = True
            yield self._meter.break_off(error.message) or self._last_words(error, passed)
        self._end(outcome, error)
        self._connection.cut()

    def _last_words(self, error: GatewayError, passed: bytes) -> bytes:
        held = self._meter.end()
        before = held or passed
        mid_event = bool(before) and not before.endswith((b"\n\n", b"\r\n\r\n"))
        return held + error_event(self._call.route, error, mid_event=mid_event)

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
        account(self._call, self._meter, self._fingerprints)
        self._call.fail(outcome, error)


def conclude(call: OpenCall, answer: RelayedAnswer, meter: Meter | None = None) -> bool:
    """Notes how an answer ended whose body came to its clean end. Returns whether the upstream failed with it."""
    meter = meter or answer.meter
    if meter.failure:
        call.error_type, call.error_text = meter.failure, meter.failure_text
    failed = bool(meter.failure) and not 400 <= answer.response.status < 500
    if answer.response.status < 500 and not meter.failure_is_the_callers and (failed or shows_health(call)):
        answer.mark(_mark_of(meter.failure) if failed else Mark.OK)
    return failed


def account(call: OpenCall, meter: Meter, fingerprints: dict[int | None, str]) -> None:
    """Notes the tokens that an answer used, as its meter tells."""
    usage = meter.usage(call.bytes_in)
    call.prompt_tokens, call.completion_tokens = usage.prompt_tokens, usage.completion_tokens
    call.cached_tokens, call.reasoning_tokens = usage.cached_tokens, usage.reasoning_tokens
    call.usage_source = UsageSource(usage.source)
    if meter.fingerprint is not None:
        fingerprints[call.upstream_id] = meter.fingerprint


def _mark_of(failure: str | None) -> Mark:
    """What a failure that a 200 answer carries says of the upstream."""
    if failure == ABORTED.type:
        return Mark.ABORTED
    return Mark.ENGINE_DEAD if failure == "InternalServerError" else Mark.SERVER_ERROR


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
