"""The calls that are open now, and how each ends: once, in `OpenCall.finish`.

Knows neither how bytes are moved nor where entries go (a function takes them).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import Any

import gevent

from common.errors import GatewayError
from common.money import shown
from gateway.account.decisions import Decisions, told_of
from gateway.account.entry import ADMITTED_FIELDS, Entry, Outcome, UsageSource
from gateway.charging import NO_BILL, Used, reserved
from gateway.cuts import CallCut
from gateway.time_limits import TimeLimits
from keys.counters import Spent
from upstreams.pricing import Prices


class Phase(IntEnum):
    """What an open call waits for."""

    ADMISSION = 0  # of us: nothing to time
    BODY = 1  # of the client: the request's body
    ANSWER = 2  # of the upstream: head and first byte
    STREAM = 3  # of either: the next bytes


class OpenCall:
    """One admitted call. Its attributes are what the entry will say (`gateway.account.entry`), filled in as they get
    known.

    Times are unix seconds, but for `opened_at`, which is `received_at` as the monotonic clock has it; now, where it is
    not given. `on_end` is called once with the finished call.
    """

    def __init__(
        self,
        *,
        call_id: str,
        request_id: str,
        received_at: float,
        method: str,
        on_end: Callable[[OpenCall], None],
        opened_at: float | None = None,
    ) -> None:
        self.call_id = call_id
        self.request_id = request_id
        self.received_at = received_at
        self.method = method
        self._on_end = on_end
        self.key_id: int | None = None
        self.secret_id: int | None = None
        self.key_name = ""
        self.user_id: str | None = None
        self.team_id: str | None = None
        self.end_user: str | None = None
        self.model: str | None = None
        self.served_model: str | None = None
        self.upstream_id: int | None = None
        self.upstream_name: str | None = None
        self.route = ""
        self.endpoint_class = ""
        self.client_address = ""
        self.user_agent = ""
        self.tags: list[str] = []
        self.streaming = False
        self.status: int | None = None
        self.outcome: Outcome | None = None
        self.error_type: str | None = None
        self.error_text: str | None = None
        self.head_at: float | None = None
        self.first_token_at: float | None = None
        self.ended_at: float | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.cached_tokens: int | None = None
        self.reasoning_tokens: int | None = None
        self.usage_source = UsageSource.NONE
        self.prices: Prices | None = None
        self.cost: int | None = None  # in units of money
        self.spend: list[Spent] = []
        self.bill = NO_BILL
        self.decisions = Decisions()
        self.outlives = False  # the upstream works on when the call ends
        self.taken_back: Sequence[Spent] = ()  # what another call had reserved, which this one settles
        # How it is cut: by the sweeper, a revocation, a drain, or the client's leaving.
        self.phase = Phase.ADMISSION
        self.writing = False
        self.limits: TimeLimits | None = None
        self.priority = 0
        self.attempts = 0
        self.queue_ms: float | None = None
        self.seen_progress = 0
        self.progress_at = time.monotonic()
        self.opened_at = self.progress_at if opened_at is None else opened_at
        self._greenlet: Any = gevent.getcurrent()
        self._watch: Any = None
        self._shielded = False
        self._pending: CallCut | None = None

    def enter(self, phase: Phase) -> None:
        """The call now waits for something else; the clock of the sweeper starts again."""
        self.phase = phase
        self.progress_at = time.monotonic()

    @property
    def pending_cut(self) -> CallCut | None:
        """Why the call is being ended from outside, None when it is not."""
        return self._pending

    def cut_is_handled(self) -> None:
        """The cut has been raised and taken; a later one may end what is still being said."""
        self._pending = None

    def watch(self, watch: Any) -> None:
        """Hands over what watches the client, so that the end of the call can stop it."""
        self._watch = watch

    def unwatch(self) -> None:
        """Ends the watch: from now on whoever serves the call reads from the client itself."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def cut(self, cut: CallCut) -> None:
        """Ends the call from outside. Call it in gevent's hub or another greenlet; it does not wait.

        The greenlet that serves the call waits somewhere (only one runs at a time): the cut is raised there.
        """
        if self.outcome is not None or self._pending is not None:
            return
        self._pending = cut
        if not self._shielded:
            self._throw()

    def _throw(self) -> None:
        greenlet, cut = self._greenlet, self._pending
        gevent.get_hub().loop.run_callback(self._throw_now, greenlet, cut)

    def _throw_now(self, greenlet: Any, cut: CallCut) -> None:
        # Between the order and this moment the call may have ended: then its greenlet serves another already.
        if self.outcome is None and not self._shielded and not greenlet.dead:
            greenlet.throw(cut)

    def __enter__(self) -> OpenCall:
        """`with call:` no cut is raised inside, as where a database connection would be left half used."""
        self._shielded = True
        return self

    def __exit__(self, *error: object) -> None:
        self._shielded = False
        if self._pending is not None and error[0] is None:
            raise self._pending

    def fail(self, outcome: Outcome, error: GatewayError | None) -> None:
        """Finishes the call as failed, with what the client is told."""
        if error is not None and self.outcome is None:
            self.error_type, self.error_text = error.type, error.message
            self.decisions.refusal = error.told
        self.finish(outcome)

    def finish(self, outcome: Outcome) -> None:
        """Ends the call; every further time is without effect. Never raises, never waits."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        self.unwatch()
        self.ended_at = time.time()
        self._on_end(self)

    def used(self) -> Used:
        """What it has used, once it has ended."""
        is_all = not self.outlives or self.usage_source is UsageSource.REPORTED
        return Used(
            self.prompt_tokens,
            self.completion_tokens,
            self.cached_tokens,
            max(0.0, (self.ended_at or self.received_at) - self.received_at),
            self.usage_source if is_all else UsageSource.UNKNOWN,
            self.outcome is Outcome.COMPLETED and self.status is not None and self.status < 400,
        )

    @property
    def ttft_ms(self) -> float | None:
        """Time to first token of a stream, in milliseconds."""
        if self.first_token_at is None or not self.streaming:
            return None
        return round((self.first_token_at - self.received_at) * 1000, 3)

    @property
    def inter_token_ms(self) -> float | None:
        """The mean time between two tokens of a stream, in milliseconds."""
        tokens = self.completion_tokens or 0
        if self.first_token_at is None or self.ended_at is None or not self.streaming or tokens < 2:
            return None
        return round((self.ended_at - self.first_token_at) * 1000 / (tokens - 1), 3)

    def admission(self) -> Entry:
        """What is known when the call is admitted (`gateway.account.entry.ADMITTED_FIELDS`)."""
        known = {name: getattr(self, name) for name in ADMITTED_FIELDS}
        return {**known, "spend": reserved(self.bill)}

    def entry(self) -> Entry:
        """The finished call as the journal and the request log take it."""
        return {
            "call_id": self.call_id,
            "request_id": self.request_id,
            "received_at": self.received_at,
            "head_at": self.head_at,
            "first_token_at": self.first_token_at,
            "ended_at": self.ended_at,
            "key_id": self.key_id,
            "secret_id": self.secret_id,
            "key_name": self.key_name,
            "user_id": self.user_id,
            "team_id": self.team_id,
            "end_user": self.end_user,
            "model": self.model,
            "served_model": self.served_model,
            "upstream_id": self.upstream_id,
            "upstream_name": self.upstream_name,
            "method": self.method,
            "route": self.route,
            "endpoint_class": self.endpoint_class,
            "status": self.status,
            "outcome": self.outcome,
            "streaming": self.streaming,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cached_tokens": self.cached_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "usage_source": self.usage_source,
            "ttft_ms": self.ttft_ms,
            "inter_token_ms": self.inter_token_ms,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "client_address": self.client_address,
            "user_agent": self.user_agent,
            "error_type": self.error_type,
            "error_text": self.error_text,
            "tags": self.tags,
            "cost": None if self.cost is None else shown(self.cost),
            "spend": self.spend,
            "shadowed": list(self.bill.shadowed),
            "attempts": self.attempts,
            "queue_ms": self.queue_ms,
            "decisions": told_of(self),
        }


class OpenCalls:
    """All calls that are open in this process."""

    def __init__(self) -> None:
        self._calls: dict[str, OpenCall] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[OpenCall]:
        return iter(tuple(self._calls.values()))

    def add(self, call: OpenCall) -> None:
        """Lists the call."""
        self._calls[call.call_id] = call

    def discard(self, call: OpenCall) -> None:
        """Takes the call from the list."""
        self._calls.pop(call.call_id, None)

    def of_keys(self, key_ids: frozenset[int]) -> list[OpenCall]:
        """The open calls of these keys."""
        return [call for call in self._calls.values() if call.key_id in key_ids]

    def of_parties(self, scopes: frozenset[str]) -> list[OpenCall]:
        """The open calls that count against one of these parties."""
        return [call for call in self._calls.values() if any(one.scope in scopes for one in call.bill.parties)]
