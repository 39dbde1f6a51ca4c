"""What a responses call is as a chat call."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import InvalidRequest
from gateway.responses.request import chat_of, items_of, read

USER = {"role": "user", "content": "Hello"}


def chat(history: list[dict[str, Any]] | None = None, **fields: Any) -> dict[str, Any]:
    request = {"input": "Hello", **fields}
    return chat_of(request, "tiny", history or [], items_of(request))


def messages(*items: Any) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = chat(input=list(items))["messages"]
    return said


def refused(**fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as error:
        chat(**fields)
    return error.value


def test_it_works() -> None:
    assert chat() == {"model": "tiny", "messages": [USER]}


def test_a_model_that_is_not_named_stays_so() -> None:
    assert chat_of({"input": "Hello"}, None, [], items_of({"input": "Hello"})) == {"messages": [USER]}


def test_instructions_are_a_system_message_before_everything() -> None:
    said = chat([{"role": "user", "content": "Before"}], instructions="Be brief.")["messages"]
    assert [one["role"] for one in said] == ["system", "user", "user"]
    assert said[0] == {"role": "system", "content": "Be brief."}


def test_a_developer_is_a_system() -> None:
    assert messages({"role": "developer", "content": "x"}) == [{"role": "system", "content": "x"}]


def test_parts_are_translated() -> None:
    parts = [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"},
        {"type": "input_image", "image_url": "data:image/png;base64,BB"},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
        {"type": "input_file", "file_data": "data:text/plain;base64,AA", "filename": "a.txt"},
    ]
    assert messages({"type": "message", "role": "user", "content": parts})[0]["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,BB"}},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,AA", "filename": "a.txt"}},
    ]


def test_one_text_is_a_plain_one() -> None:
    assert messages({"role": "user", "content": [{"type": "input_text", "text": "Hi"}]})[0]["content"] == "Hi"


def test_the_model_s_own_texts_are_one() -> None:
    parts = [{"type": "output_text", "text": "Hel", "annotations": []}, {"type": "output_text", "text": "lo"}]
    assert messages({"role": "assistant", "content": parts}) == [{"role": "assistant", "content": "Hello"}]


def test_a_refusal_is_one() -> None:
    refusal = [{"type": "refusal", "refusal": "No."}]
    assert messages({"role": "assistant", "content": refusal}, {"type": "refusal", "refusal": "No."}) == [
        {"role": "assistant", "content": refusal},
        {"role": "assistant", "content": refusal},
    ]


def call(number: int) -> dict[str, Any]:
    return {"type": "function_call", "call_id": f"c{number}", "name": "f", "arguments": "{}"}


def tool_call(number: int) -> dict[str, Any]:
    return {"id": f"c{number}", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def test_a_turn_of_the_model_s_is_one_message() -> None:
    thought = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}
    said = messages(
        thought,
        {"role": "assistant", "content": "I look."},
        call(1),
        call(2),
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "noon"}]},
        {"role": "assistant", "content": "Fine."},
    )
    assert said == [
        {"role": "assistant", "reasoning": "Hm.", "content": "I look.", "tool_calls": [tool_call(1), tool_call(2)]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "c2", "content": "noon"},
        {"role": "assistant", "content": "Fine."},
    ]


def test_outputs_stand_right_after_their_calls() -> None:
    def thought(text: str) -> dict[str, Any]:
        return {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": text}]}

    output = {"type": "function_call_output", "call_id": "c1", "output": "sunny"}
    before, after = ({"role": "assistant", "content": text} for text in ("I look. ", "So."))
    assert messages(thought("a"), before, call(1), thought("b"), call(2), after, output) == [
        {
            "role": "assistant",
            "reasoning": "a\nb",
            "content": "I look. So.",
            "tool_calls": [tool_call(1), tool_call(2)],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]


def test_calls_alone_have_no_content() -> None:
    assert messages(call(1)) == [{"role": "assistant", "content": None, "tool_calls": [tool_call(1)]}]


def test_reasoning_may_be_told_as_a_summary_or_be_empty() -> None:
    summary = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Short."}]}
    assert messages({"type": "reasoning", "summary": []}, summary, USER) == [
        {"role": "assistant", "reasoning": "Short.", "content": ""},
        USER,
    ]


TOOL = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
CHAT_TOOL = {"type": "function", "function": {k: v for k, v in TOOL.items() if k != "type"}}


def test_tools_are_functions() -> None:
    assert chat(tools=[TOOL], tool_choice="required", parallel_tool_calls=False) == {
        "model": "tiny",
        "messages": [USER],
        "tools": [CHAT_TOOL],
        "tool_choice": "required",
        "parallel_tool_calls": False,
    }


def test_a_chosen_function_is_named() -> None:
    assert chat(tools=[TOOL], tool_choice={"type": "function", "name": "f"})["tool_choice"] == {
        "type": "function",
        "function": {"name": "f"},
    }


def test_only_allowed_tools_are_offered() -> None:
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}
    sent = chat(tools=[TOOL, {**TOOL, "name": "g"}], tool_choice=allowed)
    assert (sent["tools"], sent["tool_choice"]) == ([CHAT_TOOL], "required")


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_without_tools_there_is_no_choice(choice: str) -> None:
    assert "tool_choice" not in chat(tools=[], tool_choice=choice)


def test_the_format_of_the_text_is_the_response_format() -> None:
    wanted = {"name": "n", "schema": {"type": "object"}, "strict": True}
    assert chat(text={"format": {"type": "json_schema", **wanted}})["response_format"] == {
        "type": "json_schema",
        "json_schema": wanted,
    }
    assert chat(text={"format": {"type": "json_object"}})["response_format"] == {"type": "json_object"}
    assert "response_format" not in chat(text={"format": {"type": "text"}})


def test_fields_have_their_names_in_chat() -> None:
    sent = chat(
        max_output_tokens=1, temperature=0, top_p=0.5, top_logprobs=2, reasoning={"effort": "low"}, user="me",
        text={"verbosity": "low"}, metadata={"a": "b"}, store=True, truncation="disabled", background=False,
    )  # fmt: skip
    assert sent == {
        "model": "tiny",
        "messages": [USER],
        "max_completion_tokens": 1,
        "temperature": 0,
        "top_p": 0.5,
        "top_logprobs": 2,
        "logprobs": True,
        "reasoning_effort": "low",
        "user": "me",
        "verbosity": "low",
    }


def test_log_probabilities_may_be_included() -> None:
    assert chat(include=["message.output_text.logprobs"])["logprobs"] is True


def test_vllm_s_own_fields_pass() -> None:
    own: dict[str, Any] = {
        "top_k": 3,
        "min_p": 0.1,
        "chat_template_kwargs": {"enable_thinking": False},
        "priority": 1,
        "seed": 7,
    }
    assert {**chat(**own), **own} == chat(**own)


def test_a_stream_tells_its_usage() -> None:
    sent = chat(stream=True, stream_options={"include_obfuscation": False, "continuous_usage_stats": True})
    assert sent["stream"] is True
    assert sent["stream_options"] == {"continuous_usage_stats": True, "include_usage": True}


def user(part: object) -> list[object]:
    return [{"role": "user", "content": [part]}]


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("background", {"background": True}),
        ("tools[1].type", {"tools": [TOOL, {"type": "web_search"}]}),
        ("tools[0].name", {"tools": [CHAT_TOOL]}),
        ("tools[0].defer_loading", {"tools": [{**TOOL, "defer_loading": True}]}),
        ("tools", {"tools": "f"}),
        ("tool_choice", {"tool_choice": {"type": "web_search"}}),
        ("tool_choice.tools", {"tool_choice": {"type": "allowed_tools"}}),
        ("text.format.type", {"text": {"format": {"type": "grammar"}}}),
        ("text", {"text": "json"}),
        ("input[0].type", {"input": [{"type": "web_search_call"}]}),
        ("input[0].role", {"input": [{"role": "tool", "content": "x"}]}),
        ("input[0].content", {"input": [{"role": "user"}]}),
        ("input[0].content[0]", {"input": user("x")}),
        ("input[0].content[0].type", {"input": user({"type": "smell"})}),
        ("input[0].content[0].type", {"input": user({"type": ["input_text"]})}),
        ("input[0].content[0].text", {"input": user({"type": "input_text"})}),
        ("input[0].content[0].file_id", {"input": user({"type": "input_image", "file_id": "f"})}),
        ("input[0].content[0].file_url", {"input": user({"type": "input_file", "file_url": "u"})}),
        ("input[0].encrypted_content", {"input": [{"type": "reasoning", "encrypted_content": "x"}]}),
        ("input[0].call_id", {"input": [{"type": "function_call", "name": "f", "arguments": ""}]}),
        ("input[0]", {"input": ["x"]}),
        ("input", {"input": None}),
        ("instructions", {"instructions": ["x"]}),
        ("conversation", {"conversation": "conv_1"}),
        ("prompt", {"prompt": {"id": "p"}}),
        ("max_tool_calls", {"max_tool_calls": 2}),
        ("truncation", {"truncation": "auto"}),
        ("n", {"n": 2}),
        ("include", {"include": ["file_search_call.results"]}),
        ("include", {"include": "x"}),
        ("include", {"include": [{}]}),
        ("reasoning.summary", {"reasoning": {"summary": "detailed"}}),
        ("reasoning.max_tokens", {"reasoning": {"max_tokens": 3}}),
        ("reasoning", {"reasoning": "high"}),
        ("stream_options", {"stream": True, "stream_options": 1}),
        ("stream_options.include_obfuscation", {"stream": True, "stream_options": {"include_obfuscation": True}}),
        ("messages", {"messages": []}),
    ],
)  # fmt: skip
def test_what_cannot_be_translated_is_named(param: str, fields: dict[str, Any]) -> None:
    error = refused(**fields)
    assert (error.status_code, error.param) == (400, param)


def test_an_unknown_tool_s_type_is_in_the_sentence() -> None:
    assert "'web_search'" in refused(tools=[{"type": "web_search"}]).message


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read(body)


def test_a_body_is_read() -> None:
    assert read(b'{"input": "x"}') == {"input": "x"}


def test_more_items_than_a_conversation_has_are_refused() -> None:
    assert "at most 10,000 items" in refused(input=[USER] * 10_001).message
