"""One WebSocket session: two ends, two pumps, and the ways in which it ends.

Each pump reads one end only as fast as the other takes it. Pings and pongs pass, so that vLLM's keep-alive notices a
client that is gone.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

import gevent

from gateway.account.entry import Outcome
from gateway.cuts import CallCut
from gateway.metering.usage import Usage, sum_of
from gateway.open_call import OpenCall, Phase
from gateway.realtime.messages import Judged, usage_in
from gateway.realtime.peer import TOO_LARGE, BytesMessage, CloseConnection, MessageTooLarge, Peer, TextMessage
from gateway.turns import let_others_go

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 2.0
"""How long the other end may take to answer a close."""

NORMAL, GOING_AWAY, UNSUPPORTED, REFUSED, FAILED = 1000, 1001, 1003, 1008, 1011
_CODES = {Outcome.REVOKED: REFUSED, Outcome.DRAINED: GOING_AWAY}
_UNTOLD = {1005, 1006, 1015}
"""Codes that say that there was none; they may not be sent (RFC 6455, section 7.4.1)."""

_TURN_EVENTS = 32


class Session:
    """The messages between a client and an upstream, until either end closes. `run` it once."""

    def __init__(self, call: OpenCall, client: Peer, upstream: Peer, judge: Callable[[str], Judged]) -> None:
        self._call = call
        self._client = client
        self._upstream = upstream
        self._judge = judge
        self._usages: list[Usage] = []
        self._ended: list[Outcome] = []

    @property
    def usage(self) -> Usage | None:
        """The tokens that the server reported; None when it reported none."""
        return sum_of(self._usages) if self._usages else None

    def run(self) -> tuple[Outcome, CallCut | None]:
        """Passes messages on until the session is over. Returns how it ended, and the cut that ended it."""
        self._call.enter(Phase.STREAM)
        pumps = [gevent.spawn(self._guarded, self._upwards), gevent.spawn(self._guarded, self._downwards)]
        cut = None
        try:
            gevent.wait(pumps, count=1)
        except CallCut as given:
            cut = given
            code = _CODES.get(given.outcome, FAILED)
            self._client.close(code, given.error.message[:100] if given.error else "")
            self._upstream.close(GOING_AWAY)
        with contextlib.suppress(CallCut):
            gevent.joinall(pumps, timeout=CLOSE_SECONDS)
        gevent.killall(pumps, block=False)
        if cut is not None:
            return cut.outcome, cut
        return (self._ended or [Outcome.GATEWAY_FAILED])[0], None

    def _guarded(self, pump: Callable[[], Outcome]) -> None:
        try:
            outcome = pump()
        except MessageTooLarge:
            self._client.close(TOO_LARGE, "The message is too large.")
            self._upstream.close(GOING_AWAY)
            outcome = Outcome.REFUSED if pump == self._upwards else Outcome.UPSTREAM_FAILED
        except OSError:
            outcome = Outcome.CLIENT_DISCONNECTED if pump == self._upwards else Outcome.UPSTREAM_FAILED
            self._client.close(FAILED)
            self._upstream.close(GOING_AWAY)
        except Exception:
            logger.exception("A realtime session failed.")
            outcome = Outcome.GATEWAY_FAILED
            self._client.close(FAILED)
            self._upstream.close(GOING_AWAY)
        self._ended.append(outcome)

    def _upwards(self) -> Outcome:
        """From the client to the upstream."""
        for number, event in enumerate(self._client.events()):
            self._call.bytes_in = self._client.bytes_read
            if isinstance(event, CloseConnection):
                self._client.close(_told(event.code))
                self._upstream.close(_told(event.code), event.reason or "")
                return Outcome.COMPLETED
            if isinstance(event, BytesMessage):  # vLLM reads text only, and nobody could judge the model in this
                self._client.close(UNSUPPORTED, "Text messages only.")
                self._upstream.close(GOING_AWAY)
                return Outcome.REFUSED
            if isinstance(event, TextMessage):
                judged = self._judge(event.data)
                if judged.passed is not None:
                    self._upstream.send(TextMessage(data=judged.passed))
                if judged.refused is not None:
                    self._client.send(TextMessage(data=judged.refused))
                if judged.ends:
                    self._client.close(REFUSED, "The key may not use this model.")
                    self._upstream.close(GOING_AWAY)
                    return Outcome.REFUSED
            else:
                self._upstream.send(event)
            if number % _TURN_EVENTS == _TURN_EVENTS - 1:
                let_others_go()
        self._upstream.close(GOING_AWAY)
        return Outcome.CLIENT_DISCONNECTED

    def _downwards(self) -> Outcome:
        """From the upstream to the client."""
        for number, event in enumerate(self._upstream.events()):
            if isinstance(event, CloseConnection):
                self._upstream.close(_told(event.code))
                self._client.close(_told(event.code), event.reason or "")
                return Outcome.COMPLETED if event.code in {NORMAL, GOING_AWAY, 1005} else Outcome.UPSTREAM_FAILED
            self._note(event)
            self._call.writing = True
            self._client.send(event)
            self._call.writing = False
            self._call.bytes_out = self._client.bytes_sent
            if number % _TURN_EVENTS == _TURN_EVENTS - 1:
                let_others_go()
        self._client.close(FAILED, "The upstream broke off.")
        return Outcome.UPSTREAM_FAILED

    def _note(self, event: Any) -> None:
        if not isinstance(event, TextMessage):
            return
        if self._call.first_token_at is None and '"transcription.' in event.data:
            self._call.first_token_at = time.time()
        usage = usage_in(event.data)
        if usage is not None:
            self._usages.append(usage)


def _told(code: int) -> int:
    return NORMAL if code in _UNTOLD else code
