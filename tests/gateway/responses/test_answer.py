"""What a plain chat answer is as a response."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.responses.answer import response_of
from gateway.responses.envelope import Envelope, response_of_item
from tests.gateway.responses.valid import check_response

RECORDINGS = Path(__file__).parents[2] / "recordings"
ENVELOPE = Envelope({"input": "Hello"}, "asked", "0" * 32, lambda: 7.0)
CALLS = [
    {"id": f"c{number}", "type": "function", "function": {"name": f"f{number}", "arguments": "{}"}} for number in (1, 2)
]


def response(finish: str | None = "stop", envelope: Envelope = ENVELOPE, **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    told = response_of({"created": 5, "model": "tiny", "choices": [choice]}, envelope)
    assert told is not None
    return check_response(told)


def recorded(name: str) -> dict[str, Any]:
    told = response_of(json.loads((RECORDINGS / name).read_text()), ENVELOPE)
    assert told is not None
    return check_response(told)


def test_it_works() -> None:
    told = response(content="Hi")
    assert (told["id"], told["created_at"], told["model"], told["status"]) == (
        "resp_" + "0" * 32,
        5,
        "tiny",
        "completed",
    )
    assert told["output"][0]["content"] == [{"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}]


def test_reasoning_comes_first() -> None:
    told = recorded("chat_reasoning.json")
    assert [item["type"] for item in told["output"]] == ["reasoning", "message"]
    assert told["output"][0]["content"][0]["text"].startswith("\nThe user asks")
    assert told["usage"] == {
        "input_tokens": 17,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 25,
        "output_tokens_details": {"reasoning_tokens": 13},
        "total_tokens": 42,
    }


def test_cached_tokens_are_told() -> None:
    told = recorded("chat_cached.json")
    assert told["usage"]["input_tokens_details"]["cached_tokens"] > 0


def test_text_stands_beside_all_calls() -> None:
    told = response("tool_calls", content="I look.", tool_calls=CALLS)
    assert [item["type"] for item in told["output"]] == ["message", "function_call", "function_call"]
    assert [item["call_id"] for item in told["output"][1:]] == ["c1", "c2"]
    assert told["status"] == "completed"


def test_calls_alone_come_without_a_message() -> None:
    assert [item["type"] for item in response("tool_calls", content=None, tool_calls=CALLS)["output"]] == [
        "function_call",
        "function_call",
    ]


def test_a_call_without_an_id_gets_one() -> None:
    told = response("tool_calls", tool_calls=[{"function": {"name": "f", "arguments": "{}"}}, {}])
    assert all(item["call_id"] for item in told["output"])


def test_an_empty_answer_is_an_empty_text() -> None:
    assert response(content=None)["output"][0]["content"][0]["text"] == ""


def test_a_refusal_is_one() -> None:
    assert response(refusal="No.")["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_may_be_incomplete(finish: str, reason: str) -> None:
    told = response(finish, content="Hi")
    assert (told["status"], told["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert told["output"][0]["status"] == "incomplete"


def test_an_answer_that_the_upstream_broke_off_has_failed() -> None:
    told = recorded("chat_aborted.json")
    assert (told["status"], told["error"]["code"]) == ("failed", "server_error")


def test_log_probabilities_are_told_whole() -> None:
    token = {"token": "H", "logprob": -0.5, "bytes": [72], "top_logprobs": [{"token": "é", "logprob": -1.0}]}
    choice = {"message": {"content": "H"}, "finish_reason": "stop", "logprobs": {"content": [token, None]}}
    told = check_response(response_of({"choices": [choice]}, ENVELOPE) or {})
    assert told["output"][0]["content"][0]["logprobs"] == [
        {**token, "top_logprobs": [{"token": "é", "logprob": -1.0, "bytes": [195, 169]}]}
    ]


def test_the_request_is_echoed() -> None:
    tool = {"type": "function", "name": "f"}
    request = {
        "input": "x", "instructions": "Be brief.", "metadata": {"a": "b"}, "temperature": 0.5, "top_p": 0.9,
        "max_output_tokens": 5, "previous_response_id": "resp_1", "user": "me", "reasoning": {"effort": "low"},
        "text": {"format": {"type": "json_object"}}, "tools": [tool], "tool_choice": "required",
        "parallel_tool_calls": False, "top_logprobs": 2, "store": False,
    }  # fmt: skip
    told = response(content="Hi", envelope=Envelope(request))
    echoed = {name: told[name] for name in request if name not in ("input", "tools")}
    assert echoed == {name: value for name, value in request.items() if name not in ("input", "tools")}
    assert told["tools"] == [{"parameters": None, "strict": None, **tool}]


@pytest.mark.parametrize("chat", [{}, {"choices": []}, {"choices": [None]}, {"choices": [{"message": "x"}]}])
def test_what_is_no_chat_answer_is_none(chat: dict[str, Any]) -> None:
    assert response_of(chat, ENVELOPE) is None


def test_an_item_s_id_tells_its_response() -> None:
    told = response("tool_calls", reasoning="Hm.", content="x", tool_calls=CALLS)
    assert {response_of_item(item["id"]) for item in told["output"]} == {told["id"]}
    assert response_of_item("msg_1") is None
