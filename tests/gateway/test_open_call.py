"""A call ends once, however it ends; and where it waits it can be cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import pytest

from gateway.account.entry import Outcome
from gateway.cuts import CallCut, client_gone
from gateway.errors import KeyRevoked, NotServing
from gateway.open_call import OpenCall, OpenCalls
from tests.support.patience import PATIENCE


def _call(on_end: Callable[[OpenCall], None] = lambda call: None) -> OpenCall:
    return OpenCall(call_id="c1", request_id="r1", received_at=100.0, method="GET", on_end=on_end)


def _revoked() -> CallCut:
    return CallCut(Outcome.REVOKED, KeyRevoked())


class Watch:
    stopped = 0

    def stop(self) -> None:
        self.stopped += 1


def _serve(act: Callable[[OpenCall], None]) -> tuple[Any, list[OpenCall]]:
    """A greenlet that serves a call, and the list in which the call is found once it has begun."""
    calls: list[OpenCall] = []

    def serve() -> object:
        calls.append(_call())
        try:
            act(calls[0])
        except CallCut as cut:
            return cut
        return "not cut"

    greenlet = gevent.spawn(serve)
    gevent.sleep(0)
    return greenlet, calls


def test_it_ends_once() -> None:
    ended: list[OpenCall] = []
    call = _call(ended.append)
    call.finish(Outcome.COMPLETED)
    call.fail(Outcome.UPSTREAM_FAILED, NotServing())
    assert (len(ended), call.outcome, call.error_type) == (1, Outcome.COMPLETED, None)


def test_its_end_stops_the_watch() -> None:
    call, watch = _call(), Watch()
    call.watch(watch)
    call.finish(Outcome.COMPLETED)
    call.finish(Outcome.COMPLETED)
    assert watch.stopped == 1


def test_a_failure_keeps_what_the_client_was_told() -> None:
    call = _call()
    call.fail(Outcome.REFUSED, NotServing())
    assert call.entry()["error_type"] == "not_serving"


def test_a_cut_is_raised_where_the_call_waits() -> None:
    greenlet, calls = _serve(lambda call: gevent.sleep(2 * PATIENCE))
    calls[0].cut(client_gone())
    calls[0].cut(_revoked())  # the first one counts
    assert greenlet.get(timeout=PATIENCE).outcome == Outcome.CLIENT_DISCONNECTED


def test_a_cut_waits_while_the_call_is_shielded() -> None:
    def act(call: OpenCall) -> None:
        with call:
            gevent.sleep(0.05)
            passed.append(1)

    passed: list[int] = []
    greenlet, calls = _serve(act)
    calls[0].cut(_revoked())
    assert greenlet.get(timeout=PATIENCE).outcome == Outcome.REVOKED
    assert passed == [1]


def test_an_error_in_the_shield_comes_before_the_cut() -> None:
    def act() -> None:
        with call:
            call.cut(_revoked())
            raise ValueError("first")

    call = _call()
    with pytest.raises(ValueError, match="first"):
        act()
    call.finish(Outcome.GATEWAY_FAILED)


def test_a_cut_that_comes_too_late_is_not_raised() -> None:
    """The same greenlet may serve another call by then."""
    greenlet, calls = _serve(lambda call: gevent.sleep(0.05))
    calls[0].cut(_revoked())
    calls[0].finish(Outcome.COMPLETED)
    calls[0].cut(_revoked())
    assert greenlet.get(timeout=PATIENCE) == "not cut"


def test_a_cut_that_is_handled_makes_way_for_another() -> None:
    call = _call()
    call.cut(_revoked())
    call.cut_is_handled()
    assert call.pending_cut is None
    call.finish(Outcome.REVOKED)


def test_times_of_a_stream_are_told_in_milliseconds() -> None:
    call = _call()
    call.streaming, call.first_token_at, call.ended_at, call.completion_tokens = True, 100.25, 101.25, 11
    assert (call.ttft_ms, call.inter_token_ms) == (250.0, 100.0)


@pytest.mark.parametrize("tokens", [None, 0, 1])
def test_one_token_has_no_time_to_the_next(tokens: int | None) -> None:
    call = _call()
    call.streaming, call.first_token_at, call.ended_at, call.completion_tokens = True, 100.25, 101.25, tokens
    assert call.inter_token_ms is None


def test_a_plain_answer_has_no_first_token() -> None:
    call = _call()
    call.first_token_at = 100.25
    assert call.ttft_ms is None


def test_open_calls_are_found_by_key() -> None:
    calls, call, other = OpenCalls(), _call(), _call()
    other.call_id, call.key_id = "c2", 7
    calls.add(call)
    calls.add(other)
    assert (len(calls), calls.of_keys(frozenset({7})), set(calls)) == (2, [call], {call, other})
    calls.discard(call)
    calls.discard(call)
    assert list(calls) == [other]
