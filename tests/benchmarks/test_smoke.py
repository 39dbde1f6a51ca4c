import json
import sys
import time

import pytest

from benchmarks.gateway import Gateway
from benchmarks.load import Generator, Plan
from benchmarks.measuring import UPSTREAM, Target, measure, percentile
from benchmarks.processes import Child
from tests.support import answers, wire
from tests.support.patience import PATIENCE, TRIES
from tests.support.ports import unused_port
from tests.support.upstream import Upstream

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def target():
    upstream = Child([sys.executable, "-m", "benchmarks.upstream"])
    port = json.loads(upstream.line())["port"]
    yield Target("direct", port, CHAT, "", lambda: {upstream.pid: UPSTREAM})
    upstream.end()


def one_stream(behaviour, tokens, window=(0, 0.05)):
    """What a generator of one stream counts against a test's own upstream; the window in seconds from now."""
    with Upstream() as upstream:
        upstream.on(f"POST {CHAT}", behaviour)
        now = time.monotonic()
        begin, end = (now + seconds for seconds in window)
        return Generator(Plan("streams", upstream.port, CHAT, 1, now, begin, end, rate=tokens, patience=PATIENCE)).run()


def counted(target, **plan):
    """The first measurement in whose window something fell: on a busy machine one may be over before."""
    for _ in range(TRIES):
        found = measure(target, **plan)
        assert found.errors == {}
        if found.count:
            return found
    raise AssertionError("nothing was counted")


def in_pieces(exchange, size, missing=0):
    """Answers with the tokens asked for, less the missing ones, sent in pieces that respect no boundary."""
    tokens = exchange.request.json()["max_tokens"] - missing
    events = [b'data: {"delta":{"content":" @%019d"}}\n\n' % time.monotonic_ns()] * tokens
    data = b"".join(map(wire.chunk, [*events, b"data: [DONE]\n\n", b""]))
    exchange.send(exchange.head(200, [("transfer-encoding", "chunked")]))
    for start in range(0, len(data), size):
        exchange.send(data[start : start + size])
        time.sleep(0.0005)


def test_streams_are_counted(target):
    found = counted(target, kind="streams", slots=20, rate=50, ramp=0.05, seconds=0.2)
    assert found.completed == 20


@pytest.mark.parametrize(("window", "share"), [((0, 60), 1), ((-20, -10), 0), ((100, 110), 0)])
def test_tokens_count_in_the_window_only(window, share):
    found = one_stream(lambda exchange: in_pieces(exchange, 5000), tokens=0.3, window=window)
    assert (found.completed, found.in_window) == (1, share * found.tokens)
    assert found.tokens == found.tokens_asked > 0


def test_the_upstream_sends_no_faster_than_it_is_asked(target):
    began = time.monotonic()
    found = Generator(Plan("streams", target.port, CHAT, 1, began, began, began + 0.1, rate=50)).run()
    assert (found.completed, found.tokens) == (1, found.tokens_asked)
    assert time.monotonic() - began > (found.tokens - 1) / 50


def test_short_calls_are_counted(target):
    found = counted(target, kind="calls", slots=4, rate=0, ramp=0.05, seconds=0.1, generators=2)
    assert found.completed >= found.count


def test_the_admin_looks_at_every_password():
    with Gateway(unused_port()) as gateway:
        for _ in range(7):  # one name has to wait after five
            gateway.log_in()


@pytest.mark.parametrize("size", [1, 7, 64])
def test_tokens_that_reads_cut_anywhere_are_counted_once(size):
    found = one_stream(lambda exchange: in_pieces(exchange, size), tokens=17)
    assert (found.completed, found.tokens, dict(found.errors)) == (1, found.tokens_asked, {})


def test_a_missing_token_is_an_error():
    found = one_stream(lambda exchange: in_pieces(exchange, 100, missing=1), tokens=17)
    assert dict(found.errors) == {"wrong number of tokens": 1}


def test_a_stream_that_is_cut_is_an_error():
    found = one_stream(answers.die_mid_stream([b"data: 1\n\n"]), tokens=17)
    assert dict(found.errors) == {"cut": 1}


def test_a_refusal_is_an_error_with_its_status():
    found = one_stream(answers.json(429, {}), tokens=17)
    assert dict(found.errors) == {"status 429": 1}


def test_percentiles_are_of_the_nearest_rank():
    assert [percentile([1.0, 2.0, 3.0, 4.0], share) for share in (0.5, 0.99)] == [2.0, 4.0]
