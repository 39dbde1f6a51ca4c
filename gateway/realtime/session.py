"""One WebSocket session: two ends, two pumps, and the ways in which it ends.

Each pump reads one end only as fast as the other takes it. Pings and pongs pass, so that vLLM's keep-alive notices a
client that is gone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.event import Event

from common.errors import GatewayError, InvalidRequest
from gateway.account.entry import Outcome
from gateway.cuts import CallCut
from gateway.metering.usage import Usage
from gateway.open_call import OpenCall, Phase
from gateway.realtime.messages import Judged, total_of, usage_in
from gateway.realtime.peer import BytesMessage, CloseConnection, Peer, PeerFault, TextMessage
from upstreams.errors import UpstreamBroken, UpstreamInvalid

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 2.0
"""How long an end may take to answer a close, and what it still says then is read."""

LOOK_SECONDS = 1.0
"""How often a client is looked at that cannot be read, because the upstream does not take what it sent."""

NORMAL, GOING_AWAY, UNSUPPORTED, NO_CODE, REFUSED, FAILED = 1000, 1001, 1003, 1005, 1008, 1011
_CODES = {Outcome.REVOKED: REFUSED, Outcome.DRAINED: GOING_AWAY}
_CLEAN = {NORMAL, GOING_AWAY, NO_CODE}
_SERVICE_RESTART = 1012
_KEEPALIVE = "keepalive ping timeout"
"""What uvicorn's WebSocket says to a client that answers no ping."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a session ended. `upstream_broke`: it is the upstream that did, and another one may not."""

    outcome: Outcome
    error: GatewayError | None = None
    upstream_broke: bool = False


class Session:
    """The messages between a client and an upstream, until either end closes. `run` it once."""

    def __init__(self, call: OpenCall, client: Peer, upstream: Peer, judge: Callable[[str], Judged]) -> None:
        self._call = call
        self._client = client
        self._upstream = upstream
        self._judge = judge
        self._usages: list[Usage] = []
        self._endings: list[Ending] = []
        self._over = Event()

    @property
    def usage(self) -> Usage | None:
        """The tokens that the server reported; None when it reported none."""
        return total_of(self._usages)

    def run(self) -> Ending:
        """Passes messages on until the session is over. Raises nothing."""
        self._call.enter(Phase.STREAM)
        pumps = [gevent.spawn(self._guarded, self._upwards), gevent.spawn(self._guarded, self._downwards)]
        try:
            self._wait()
            if not self._upstream.is_stuck(LOOK_SECONDS):  # else the client has left, and nobody answers
                gevent.joinall(pumps, timeout=CLOSE_SECONDS)  # each end answers the close
        except CallCut as cut:  # at most one is ever raised
            code = _CODES.get(cut.outcome, FAILED) if cut.error else None
            self._end(Ending(cut.outcome, cut.error), client_code=code, upstream_code=GOING_AWAY)
            gevent.joinall(pumps, timeout=CLOSE_SECONDS)
        gevent.killall(pumps)
        return self._endings[0]

    def _wait(self) -> None:
        """Until the session ends; also when the client leaves while nobody can read from it."""
        while not self._over.wait(LOOK_SECONDS):
            if self._upstream.is_stuck(LOOK_SECONDS) and self._client.has_hung_up:
                self._end(Ending(Outcome.CLIENT_DISCONNECTED))

    def _end(
        self, ending: Ending, *, client_code: int | None = None, upstream_code: int | None = None, reason: str = ""
    ) -> None:
        """The session is over; the first ending counts. Who is given a code is told it, the upstream at once."""
        self._endings.append(ending)
        self._over.set()
        if upstream_code is not None:
            self._upstream.close(upstream_code, reason)
        if client_code is not None:
            self._client.close(client_code, ending.error.message if ending.error and not reason else reason)

    def _guarded(self, pump: Callable[[], None]) -> None:
        try:
            pump()
        except PeerFault as fault:
            if pump == self._upwards:
                self._refuse(InvalidRequest(fault.sentence), fault.code)
                self._client.discard(CLOSE_SECONDS)
            else:
                error = UpstreamInvalid("The upstream sent what is not valid WebSocket, or too much at once.")
                ending = Ending(Outcome.UPSTREAM_FAILED, error, upstream_broke=True)
                self._end(ending, client_code=FAILED, upstream_code=fault.code)
        except OSError:
            self._break()
        except Exception:
            logger.exception("A realtime session failed.")
            self._end(Ending(Outcome.GATEWAY_FAILED, GatewayError()), client_code=FAILED, upstream_code=GOING_AWAY)

    def _break(self) -> None:
        """One end is no longer there."""
        if self._client.is_broken:
            self._end(Ending(Outcome.CLIENT_DISCONNECTED), upstream_code=GOING_AWAY)
            return
        error = UpstreamBroken("The upstream broke off in the middle of the session.")
        self._end(Ending(Outcome.UPSTREAM_FAILED, error, upstream_broke=True), client_code=FAILED)

    def _refuse(self, error: GatewayError, code: int) -> None:
        self._end(Ending(Outcome.REFUSED, error), client_code=code, upstream_code=GOING_AWAY)

    # --- From the client to the upstream

    def _upwards(self) -> None:
        for event in self._client.events():
            if isinstance(event, CloseConnection):
                ending = Ending(Outcome.COMPLETED)
                self._end(ending, client_code=event.code, upstream_code=event.code, reason=event.reason or "")
                return
            if self._over.is_set():
                continue  # only the answer to our close is waited for
            if isinstance(event, TextMessage):
                self._pass_judged(event.data)
            elif isinstance(event, BytesMessage):  # vLLM reads text only, and nobody could judge the model in this
                self._refuse(InvalidRequest("Only text messages are taken."), UNSUPPORTED)
            else:
                self._upstream.send(event)
        self._break()

    def _pass_judged(self, text: str) -> None:
        judged = self._judge(text)
        if judged.passed is not None:
            self._upstream.send(TextMessage(data=judged.passed))
        if judged.refused is not None:
            self._client.send(TextMessage(data=judged.refused))
        if judged.error is not None:
            self._refuse(judged.error, REFUSED)

    # --- From the upstream to the client

    def _downwards(self) -> None:
        for event in self._upstream.events():
            if isinstance(event, CloseConnection):
                reason = event.reason or ""
                self._end(_ending_of(event), client_code=event.code, upstream_code=event.code, reason=reason)
                return
            self._note(event)
            self._call.writing = True
            self._client.send(event)
            self._call.writing = False
        self._break()

    def _note(self, event: Any) -> None:
        if not isinstance(event, TextMessage):
            return
        if self._call.first_token_at is None and '"transcription.' in event.data:
            self._call.first_token_at = time.time()
        usage = usage_in(event.data)
        if usage is not None:
            self._usages.append(usage)


def _ending_of(close: CloseConnection) -> Ending:
    """How a session ended that the upstream closed."""
    if close.code in _CLEAN:
        return Ending(Outcome.COMPLETED)
    if close.code == FAILED and close.reason == _KEEPALIVE:
        return Ending(Outcome.CLIENT_DISCONNECTED)
    error = UpstreamBroken(f"The upstream ended the session with code {int(close.code)}.")
    # Other codes may be answers to what this one client sent.
    return Ending(Outcome.UPSTREAM_FAILED, error, upstream_broke=close.code == _SERVICE_RESTART)
