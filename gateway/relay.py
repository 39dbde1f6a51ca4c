"""Opens calls on upstreams: the first candidate that answers gets the call, up to the first byte of its answer.

Knows no table, no recorder and no admin.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from common.errors import GatewayError
from gateway.account.entry import UsageSource
from gateway.errors import UpstreamSaid
from gateway.metering.first_event import FirstEvent, StreamError, Verdict
from gateway.metering.plain_meter import Meter
from gateway.open_call import OpenCall, Phase
from gateway.routes import MONITORING, SERVER_CONTROL
from upstreams.client import Body, Outgoing, UpstreamClient, UpstreamResponse
from upstreams.errors import (
    NoUpstream,
    UpstreamBroken,
    UpstreamConnectTimeout,
    UpstreamError,
    UpstreamInvalid,
    UpstreamReset,
    UpstreamTimeout,
)
from upstreams.health import Mark
from upstreams.selection import Candidate, Target

_ASIDE = frozenset({MONITORING, SERVER_CONTROL})
ELSEWHERE = frozenset({502, 503, 504})
"""Statuses of an upstream that another one may not have."""


class Pool(Protocol):
    """Who counts the calls that are open on each upstream, and hears how they went."""

    def enter(self, upstream_id: int | None, *, is_trial: bool) -> None: ...
    def leave(self, upstream_id: int | None) -> None: ...
    def mark(self, upstream_id: int | None, mark: Mark) -> None: ...


class Places(Protocol):
    """Who knows which upstream has room for one more call."""

    def choose(self, call: OpenCall, candidates: Sequence[Candidate]) -> Candidate: ...
    def give_back(self, call: OpenCall, upstream: Target) -> None: ...


Prepare = Callable[[Candidate], tuple[Outgoing, Body]]


class Relay:
    """Opens calls on upstreams."""

    def __init__(self, client: UpstreamClient, pool: Pool, places: Places) -> None:
        self._client = client
        self._pool = pool
        self._places = places

    def open(
        self,
        call: OpenCall,
        candidates: Sequence[Candidate],
        prepare: Prepare,
        *,
        method: str | None = None,
        most_attempts: int | None = None,
        looks_ahead: bool = False,
    ) -> RelayedAnswer:
        """Sends the call to the first candidate that can take it, and waits for the response head.

        `prepare` gives what is sent to a candidate. One that refuses, resets or answers 502, 503 or 504 makes way for
        the next; each is tried once. With `looks_ahead` that holds until the first event of a stream (DESIGN, promise
        3). Raises GatewayError: what the last one met.
        """
        left = list(candidates)
        for attempt in range(1, min(len(left), most_attempts or len(left)) + 1):
            call.enter(Phase.ADMISSION)  # waiting for a place is not waiting for the upstream before
            candidate = self._places.choose(call, left)
            left.remove(candidate)
            is_last = not left or attempt == most_attempts
            call.attempts += 1
            try:
                answer = self._open_on(call, candidate, prepare, method or call.method)
            except UpstreamError as error:
                _note_failure(call, candidate, error.type)
                self._pool.mark(candidate.upstream.id, mark_of(error))
                if error.before_sent:
                    call.usage_source = UsageSource.NONE
                if is_last or not _may_go_on(error):
                    raise
                continue
            if self._stays(call, answer, is_last=is_last, looks_ahead=looks_ahead):
                return answer
            _note_failure(call, candidate, f"answered {answer.response.status}")
        raise NoUpstream

    def _open_on(self, call: OpenCall, candidate: Candidate, prepare: Prepare, method: str) -> RelayedAnswer:
        upstream = candidate.upstream
        call.upstream_id, call.upstream_name = upstream.id, upstream.name
        self._pool.enter(upstream.id, is_trial=shows_health(call))

        def leave() -> None:
            self._pool.leave(upstream.id)
            self._places.give_back(call, upstream)

        try:
            outgoing, body = prepare(candidate)
            call.enter(Phase.ANSWER)
            noted = call.decisions
            noted.asked = call.progress_at
            response = self._client.open(
                upstream.base_url, method, outgoing, body, connect_timeout=upstream.timeouts.connect
            )
            noted.reused = outgoing.reused
            noted.connected = 0.0 if outgoing.reused else outgoing.connected_at
        except BaseException:
            leave()
            raise
        call.head_at = time.time()
        call.status = response.status
        return RelayedAnswer(candidate, response, leave, lambda mark: self._pool.mark(upstream.id, mark))

    def _stays(self, call: OpenCall, answer: RelayedAnswer, *, is_last: bool, looks_ahead: bool) -> bool:
        """Whether the call stays with this answer; otherwise the answer is closed and marked."""
        try:
            if answer.response.status >= 500:
                answer.mark(Mark.SERVER_ERROR)
                stays = is_last or answer.response.status not in ELSEWHERE
            elif looks_ahead and answer.is_stream and answer.response.status == 200:
                stays = self._begins_well(answer, is_last=is_last)
            else:
                stays = True
        except BaseException:
            answer.close()
            raise
        if not stays:
            answer.close()
        return stays

    @staticmethod
    def _begins_well(answer: RelayedAnswer, *, is_last: bool) -> bool:
        """Reads ahead to the first event that says how it goes. Raises UpstreamSaid, UpstreamBroken."""
        try:
            error = answer.look_ahead()
        except UpstreamBroken:
            answer.mark(Mark.RESET)
            if is_last:
                raise
            return False
        if error is None:
            return True
        if not error.is_the_callers:
            answer.mark(Mark.ENGINE_DEAD)
            if not is_last:
                return False
        raise UpstreamSaid(error.status, error.error)


class RelayedAnswer:
    """An upstream's answer whose head has come. `close` it once, whatever happens.

    `ahead` is what has been read of its body already; `meter` keeps its account; `hides_usage` says that the usage in
    it was only asked for by us.
    """

    def __init__(
        self,
        candidate: Candidate,
        response: UpstreamResponse,
        on_close: Callable[[], None],
        mark: Callable[[Mark], None],
    ) -> None:
        self.candidate = candidate
        self.response = response
        self.mark = mark
        self.ahead = b""
        self.meter = Meter()
        self.hides_usage = False
        self.is_stream = response.header("content-type").startswith("text/event-stream")
        self._on_close: Callable[[], None] | None = on_close

    def look_ahead(self) -> StreamError | None:
        """Reads until an event says how the stream goes; its error, if it begins with one. Raises UpstreamBroken."""
        first = FirstEvent()
        verdict = Verdict.WAIT
        while verdict is Verdict.WAIT and (chunk := self.response.read1()):
            verdict = first.feed(chunk)
        self.ahead = first.held
        return first.error if verdict is Verdict.FAILED else None

    def peek(self) -> bytes:
        """What has been read ahead, and what comes next; the same again at the body's end. Raises UpstreamBroken."""
        self.ahead += self.response.read1()
        return self.ahead

    def read1(self) -> bytes:
        """The next bytes of the body, `b""` at its clean end. Raises UpstreamBroken."""
        if self.ahead:
            ahead, self.ahead = self.ahead, b""
            return ahead
        return self.response.read1()

    def close(self) -> None:
        """Frees the upstream's connection: for the next call after a clean end, else by closing it."""
        if self._on_close is not None:
            on_close, self._on_close = self._on_close, None
            self.response.close()
            on_close()


def shows_health(call: OpenCall) -> bool:
    """Whether a good answer says that the upstream is well: a server answers who only looks at it also while its engine
    fails."""
    return call.endpoint_class not in _ASIDE


def mark_of(error: GatewayError) -> Mark:
    """What a failure says of the upstream."""
    if isinstance(error, UpstreamTimeout | UpstreamConnectTimeout):
        return Mark.TIMEOUT
    if isinstance(error, UpstreamReset | UpstreamBroken):
        return Mark.RESET
    return Mark.SERVER_ERROR if isinstance(error, UpstreamInvalid) else Mark.REFUSED


def _note_failure(call: OpenCall, candidate: Candidate, end: str) -> None:
    call.decisions.note_attempt(candidate.upstream.name, call.decisions.asked, time.monotonic(), end)


def _may_go_on(error: UpstreamError) -> bool:
    """Whether another upstream may have the call. Silence is none: the GPU may be at work on it."""
    return error.before_sent or isinstance(error, UpstreamReset)
