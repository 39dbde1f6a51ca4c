"""An answer that its meter sees as it came, and the client as something else."""

from __future__ import annotations

from gateway.metering.meters import make_meter
from gateway.metering.plain_meter import Meter
from gateway.metering.transforming import TransformingMeter

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'


class Upper:
    def feed(self, chunk: bytes) -> bytes:
        return chunk.upper()

    def end(self) -> bytes:
        return b"END"


class Failing(Upper):
    def fail(self, message: str) -> bytes:
        return f"FAILED: {message}".encode()


def a_meter() -> Meter:
    return make_meter("chat", streaming=True, hide_usage=False, status=200, content_type="text/event-stream")


def test_it_works() -> None:
    meter = TransformingMeter(a_meter(), Upper())
    assert meter.feed(EVENT) == EVENT.upper()
    assert meter.started
    assert meter.feed(USAGE) + meter.end() == USAGE.upper() + b"END"
    assert meter.usage(0).completion_tokens == 2
    assert meter.is_whole


def test_a_failure_is_noted() -> None:
    meter = TransformingMeter(a_meter(), Upper())
    meter.feed(b'data: {"error": {"type": "InternalServerError"}}\n\n')
    meter.end()
    assert meter.failure == "InternalServerError"


def test_one_that_can_says_in_its_own_words_that_it_broke_off() -> None:
    meter = TransformingMeter(a_meter(), Failing())
    assert meter.break_off("silence") == b"FAILED: silence"


def test_others_say_nothing() -> None:
    assert TransformingMeter(a_meter(), Upper()).break_off("silence") == b""
    assert a_meter().break_off("silence") == b""
