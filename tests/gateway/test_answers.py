import pytest

from gateway.metering.answers import (
    ABORTED,
    Failure,
    carries_token,
    count_token_ids,
    failure_of,
    finish_reasons,
    is_extra_usage,
    usage_of,
)
from gateway.metering.usage import Usage


def chat(**delta):
    return {"choices": [{"index": 0, "delta": delta}]}


@pytest.mark.parametrize(
    "event",
    [
        chat(content="a"),
        chat(reasoning="a"),
        chat(content=None, tool_calls=[{"index": 0}]),
        {"choices": [{"text": "a"}]},
        {"choices": [{"token_ids": [5]}]},
        {"type": "response.reasoning_text.delta", "delta": "a"},
        {"type": "content_block_delta", "delta": {}},
        {"type": "content_block_start", "content_block": {"type": "tool_use"}},
        {"type": "tool-plan-delta"},
    ],
)
def test_a_piece_of_the_answer_is_a_token(event):
    assert carries_token(event)


@pytest.mark.parametrize(
    "event",
    [
        chat(role="assistant", content=""),
        chat(),
        {"choices": []},
        {"choices": ["a"]},
        {"choices": [{"text": "", "delta": None}]},
        {"type": "response.created"},
        {"type": "content_block_start", "content_block": {"type": "text"}},
        {"type": "message_delta"},
        {"type": "message-start"},
        {},
    ],
)
def test_what_is_around_the_answer_is_no_token(event):
    assert not carries_token(event)


@pytest.mark.parametrize(
    "answer",
    [
        {"usage": {"prompt_tokens": 3, "completion_tokens": 4}},
        {"response": {"usage": {"input_tokens": 3, "output_tokens": 4}}},
        {"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 4}}},
        {"type": "message-end", "delta": {"usage": {"tokens": {"input_tokens": 3, "output_tokens": 4}}}},
    ],
)
def test_usage_stands_where_the_dialect_puts_it(answer):
    assert usage_of(answer) == Usage(3, 4, source="reported")


def test_an_embedding_of_cohere_tells_its_usage_in_meta():
    assert usage_of({"meta": {"billed_units": {"input_tokens": 3}}}) == Usage(3, 0, source="reported")


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        ({"error": {"type": "InternalServerError", "message": "Engine"}}, Failure("InternalServerError")),
        ({"error": "Scaling"}, Failure()),
        ({"error": {"code": 500}}, Failure()),
        ({"error": {"type": "What is 2+2?"}}, Failure()),
        ({"type": "error", "error": {"type": "internal_error", "message": "a"}}, Failure("internal_error")),
        ({"type": "error", "message": "a"}, Failure()),
        ({"type": "response.failed", "response": {"error": {"type": "server_error"}}}, Failure("server_error")),
        ({"type": "response.failed", "response": {"status": "failed"}}, Failure("failed")),
        ({"object": "response", "status": "failed"}, Failure("failed")),
        ({"choices": [{"finish_reason": "stop"}, {"finish_reason": "abort"}]}, ABORTED),
        ({"type": "message", "stop_reason": None}, ABORTED),
        ({"type": "message_delta", "delta": {"stop_reason": None}}, ABORTED),
        ({"type": "message-end", "delta": {"error": "a"}}, Failure()),
        ({"type": "message-end", "delta": {"finish_reason": "ERROR"}}, Failure()),
        ({"finish_reason": "ERROR", "message": {}}, Failure()),
    ],
)
def test_an_answer_says_that_the_call_failed(answer, failure):
    assert failure_of(answer) == failure


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"error": None, "status": "incomplete"},
        {"choices": [{"finish_reason": "length"}]},
        {"choices": [{"finish_reason": None}]},
        {"type": "message", "stop_reason": "end_turn"},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}},
    ],
)
def test_other_answers_did_not_fail(answer):
    assert failure_of(answer) is None


def test_the_upstreams_sentence_is_not_kept():
    failure = failure_of({"error": {"type": "a", "message": "the prompt"}})
    assert failure is not None
    assert "prompt" not in failure.text


def test_reasons_are_those_of_ended_choices():
    choices = [{"finish_reason": "stop"}, {"finish_reason": None}, 5]
    assert finish_reasons({"choices": choices}) == ["stop"]


def test_the_extra_event_has_no_choice():
    assert is_extra_usage({"choices": [], "usage": {}})
    assert not is_extra_usage({"choices": [{}], "usage": {}})
    assert not is_extra_usage({"choices": [], "usage": None})
    assert not is_extra_usage({"usage": {}})


def test_token_ids_are_counted():
    assert count_token_ids({"choices": [{"token_ids": [1, 2]}, {"token_ids": None}, {"token_ids": [3]}]}) == 3
    assert count_token_ids({"choices": 5}) == 0
