"""What the beginning of a stream says, however it is split."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.metering.first_event import MOST_BYTES, FirstEvent, Verdict, error_in


def event(value: Any) -> bytes:
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def choice(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta}]}


ROLE = choice(role="assistant", content="")
GOING = [
    event(choice(content="a")),
    event(choice(reasoning="a")),
    event(choice(tool_calls=[{"index": 0}])),
    event({"choices": [{"index": 0, "text": "a"}]}),
    event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
    event({"choices": [], "usage": {"prompt_tokens": 1}}),
    event({"type": "content_block_delta", "delta": {"text": "a"}}),
    event({"type": "response.output_item.added"}),
    event({"type": ["ping"]}),
    event(b"[DONE]"),
    event(b"no json"),
    b": keep-alive\n\n",
]
ONLY_BEGINNING = [
    event(ROLE),
    event({"type": "message_start", "message": {}}),
    event({"type": "ping"}),
    event({"type": "response.created", "response": {}}),
    event({"type": "response.in_progress", "response": {}}),
]
FAILING = [
    (event({"error": {"message": "m", "type": "InternalServerError", "code": 500}}), 500),
    (event({"error": {"message": "m", "code": "429"}}), 429),
    (event({"error": {"message": "m", "code": 200}}), 502),
    (event({"error": {"message": "m", "code": "²"}}), 502),
    (event({"error": {"message": "m", "code": "model_not_found"}}), 502),
    (event({"error": "text"}), 502),
    (b"event: error\n" + event({"type": "error", "error": {"type": "internal_error", "message": "m"}}), 502),
    (event({"type": "error", "message": "m", "code": 503}), 503),
]


@pytest.mark.parametrize("stream", GOING)
def test_a_sign_of_work_lets_the_stream_go(stream: bytes) -> None:
    first = FirstEvent()
    assert (first.feed(stream), first.held) == (Verdict.GO, stream)


@pytest.mark.parametrize("stream", ONLY_BEGINNING)
def test_what_only_begins_waits_for_the_next(stream: bytes) -> None:
    first = FirstEvent()
    assert first.feed(stream) == Verdict.WAIT
    assert first.feed(stream) == Verdict.WAIT
    assert first.feed(GOING[0]) == Verdict.GO
    assert first.held == stream + stream + GOING[0]


@pytest.mark.parametrize(("stream", "status"), FAILING)
def test_an_error_is_one_also_after_the_role(stream: bytes, status: int) -> None:
    for before in (b"", event(ROLE)):
        first = FirstEvent()
        assert first.feed(before + stream) == Verdict.FAILED
        assert first.error is not None
        assert first.error.status == status
        assert first.error.is_the_callers is (status < 500)
        assert first.error.error["message"] in {"m", "text"}


@given(st.lists(st.integers(0, 400), max_size=6), st.sampled_from([*(s for s, _ in FAILING), *GOING]))
def test_it_does_not_matter_how_it_is_split(cuts: list[int], last: bytes) -> None:
    stream = event(ROLE) + last
    whole, split = FirstEvent(), FirstEvent()
    expected = whole.feed(stream)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    verdict = Verdict.WAIT
    for start, end in pairwise(edges):
        if verdict is Verdict.WAIT and start < end:
            verdict = split.feed(stream[start:end])
    assert verdict == expected


def test_what_is_held_back_is_bounded() -> None:
    first = FirstEvent()
    assert first.feed(b"data: " + b"x" * (MOST_BYTES - 10)) == Verdict.WAIT
    assert first.feed(b"x" * 10) == Verdict.GO


def test_an_answer_without_an_error_has_none() -> None:
    assert error_in(ROLE) is None
    assert error_in({"error": None, "choices": []}) is None
