"""How a body ends, in each of the few ways in which it can."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from gateway.account.entry import Outcome
from gateway.cuts import CallCut, client_gone
from gateway.errors import KeyRevoked
from gateway.metering.plain_meter import Meter, Shape
from gateway.metering.stream_meter import StreamMeter
from gateway.metering.usage import NONE
from gateway.open_call import OpenCall
from gateway.relay import RelayedAnswer
from gateway.relayed_body import RelayedBody, error_event
from gateway.serving.server import ClientConnection
from upstreams.errors import UpstreamBroken, UpstreamTimeout
from upstreams.health import Mark
from upstreams.selection import Candidate, Target


def _call() -> OpenCall:
    call = OpenCall(call_id="c", request_id="r", received_at=0, method="GET", on_end=lambda call: None)
    call.route = "/v1/chat/completions"
    return call


class Response:
    """An upstream's answer that gives some pieces and then raises, or ends."""

    def __init__(self, *pieces: bytes, then: BaseException | None = None) -> None:
        self._pieces = iter(pieces)
        self._then = then
        self.closed = 0

    status = 200

    def header(self, name: str) -> str:
        return "text/event-stream"

    def read1(self) -> bytes:
        piece = next(self._pieces, b"")
        if not piece and self._then is not None:
            raise self._then
        return piece

    def close(self) -> None:
        self.closed += 1


class Breaking(Meter):
    """A meter with a fault."""

    def feed(self, chunk: bytes) -> bytes:
        raise RuntimeError("a fault of ours")


def _body(call: OpenCall, response: Any, meter: Meter | None = None) -> RelayedBody:
    response.marks = []
    target = Target(1, "u1", "http://x")
    answer = RelayedAnswer(Candidate(target), response, lambda: None, response.marks.append)
    call.streaming, call.status = True, 200
    return RelayedBody(call, answer, meter or Meter(NONE), ClientConnection({}), {})


def test_a_clean_end_completes_the_call() -> None:
    call, response = _call(), Response(b"data: 1\n\n")
    body = _body(call, response)
    assert b"".join(body) == b"data: 1\n\n"
    assert (call.outcome, call.bytes_out) == (Outcome.COMPLETED, 9)
    body.close()
    assert response.closed == 1


@pytest.mark.parametrize(
    ("then", "outcome", "kind"),
    [
        (UpstreamBroken(), Outcome.UPSTREAM_FAILED, "upstream_error"),
        (CallCut(Outcome.REVOKED, KeyRevoked()), Outcome.REVOKED, "auth_error"),
        (RuntimeError("secret detail"), Outcome.GATEWAY_FAILED, "internal_server_error"),
    ],
)
def test_another_end_is_told_in_an_event(then: BaseException, outcome: Outcome, kind: str) -> None:
    call = _call()
    body = _body(call, Response(b"data: 1\n\n", then=then))
    told = b"".join(body)
    body.close()
    assert json.loads(told.split(b"data: ")[-1])["error"]["type"] == kind
    assert (call.outcome, call.error_type) == (outcome, kind)
    assert b"secret" not in told


def test_a_fault_of_a_meter_breaks_the_stream_in_order() -> None:
    call = _call()
    body = _body(call, Response(b"data: 1\n\n"), Breaking(NONE))
    assert b"internal_server_error" in b"".join(body)
    body.close()
    assert call.outcome == Outcome.GATEWAY_FAILED


def test_a_client_that_left_is_told_nothing() -> None:
    call = _call()
    body = _body(call, Response(b"data: 1\n\n", then=client_gone()))
    assert b"".join(body) == b"data: 1\n\n"
    assert call.outcome is None
    body.close()
    assert call.outcome == Outcome.CLIENT_DISCONNECTED


def test_a_body_that_is_given_up_in_the_middle_was_left_by_the_client() -> None:
    call = _call()
    body = _body(call, Response(b"data: 1\n\n"))
    next(iter(body))
    body.close()
    assert call.outcome == Outcome.CLIENT_DISCONNECTED


def test_a_client_that_left_after_the_last_event_had_all() -> None:
    call = _call()
    last = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\ndata: [DONE]\n\n'
    body = _body(call, Response(last, then=client_gone()), StreamMeter(Shape()))
    assert b"".join(body) == last
    body.close()
    assert (call.outcome, call.completion_tokens) == (Outcome.COMPLETED, 5)


def test_a_client_that_left_while_the_last_event_was_written_had_not() -> None:
    call = _call()
    last = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\ndata: [DONE]\n\n'
    body = _body(call, Response(last), StreamMeter(Shape()))
    assert last in list(itertools.islice(body, 2))
    body.close()
    assert call.outcome == Outcome.CLIENT_DISCONNECTED


def test_a_plain_body_breaks_off_without_a_word() -> None:
    call = _call()
    body = _body(call, Response(b"{", then=UpstreamBroken()))
    call.streaming = False
    assert b"".join(body) == b"{"
    assert call.outcome == Outcome.UPSTREAM_FAILED


@pytest.mark.parametrize(
    ("route", "beginning"),
    [
        ("/v1/chat/completions", b'data: {"error": {"message"'),
        ("/v1/messages", b'event: error\ndata: {"type": "error", "error": {"type": "upstream_error"'),
        ("/v1/responses", b'event: error\ndata: {"type": "error", "code": "upstream_error"'),
    ],
)
@pytest.mark.parametrize("mid_event", [False, True])
def test_an_error_event_has_its_route_s_shape(route: str, beginning: bytes, mid_event: bool) -> None:
    event = error_event(route, UpstreamBroken(), mid_event=mid_event)
    assert event.startswith(b"\n\n" + beginning if mid_event else beginning)
    assert event.endswith(b"\n\n")


@pytest.mark.parametrize(
    ("pieces", "then", "mark"),
    [
        ([b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'], None, Mark.OK),
        ([b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"abort"}]}\n\n'], None, Mark.ABORTED),
        ([b'data: {"error":{"message":"m","type":"InternalServerError","code":500}}\n\n'], None, Mark.ENGINE_DEAD),
        ([b"data: 1\n\n"], UpstreamBroken(), Mark.RESET),
        ([b"data: 1\n\n"], CallCut(Outcome.UPSTREAM_FAILED, UpstreamTimeout()), Mark.TIMEOUT),
    ],
)
def test_how_it_ended_is_known_of_the_upstream(pieces: list[bytes], then: BaseException | None, mark: Mark) -> None:
    response: Any = Response(*pieces, then=then)
    body = _body(_call(), response, StreamMeter(Shape()))
    list(body)
    body.close()
    assert response.marks == [mark]


@pytest.mark.parametrize("then", [client_gone(), CallCut(Outcome.REVOKED, KeyRevoked())])
def test_what_is_not_the_upstreams_doing_is_not_known_of_it(then: CallCut) -> None:
    response: Any = Response(b"data: 1\n\n", then=then)
    body = _body(_call(), response)
    list(body)
    body.close()
    assert response.marks == []


def test_a_mistake_of_the_caller_s_that_shows_late_is_not_known_of_the_upstream() -> None:
    """vLLM tells it in the stream, whose head left before: others' calls are passed over nothing for it."""
    response: Any = Response(b'data: {"error":{"message":"m","type":"BadRequestError","code":400}}\n\n')
    call = _call()
    body = _body(call, response, StreamMeter(Shape()))
    list(body)
    body.close()
    assert (response.marks, call.outcome, call.error_type) == ([], Outcome.UPSTREAM_FAILED, "BadRequestError")


@pytest.mark.parametrize(("endpoint_class", "marks"), [("inference", [Mark.OK]), ("monitoring", [])])
def test_who_only_looks_at_a_server_does_not_find_its_engine_well(endpoint_class: str, marks: list[Mark]) -> None:
    """Or else whoever asks for metrics each second would end every cooldown."""
    response, call = Response(b"{}"), _call()
    call.endpoint_class = endpoint_class
    body = _body(call, response)
    list(body)
    body.close()
    assert response.marks == marks


def test_what_was_read_ahead_comes_first_and_once() -> None:
    call, response = _call(), Response(b"b")
    body = _body(call, response)
    body._answer.ahead = b"a"
    assert b"".join(body) == b"ab"
