"""Responses of a server that has only chat completions."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import httpx
import openai
import pytest

from tests.sockets.responses.asking import SSE, Client, paths, recorded, refusal
from tests.support import answers, vllm
from tests.support.exchange import Exchange
from tests.support.gateway import Gateway
from tests.support.patience import wait_for
from tests.support.upstream import Upstream


def test_a_response_is_translated(client: Client, gateway: Gateway, chat: Upstream, mine: str) -> None:
    response = client(mine).responses.create(model="chat-model", input="Hi", instructions="Be brief.", temperature=0)
    assert (response.output_text, response.status) == ("Hello", "incomplete")
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (vllm.PROMPT_TOKENS, 2)
    sent = chat.calls[-1].json()
    assert sent["model"] == "tiny-chat"
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]


def test_its_row_has_its_tokens_and_one_attempt(gateway: Gateway, chat: Upstream, mine: str) -> None:
    for stream in (False, True):
        answer = gateway.post("/responses", {"model": "chat-model", "input": "Hi", "stream": stream}, key=mine)
        row = gateway.row(answer)
        told = {name: row[name] for name in ("route", "prompt_tokens", "completion_tokens", "usage_source", "attempts")}
        assert told == {
            "route": "/v1/responses",
            "prompt_tokens": vllm.PROMPT_TOKENS,
            "completion_tokens": 2,
            "usage_source": "reported",
            "attempts": 1,
        }
        assert (row["outcome"], row["error_type"]) == ("completed", None)


def test_the_missing_route_is_remembered(client: Client, chat: Upstream, mine: str) -> None:
    for _ in range(3):
        client(mine).responses.create(model="chat-model", input="Hi")
    assert paths(chat).count("/v1/responses") <= 1
    assert paths(chat)[-2:] == ["/v1/chat/completions"] * 2


def test_a_stream_is_translated(client: Client, chat: Upstream, mine: str) -> None:
    events = list(client(mine).responses.create(model="chat-model", input="Hi", stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Hello"
    last = events[-1]
    assert last.type == "response.incomplete"
    assert last.response.usage is not None
    assert last.response.usage.output_tokens == 2


def test_reasoning_is_translated(client: Client, chat: Upstream, mine: str) -> None:
    chat.on("POST /v1/chat/completions", recorded("chat_reasoning_usage.sse"))
    with client(mine).responses.stream(model="chat-model", input="2+2?", reasoning={"effort": "low"}) as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    assert [item.type for item in final.output] == ["reasoning", "message"]
    assert chat.calls[-1].json()["reasoning_effort"] == "low"


TOOLS: Any = [
    {"type": "function", "name": name, "parameters": {}, "strict": None} for name in ("get_weather", "get_time")
]


def test_parallel_tools_are_called_and_answered(client: Client, chat: Upstream, mine: str) -> None:
    chat.on("POST /v1/chat/completions", recorded("chat_tool_parallel_usage.sse"))
    with client(mine).responses.stream(model="chat-model", input="Tokyo?", tools=TOOLS) as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    calls = [item for item in final.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    chat.on("POST /v1/chat/completions", vllm.chat(words=("Sun",)))
    outputs: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "ok"} for call in calls]
    answer = client(mine).responses.create(model="chat-model", input=outputs, previous_response_id=final.id)
    assert answer.output_text == "Sun"
    messages = chat.calls[-1].json()["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool"]
    assert [call["id"] for call in messages[1]["tool_calls"]] == [call.call_id for call in calls]


def test_a_structured_output_is_asked_for(client: Client, chat: Upstream, mine: str) -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    chat.on("POST /v1/chat/completions", vllm.chat(words=('{"a":', "1}")))
    answer = client(mine).responses.create(
        model="chat-model", input="Hi", text={"format": {"type": "json_schema", "name": "n", "schema": schema}}
    )
    assert json.loads(answer.output_text) == {"a": 1}
    assert chat.calls[-1].json()["response_format"]["json_schema"]["schema"] == schema


def test_a_conversation_is_kept_by_the_gateway(
    client: Client, gateway: Gateway, chat: Upstream, mine: str, another: str
) -> None:
    first = client(mine).responses.create(model="chat-model", input="My name is Bob-the-secret.", instructions="One.")
    second = client(mine).responses.create(
        model="chat-model", input="Who am I?", previous_response_id=first.id, instructions="Two."
    )
    said = [message["content"] for message in chat.calls[-1].json()["messages"]]
    assert said == ["Two.", "My name is Bob-the-secret.", "Hello", "Who am I?"]
    assert client(mine).responses.retrieve(second.id).previous_response_id == first.id
    theirs = client(another).responses
    assert refusal(lambda: theirs.retrieve(first.id)) == (404, "response_id")
    assert refusal(lambda: theirs.create(model="chat-model", input="x", previous_response_id=first.id))[0] == 404
    rows = gateway.query("SELECT * FROM gateway_storedresponse WHERE response_id = ?", first.id)
    assert rows[0]["state"]
    assert "Bob-the-secret" not in str(dict(rows[0]))


def test_an_item_is_referred_to(client: Client, chat: Upstream, mine: str, another: str) -> None:
    first = client(mine).responses.create(model="chat-model", input="Hi")
    reference: Any = [{"type": "item_reference", "id": first.output[0].id}, {"role": "user", "content": "And?"}]
    client(mine).responses.create(model="chat-model", input=reference)
    said = [message["content"] for message in chat.calls[-1].json()["messages"]]
    assert said == ["Hello", "And?"]
    assert refusal(lambda: client(another).responses.create(model="chat-model", input=reference))[0] == 404


def test_the_verbatim_faces_translate_nothing(gateway: Gateway, chat: Upstream, mine: str) -> None:
    asked = {"model": "chat-model", "input": "Hi"}
    for face in ("/vllm", "/upstreams/chat"):
        answer = gateway.post(f"{face}/v1/responses", asked, key=mine)
        assert (answer.status, answer.json()) == (404, {"detail": "Not Found"})


def test_a_translated_response_is_no_server_s(client: Client, chat: Upstream, mine: str) -> None:
    made = client(mine).responses.create(model="chat-model", input="Hi").id
    assert client(mine, "/vllm/v1").responses.retrieve(made).id == made
    assert client(mine).responses.retrieve(made, stream=False).id == made
    create = client(mine, "/vllm/v1").responses.create
    assert refusal(lambda: create(model="chat-model", input="x", previous_response_id=made))[0] == 404
    assert refusal(lambda: client(mine).responses.cancel(made)) == (400, "response_id")
    assert refusal(lambda: list(client(mine).responses.retrieve(made, stream=True))) == (400, "stream")


def test_what_is_not_to_be_stored_is_not_kept(client: Client, chat: Upstream, mine: str) -> None:
    made = client(mine).responses.create(model="chat-model", input="Hi", store=False).id
    assert refusal(lambda: client(mine).responses.retrieve(made))[0] == 404


@pytest.mark.parametrize(
    ("param", "fields"), [("background", {"background": True}), ("tools[0].type", {"tools": [{"type": "web_search"}]})]
)
def test_what_cannot_be_translated_is_refused(
    client: Client, chat: Upstream, mine: str, param: str, fields: dict[str, Any]
) -> None:
    create = client(mine).responses.create
    assert refusal(lambda: create(model="chat-model", input="Hi", **fields)) == (400, param)


def test_an_engine_that_dies_fails_the_response(client: Client, gateway: Gateway, chat: Upstream, mine: str) -> None:
    chat.on("POST /v1/chat/completions", recorded("chat_engine_died.sse"))
    events = list(client(mine).responses.create(model="chat-model", input="Hi", stream=True))
    assert events[-1].type == "response.failed"
    row = wait_for(lambda: gateway.rows("outcome = ?", "upstream_failed"))[-1]
    assert (row["error_type"], row["route"]) == ("InternalServerError", "/v1/responses")


def test_an_answer_that_is_broken_off_fails_the_response(gateway: Gateway, chat: Upstream, mine: str) -> None:
    chat.on("POST /v1/chat/completions", recorded("chat_aborted.json"))
    answer = gateway.post("/v1/responses", {"model": "chat-model", "input": "Hi"}, key=mine)
    assert (answer.status, answer.json()["status"]) == (200, "failed")
    assert (gateway.row(answer)["outcome"], gateway.row(answer)["error_type"]) == ("upstream_failed", "abort")


def test_an_upstream_that_goes_silent_fails_the_response(client: Client, chat: Upstream, mine: str) -> None:
    head = [("content-type", SSE[0][1]), ("transfer-encoding", "chunked")]

    def behave(exchange: Exchange) -> None:
        exchange.send(exchange.head(200, head))
        answers.send_events(exchange, vllm.chat_events(("Hel", "lo"))[:2], 0)
        exchange.pause(60)

    chat.on("POST /v1/chat/completions", behave)
    told: Any = None
    with contextlib.suppress(httpx.RemoteProtocolError, openai.APIConnectionError):  # the body ends without its end
        for event in client(mine).responses.create(model="chat-model", input="Hi", stream=True):
            told = event
    assert told.type == "response.failed"
    assert "in time" in told.response.error.message


def test_an_upstream_s_refusal_passes(client: Client, chat: Upstream, mine: str) -> None:
    chat.on("POST /v1/chat/completions", vllm.error(400, "too long", param="input_tokens"))
    assert refusal(lambda: client(mine).responses.create(model="chat-model", input="x")) == (400, "input_tokens")
