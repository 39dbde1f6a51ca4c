"""A call is opened on the first candidate that can be reached, and its body ends in one of a few ways."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.account.entry import Outcome
from gateway.cuts import CallCut, client_gone
from gateway.errors import KeyRevoked
from gateway.metering.plain_meter import Meter, Shape
from gateway.metering.stream_meter import StreamMeter
from gateway.metering.usage import NONE
from gateway.open_call import OpenCall
from gateway.relay import Relay, RelayedAnswer, RelayedBody, error_event
from gateway.serving.server import ClientConnection
from tests.support import answers
from tests.support.upstream import Upstream, unused_port
from upstreams.client import Body, UpstreamClient
from upstreams.errors import NoUpstream, UpstreamBroken, UpstreamRefused, UpstreamReset
from upstreams.selection import Candidate, Target
from upstreams.transport import Outgoing


class Counts:
    """How many calls are open on each upstream."""

    def __init__(self) -> None:
        self.open: Counter[int | None] = Counter()
        self.seen: list[int | None] = []

    def enter(self, upstream_id: int | None) -> None:
        self.open[upstream_id] += 1
        self.seen.append(upstream_id)

    def leave(self, upstream_id: int | None) -> None:
        self.open[upstream_id] -= 1


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        upstream.on("*", answers.json(200, {}))
        yield upstream


@pytest.fixture
def counts() -> Counts:
    return Counts()


def _call() -> OpenCall:
    call = OpenCall(call_id="c", request_id="r", received_at=0, method="GET", on_end=lambda call: None)
    call.route = "/v1/chat/completions"
    return call


def _candidate(number: int, url: str, served_name: str | None = None) -> Candidate:
    return Candidate(Target(number, f"u{number}", url), served_name)


def _prepare(candidate: Candidate) -> tuple[Outgoing, Body]:
    return Outgoing({}, "/x"), None


def _open(call: OpenCall, counts: Counts, *candidates: Candidate) -> RelayedAnswer:
    client = UpstreamClient(connect_timeout=1, read_timeout=1)
    return Relay(client, counts).open(call, candidates, _prepare)


def test_the_first_candidate_gets_the_call(counts: Counts, upstream: Upstream) -> None:
    call = _call()
    call.model = "alias"
    answer = _open(call, counts, _candidate(1, upstream.url, "served"))
    assert (call.upstream_name, call.served_model, call.status, counts.open[1]) == ("u1", "served", 200, 1)
    answer.close()
    answer.close()
    assert counts.open[1] == 0


def test_a_candidate_that_refuses_makes_way_for_the_next(counts: Counts, upstream: Upstream) -> None:
    call = _call()
    refusing = _candidate(1, f"http://127.0.0.1:{unused_port()}")
    _open(call, counts, refusing, _candidate(2, upstream.url)).close()
    assert (call.upstream_id, counts.seen, counts.open[1]) == (2, [1, 2], 0)


def test_a_candidate_that_has_seen_the_call_does_not(counts: Counts, upstream: Upstream) -> None:
    upstream.on("*", answers.reset())
    with pytest.raises(UpstreamReset):
        _open(_call(), counts, _candidate(1, upstream.url), _candidate(2, upstream.url))
    assert counts.seen == [1]


def test_when_all_refuse_the_last_refusal_is_told(counts: Counts) -> None:
    with pytest.raises(UpstreamRefused):
        _open(_call(), counts, _candidate(1, f"http://127.0.0.1:{unused_port()}"))


def test_without_a_candidate_there_is_no_upstream(counts: Counts) -> None:
    with pytest.raises(NoUpstream):
        _open(_call(), counts)


# --- How a body ends ----------------------------------------------------------------------------------------


class Response:
    """An upstream's answer that gives some pieces and then raises, or ends."""

    def __init__(self, *pieces: bytes, then: BaseException | None = None) -> None:
        self._pieces = iter(pieces)
        self._then = then
        self.closed = 0

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
    answer = RelayedAnswer(_candidate(1, "http://x"), response, lambda: None)
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
