"""What a chat stream is as a stream of response events."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.responses import stream as streams
from gateway.responses.envelope import Envelope
from gateway.responses.stream import StreamTranslator
from tests.gateway.responses.valid import check_response, events_in

RECORDINGS = Path(__file__).parents[2] / "recordings"
PARALLEL = (RECORDINGS / "chat_tool_parallel_usage.sse").read_bytes()
REASONING = (RECORDINGS / "chat_reasoning_usage.sse").read_bytes()
DONE = b"data: [DONE]\n\n"
Json = dict[str, Any]


def envelope() -> Envelope:
    return Envelope({"input": "Hello"}, "asked", "0" * 32, lambda: 7.0)


def translated(*chunks: bytes) -> bytes:
    translator = StreamTranslator(envelope())
    return b"".join(map(translator.feed, chunks)) + translator.end()


def chunk(finish: str | None = None, *, index: int = 0, **delta: Any) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return b"data: %b\n\n" % json.dumps({"created": 5, "model": "tiny", "choices": [choice]}).encode()


def events(*chunks: bytes) -> list[Json]:
    return events_in(translated(*chunks))


def kinds(told: list[Json]) -> list[str]:
    """The types, each run of deltas once."""
    names = [event["type"].removeprefix("response.") for event in told]
    return [name for name, before in zip(names, ["", *names], strict=False) if name != before or "delta" not in name]


def last(told: list[Json]) -> Json:
    assert "response" in told[-1]
    return check_response(told[-1]["response"])


def tool(index: int, **call: Any) -> Json:
    function = {name: call.pop(name) for name in ("name", "arguments") if name in call}
    return {"index": index, **call, "function": function}


MESSAGE = [
    "output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done",
    "output_item.done",
]  # fmt: skip
CALL_END = ["function_call_arguments.done", "output_item.done"]


def test_it_works() -> None:
    told = events(chunk(role="assistant", content=""), chunk(content="Hel"), chunk("stop", content="lo"), DONE)
    assert kinds(told) == ["created", "in_progress", *MESSAGE, "completed"]
    assert last(told)["output"][0]["content"][0]["text"] == "Hello"
    assert last(told)["status"] == "completed"
    assert (told[0]["response"]["status"], told[0]["response"]["created_at"]) == ("in_progress", 5)
    assert b"[DONE]" not in translated(chunk("stop", content="lo"), DONE)


def test_reasoning_is_an_item_of_its_own() -> None:
    told = events(REASONING)
    reasoning = [name.replace("output_text", "reasoning_text") for name in MESSAGE]
    assert kinds(told) == ["created", "in_progress", *reasoning, *MESSAGE, "completed"]
    assert [item["type"] for item in last(told)["output"]] == ["reasoning", "message"]
    assert last(told)["output"][1]["content"][0]["text"] == "\n\nTwo plus two is four."
    assert last(told)["usage"]["output_tokens_details"] == {"reasoning_tokens": 13}


def test_all_parallel_calls_are_told() -> None:
    told = last(events(PARALLEL))
    calls = [item for item in told["output"] if item["type"] == "function_call"]
    assert [call["name"] for call in calls] == ["get_weather", "get_time"]
    assert all(json.loads(call["arguments"]) for call in calls)
    assert len({call["call_id"] for call in calls}) == 2
    assert told["usage"] is None  # nobody asked the server for it


def test_several_calls_of_one_chunk_are_told() -> None:
    both = [tool(0, id="a", name="f", arguments="{"), tool(1, id="b", name="g", arguments="[")]
    ends = [tool(1, arguments="]"), tool(0, arguments="}")]
    told = events(chunk(tool_calls=both), chunk(tool_calls=ends), chunk("tool_calls"), DONE)
    assert [(item["call_id"], item["arguments"]) for item in last(told)["output"]] == [("a", "{}"), ("b", "[]")]
    deltas = [(event["output_index"], event["delta"]) for event in told if event["type"].endswith(".delta")]
    assert deltas == [(0, "{"), (1, "["), (1, "]"), (0, "}")]
    assert kinds(told)[-5:] == [*CALL_END, *CALL_END, "completed"]


def test_a_call_that_repeats_its_id_and_name_is_one() -> None:
    again = [chunk(tool_calls=[tool(0, id=f"x{n}", name="f", arguments=str(n))]) for n in range(3)]
    told = last(events(*again, chunk("tool_calls"), DONE))
    assert [(item["call_id"], item["arguments"]) for item in told["output"]] == [("x0", "012")]


def test_calls_without_an_index_are_told_apart_by_their_id() -> None:
    pieces: list[Json] = [
        {"id": "a", "function": {"name": "f", "arguments": "1"}},
        {"function": {"arguments": "2"}},
        {"id": "b", "function": {"name": "g", "arguments": "3"}},
    ]
    told = last(events(*[chunk(tool_calls=[piece]) for piece in pieces], chunk("tool_calls"), DONE))
    assert [(item["name"], item["arguments"]) for item in told["output"]] == [("f", "12"), ("g", "3")]


def test_a_call_without_arguments_has_its_end_too() -> None:
    told = events(chunk(tool_calls=[tool(0, id="a", name="f")]), chunk("tool_calls"), DONE)
    assert kinds(told)[2:] == ["output_item.added", *CALL_END, "completed"]


def test_text_stands_before_and_after_calls_at_its_own_place() -> None:
    call = chunk(tool_calls=[tool(0, id="a", name="f", arguments="{}")])
    told = events(chunk(content="before"), call, chunk("tool_calls", content="after"), DONE)
    output = last(told)["output"]
    assert [item["type"] for item in output] == ["message", "function_call", "message"]
    added = {event["output_index"]: event["item"]["id"] for event in told if event["type"].endswith("item.added")}
    assert added == {place: item["id"] for place, item in enumerate(output)}
    assert len(set(added.values())) == 3


def test_a_refusal_is_told() -> None:
    told = events(chunk(content="Well."), chunk("stop", refusal="No."), DONE)
    assert last(told)["output"][0]["content"][1] == {"type": "refusal", "refusal": "No."}
    assert [event["content_index"] for event in told if "content_index" in event] == [0] * 4 + [1] * 4


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_may_be_incomplete(finish: str, reason: str) -> None:
    told = events(chunk(finish, content="Hi"), DONE)
    assert told[-1]["type"] == "response.incomplete"
    assert last(told)["incomplete_details"] == {"reason": reason}
    assert last(told)["output"][0]["status"] == "incomplete"


@pytest.mark.parametrize("name", ["chat_engine_died.sse", "chat_aborted.sse"])
def test_what_broke_off_has_failed(name: str) -> None:
    told = events((RECORDINGS / name).read_bytes())
    assert told[-1]["type"] == "response.failed"
    assert last(told)["error"]["code"] == "server_error"
    assert last(told)["output"][0]["status"] == "incomplete"


def test_an_upstream_s_own_words_are_told() -> None:
    assert "EngineCore" in last(events((RECORDINGS / "chat_engine_died.sse").read_bytes()))["error"]["message"]


@pytest.mark.parametrize("stream", [b"", chunk(content="Hi"), b"data: {", DONE])
def test_a_stream_without_its_end_has_failed(stream: bytes) -> None:
    assert kinds(events(stream))[-1] == "failed"


def test_a_stream_may_end_without_done() -> None:
    assert kinds(events(chunk("stop", content="Hi")))[-1] == "completed"


def test_an_empty_answer_is_an_empty_text() -> None:
    assert last(events(chunk("stop"), DONE))["output"][0]["content"][0]["text"] == ""


def test_whoever_breaks_it_off_says_why() -> None:
    translator = StreamTranslator(envelope())
    told = translator.feed(chunk(content="Hi")) + translator.fail("It was silent.") + translator.end()
    assert last(events_in(told))["error"] == {"code": "server_error", "message": "It was silent."}
    assert translator.fail("Again.") == b""


def test_comments_pass() -> None:
    assert b": keep-alive\n\n" in translated(b": keep-alive\n\n", chunk("stop", content="Hi"), DONE)


def test_log_probabilities_pass() -> None:
    token = {"token": "H", "logprob": -0.5, "bytes": [72], "top_logprobs": []}
    choice = {"index": 0, "delta": {"content": "H"}, "logprobs": {"content": [token]}, "finish_reason": "stop"}
    told = events(b"data: %b\n\n" % json.dumps({"choices": [choice]}).encode(), DONE)
    assert [event["logprobs"] for event in told if "logprobs" in event] == [[token], [token]]
    assert last(told)["output"][0]["content"][0]["logprobs"] == [token]


def test_only_the_first_choice_counts() -> None:
    told = last(events(chunk(content="a"), chunk("stop", index=1, content="b"), chunk("stop"), DONE))
    assert told["output"][0]["content"][0]["text"] == "a"


def test_nonsense_is_passed_over() -> None:
    odd = [b'{"choices": 1}', b'{"choices": [null]}', b'{"choices": [{"delta": {"content": 1, "tool_calls": [3]}}]}']
    told = events(*[b"data: %b\n\n" % one for one in [*odd, b"nonsense", b"[]"]], chunk("stop", content="a"), DONE)
    assert kinds(told) == ["created", "in_progress", *MESSAGE, "completed"]


def test_what_is_not_unicode_is_escaped() -> None:
    assert last(events(chunk("stop", content="\ud800"), DONE))["output"][0]["content"][0]["text"] == "\ud800"


def test_an_endless_event_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_BYTES", 100)
    assert kinds(events(b"data: " + b"x" * 200))[-1] == "failed"


def test_the_end_is_told_before_its_event() -> None:
    ends: list[Json] = []
    translator = StreamTranslator(envelope(), ends.append)
    told = translator.feed(chunk("stop", content="Hi"))
    assert not ends
    told += translator.feed(DONE)
    assert ends == [events_in(told)[-1]["response"]]


def test_a_failure_is_no_end_to_keep() -> None:
    ends: list[Json] = []
    StreamTranslator(envelope(), ends.append).end()
    assert not ends


@pytest.mark.parametrize("stream", [PARALLEL, REASONING])
def test_recordings_are_told_alike(stream: bytes) -> None:
    whole = translated(stream)

    @given(st.lists(st.integers(0, len(stream)), max_size=12))
    def held(cuts: list[int]) -> None:
        places = [0, *sorted(cuts), len(stream)]
        assert translated(*[stream[a:b] for a, b in itertools.pairwise(places)]) == whole

    held()


def test_the_client_library_accumulates_it() -> None:
    text = "".join(event["delta"] for event in events(REASONING) if event["type"] == "response.output_text.delta")
    assert text == "\n\nTwo plus two is four."


def test_nothing_is_held_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_BYTES", 100)
    translator = StreamTranslator(envelope())
    told = b"".join(translator.feed(piece) for piece in [b"data: ", *[b"x" * 1_000] * 50])
    assert events_in(told)[-1]["type"] == "response.failed"
    assert sum(map(len, translator._pieces)) <= 1_000
    assert translator.end() == b""
