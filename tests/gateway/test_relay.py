"""A call is opened on the first candidate that can take it; failover ends with the first byte of the answer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from gateway.errors import UpstreamSaid
from gateway.open_call import OpenCall, Phase
from gateway.relay import Relay, RelayedAnswer
from tests.support import answers
from tests.support.patience import PATIENCE
from tests.support.ports import unused_port
from tests.support.upstream import Upstream
from upstreams.client import Body, UpstreamClient
from upstreams.errors import NoUpstream, UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamTimeout
from upstreams.health import Mark
from upstreams.selection import Candidate, Target
from upstreams.transport import Outgoing

pytestmark = pytest.mark.sockets

SSE = "text/event-stream"
ROLE = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
TOKEN = {"choices": [{"index": 0, "delta": {"content": "a"}}]}
DEAD = {"error": {"message": "EngineCore encountered an issue.", "type": "InternalServerError", "code": 500}}
WRONG = {"error": {"message": "Too long.", "type": "BadRequestError", "param": "input_tokens", "code": 400}}


class Pool:
    """How many calls are open on each upstream, and what they met there."""

    def __init__(self) -> None:
        self.open: Counter[int | None] = Counter()
        self.seen: list[int | None] = []
        self.marks: list[tuple[int | None, Mark]] = []

    def enter(self, upstream_id: int | None, *, is_trial: bool) -> None:
        self.open[upstream_id] += 1
        self.seen.append(upstream_id)

    def leave(self, upstream_id: int | None) -> None:
        self.open[upstream_id] -= 1

    def mark(self, upstream_id: int | None, mark: Mark) -> None:
        self.marks.append((upstream_id, mark))


class EverywhereRoom:
    """No upstream has a ceiling."""

    def choose(self, call: OpenCall, candidates: Sequence[Candidate]) -> Candidate:
        return candidates[0]

    def give_back(self, call: OpenCall, upstream: Target) -> None:
        """Nothing was taken."""


@pytest.fixture
def pool() -> Pool:
    return Pool()


@pytest.fixture
def failing() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        upstream.on("*", answers.json(200, {}))
        yield upstream


def _call() -> OpenCall:
    return OpenCall(call_id="c", request_id="r", received_at=0, method="POST", on_end=lambda call: None)


def _candidate(number: int, url: str) -> Candidate:
    return Candidate(Target(number, f"u{number}", url))


def _refusing(number: int) -> Candidate:
    return _candidate(number, f"http://127.0.0.1:{unused_port()}")


def _prepare(candidate: Candidate) -> tuple[Outgoing, Body]:
    return Outgoing({"Content-Length": "2"}, "/x"), b"{}"


def _open(
    pool: Pool, *candidates: Candidate, call: OpenCall | None = None, read_timeout: float = PATIENCE, **options: Any
) -> RelayedAnswer:
    client = UpstreamClient(connect_timeout=PATIENCE, read_timeout=read_timeout)
    return Relay(client, pool, EverywhereRoom()).open(call or _call(), candidates, _prepare, **options)


def _read(answer: RelayedAnswer) -> bytes:
    body = b"".join(iter(answer.read1, b""))
    answer.close()
    return body


def _events(*values: Any) -> bytes:
    return b"".join(answers.event(value) for value in values)


def test_the_first_candidate_gets_the_call(pool: Pool, upstream: Upstream) -> None:
    call = _call()
    answer = _open(pool, _candidate(1, upstream.url), _refusing(2), call=call)
    assert (call.upstream_name, call.status, call.attempts, pool.open[1]) == ("u1", 200, 1, 1)
    answer.close()
    answer.close()
    assert pool.open[1] == 0


def test_without_a_candidate_there_is_no_upstream(pool: Pool) -> None:
    with pytest.raises(NoUpstream):
        _open(pool)


# --- Before the head ----------------------------------------------------------------------------------------


def test_one_that_refuses_makes_way_for_the_next(pool: Pool, upstream: Upstream) -> None:
    call = _call()
    _open(pool, _refusing(1), _candidate(2, upstream.url), call=call).close()
    assert (call.upstream_id, call.attempts, pool.seen, pool.open[1]) == (2, 2, [1, 2], 0)
    assert pool.marks == [(1, Mark.REFUSED)]


def test_waiting_for_the_next_one_is_not_waiting_for_an_answer(pool: Pool, upstream: Upstream) -> None:
    phases = []

    class Room(EverywhereRoom):
        def choose(self, call: OpenCall, candidates: Sequence[Candidate]) -> Candidate:
            phases.append(call.phase)
            return super().choose(call, candidates)

    relay = Relay(UpstreamClient(connect_timeout=PATIENCE), pool, Room())
    relay.open(_call(), [_refusing(1), _candidate(2, upstream.url)], _prepare).close()
    assert phases == [Phase.ADMISSION] * 2


def test_one_that_resets_makes_way_for_the_next(pool: Pool, failing: Upstream, upstream: Upstream) -> None:
    failing.on("*", answers.reset())
    _open(pool, _candidate(1, failing.url), _candidate(2, upstream.url)).close()
    assert (pool.seen, pool.marks) == ([1, 2], [(1, Mark.RESET)])


@pytest.mark.parametrize("status", [502, 503, 504])
def test_one_that_is_away_makes_way_for_the_next(
    pool: Pool, failing: Upstream, upstream: Upstream, status: int
) -> None:
    failing.on("*", answers.json(status, {"error": "away"}))
    answer = _open(pool, _candidate(1, failing.url), _candidate(2, upstream.url))
    assert (_read(answer), answer.response.status) == (b"{}", 200)
    assert (pool.marks, pool.open[1]) == ([(1, Mark.SERVER_ERROR)], 0)


@pytest.mark.parametrize("status", [400, 404, 408, 409, 422, 429, 500, 501])
def test_every_other_answer_is_one(pool: Pool, failing: Upstream, upstream: Upstream, status: int) -> None:
    failing.on("*", answers.json(status, {"error": "no"}))
    answer = _open(pool, _candidate(1, failing.url), _candidate(2, upstream.url))
    assert (answer.response.status, upstream.requests) == (status, [])
    answer.close()
    assert pool.marks == ([(1, Mark.SERVER_ERROR)] if status >= 500 else [])


def test_the_last_one_s_own_answer_is_passed_on(pool: Pool, failing: Upstream) -> None:
    failing.on("*", answers.json(503, {"error": "overloaded"}))
    answer = _open(pool, _refusing(1), _candidate(2, failing.url))
    assert (answer.response.status, json.loads(_read(answer))) == (503, {"error": "overloaded"})


def test_one_that_is_silent_keeps_the_call(pool: Pool, failing: Upstream, upstream: Upstream) -> None:
    """Its GPU may be at work on it."""
    failing.on("*", answers.silence())
    with pytest.raises(UpstreamTimeout):
        _open(pool, _candidate(1, failing.url), _candidate(2, upstream.url), read_timeout=0.3)
    assert (pool.seen, pool.marks, upstream.requests) == ([1], [(1, Mark.TIMEOUT)], [])


def test_when_all_refuse_the_last_refusal_is_told(pool: Pool) -> None:
    call = _call()
    with pytest.raises(UpstreamRefused):
        _open(pool, _refusing(1), _refusing(2), call=call)
    assert (call.attempts, pool.seen, sum(pool.open.values())) == (2, [1, 2], 0)


def test_attempts_are_bounded(pool: Pool, upstream: Upstream) -> None:
    with pytest.raises(UpstreamRefused):
        _open(pool, _refusing(1), _refusing(2), _candidate(3, upstream.url), most_attempts=2)
    assert pool.seen == [1, 2]


# --- Up to the first event ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behaviour",
    [
        answers.body(_events(DEAD) + b"data: [DONE]\n\n", headers=[("content-type", SSE)]),
        answers.body(_events(ROLE, DEAD), headers=[("content-type", SSE)]),
        answers.die_mid_stream([]),
        answers.die_mid_stream([_events(ROLE)]),
    ],
)
def test_a_stream_that_begins_with_a_failure_makes_way(
    pool: Pool, failing: Upstream, upstream: Upstream, behaviour: Callable[..., None]
) -> None:
    failing.on("*", behaviour)
    stream = _events(ROLE, TOKEN) + b"data: [DONE]\n\n"
    upstream.on("*", answers.body(stream, headers=[("content-type", SSE)]))
    answer = _open(pool, _candidate(1, failing.url), _candidate(2, upstream.url), looks_ahead=True)
    assert _read(answer) == stream
    assert (pool.open[1], [number for number, _ in pool.marks]) == (0, [1])


def test_a_caller_s_own_mistake_makes_no_way(pool: Pool, failing: Upstream, upstream: Upstream) -> None:
    failing.on("*", answers.body(_events(WRONG), headers=[("content-type", SSE)]))
    with pytest.raises(UpstreamSaid) as said:
        _open(pool, _candidate(1, failing.url), _candidate(2, upstream.url), looks_ahead=True)
    assert (said.value.status_code, said.value.body()["error"]["param"]) == (400, "input_tokens")
    assert (upstream.requests, pool.marks, pool.open[1]) == ([], [], 0)


def test_the_last_one_s_failure_is_told(pool: Pool, failing: Upstream) -> None:
    failing.on("*", answers.body(_events(DEAD), headers=[("content-type", SSE)]))
    with pytest.raises(UpstreamSaid) as said:
        _open(pool, _candidate(1, failing.url), looks_ahead=True)
    assert (said.value.status_code, said.value.body()) == (500, {"error": {**DEAD["error"], "param": None}})


def test_the_last_one_s_breaking_off_is_told(pool: Pool, failing: Upstream) -> None:
    failing.on("*", answers.die_mid_stream([_events(ROLE)]))
    with pytest.raises(UpstreamBroken):
        _open(pool, _candidate(1, failing.url), looks_ahead=True)


def test_after_the_first_token_there_is_no_way_back(pool: Pool, failing: Upstream, upstream: Upstream) -> None:
    failing.on("*", answers.die_mid_stream([_events(TOKEN)]))
    answer = _open(pool, _candidate(1, failing.url), _candidate(2, upstream.url), looks_ahead=True)
    assert answer.read1() == _events(TOKEN)
    with pytest.raises(UpstreamBroken):
        answer.read1()
    answer.close()
    assert upstream.requests == []


def test_a_comment_is_enough(pool: Pool, failing: Upstream, upstream: Upstream) -> None:
    failing.on("*", answers.die_mid_stream([b": keep-alive\n\n"]))
    answer = _open(pool, _candidate(1, failing.url), _candidate(2, upstream.url), looks_ahead=True)
    assert answer.read1() == b": keep-alive\n\n"
    answer.close()


def test_nothing_waits_where_nothing_could_follow(pool: Pool, failing: Upstream) -> None:
    failing.on("*", answers.head_then_silence())
    answer = _open(pool, _candidate(1, failing.url))
    assert (answer.response.status, answer.ahead) == (200, b"")
    answer.close()


def test_an_error_while_looking_ahead_frees_the_upstream(pool: Pool, failing: Upstream) -> None:
    failing.on("*", answers.head_then_silence())
    with pytest.raises(UpstreamError):
        _open(pool, _candidate(1, failing.url), looks_ahead=True, read_timeout=0.3)
    assert pool.open[1] == 0
