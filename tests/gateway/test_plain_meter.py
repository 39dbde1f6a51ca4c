import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.metering.meters import METERS
from gateway.metering.plain_meter import PlainMeter
from gateway.metering.usage import UNKNOWN, Usage
from tests.gateway.metering import GUESSED, REQUEST, in_reads, plain_meter, recording, relay, tokens


def read(file: str, name: str) -> Usage:
    meter = plain_meter(name)
    assert relay(meter, [recording(file)]) == recording(file)
    return meter.usage(REQUEST)


@pytest.mark.parametrize(
    ("file", "name", "expected"),
    [
        ("chat.json", "chat", (13, 12, "reported")),
        ("chat_batch.json", "chat", (26, 8, "reported")),
        ("completions_two_prompts.json", "completions", (4, 6, "reported")),
        ("responses.json", "responses", (13, 8, "reported")),
        ("messages.json", "messages", (13, 8, "reported")),
        ("generate.json", "generate", (2, 4, "reported")),
        ("generative_scoring.json", "generative_scoring", (20, 2, "reported")),
        ("embeddings_float.json", "embeddings", (4, 0, "reported")),
        ("embeddings_base64.json", "embeddings", (8, 0, "reported")),
        ("pooling.json", "pooling", (4, 0, "reported")),
        ("classify.json", "classify", (4, 0, "reported")),
        ("score.json", "score", (5, 0, "reported")),
        ("rerank.json", "rerank", (42, 0, "reported")),
        ("invocations_rerank.json", "invocations", (42, 0, "reported")),
        ("invocations_chat.json", "invocations", (13, 12, "reported")),
        ("tokenize.json", "tokenize", (13, 0, "reported")),
        ("messages_count.json", "tokenize", (13, 0, "reported")),
        ("detokenize.json", "tokenize", (None, None, "unknown")),
        ("responses_queued.json", "responses", (None, None, "unknown")),
        ("transcription.json", "transcriptions", (None, None, "unknown")),
        ("transcription_verbose.json", "transcriptions", (None, None, "unknown")),
        ("translation.json", "translations", (None, None, "unknown")),
    ],
)
def test_a_body_tells_its_tokens(file, name, expected):
    assert tokens(read(file, name)) == expected


def test_cached_tokens_are_told():
    assert (
        read("chat_cached.json", "chat").cached_tokens
        == json.loads(recording("chat_cached.json"))["usage"]["prompt_tokens_details"]["cached_tokens"]
    )


def test_a_structured_decision_tells_its_tokens_whatever_its_questions_are_called():
    meter = plain_meter("systemone")
    answers = b'{"usage":{"type":"noul","noul":0.9},"x":{"type":"score","legend":{"usage":{"input_tokens":9}}}}'
    told = b'"usage":{"input_tokens":300,"output_tokens":2},"diagnostics":{"usage":{"label_mass":1.0}}'
    relay(meter, [b'{"id":"decision-1","object":"structured_decision","answers":', answers, b",", told, b"}"])
    assert tokens(meter.usage(REQUEST)) == (300, 2, "reported")


def test_a_body_of_cohere_tells_its_tokens():
    meter = plain_meter("v2_embed")
    relay(meter, [b'{"id":"a","embeddings":{},"meta":{"billed_units":{"input_tokens":4,"image_tokens":0}}}'])
    assert tokens(meter.usage(REQUEST)) == (4, 0, "reported")


def test_without_usage_generated_ids_are_counted():
    meter = plain_meter("generate")
    relay(meter, [b'{"choices":[{"token_ids":[5,6,7]}]}'])
    assert tokens(meter.usage(REQUEST)) == (GUESSED, 3, "estimated")


def test_a_body_starts_with_its_first_byte():
    meter = plain_meter("chat")
    assert not meter.started
    meter.feed(b"{")
    assert meter.started


def test_an_aborted_body_failed_and_is_counted():
    meter = plain_meter("chat")
    relay(meter, [recording("chat_aborted.json")])
    assert (meter.failure, tokens(meter.usage(REQUEST))) == ("abort", (13, 199, "reported"))


def test_a_body_that_was_cut_off_is_unknown():
    meter = plain_meter("chat")
    relay(meter, [recording("chat.json")[:300]])
    assert meter.usage(REQUEST) == UNKNOWN


def test_a_body_that_was_cut_off_behind_its_usage_is_reported():
    meter = plain_meter("rerank")
    relay(meter, [recording("rerank.json")[:200]])
    assert tokens(meter.usage(REQUEST)) == (42, 0, "reported")


def long_chat(**fields: object) -> list[bytes]:
    body = json.loads(recording("chat_aborted.json"))
    body["choices"][0]["message"]["content"] = "x" * 100_000
    return in_reads(json.dumps(body | fields, separators=(",", ":")).encode())


def test_a_long_body_tells_its_tokens():
    meter = plain_meter("chat")
    relay(meter, long_chat())
    assert (meter.failure, tokens(meter.usage(REQUEST))) == ("abort", (13, 199, "reported"))


def test_a_long_body_may_list_the_prompts_token_ids_after_its_usage():
    meter = plain_meter("chat")
    relay(meter, long_chat(prompt_token_ids=list(range(50_000))))
    assert tokens(meter.usage(REQUEST)) == (13, 199, "reported")


def test_long_embeddings_tell_their_tokens():
    row = {"index": 0, "object": "embedding", "embedding": [0.1234567] * 10_000}
    meter = plain_meter("embeddings")
    relay(meter, in_reads(json.dumps({"data": [row], "usage": {"prompt_tokens": 8, "total_tokens": 8}}).encode()))
    assert tokens(meter.usage(REQUEST)) == (8, 0, "reported")


def test_a_long_list_of_tokens_is_counted():
    meter = plain_meter("tokenize")
    body = {"count": 50_000, "max_model_len": 2048, "tokens": list(range(50_000)), "token_strs": None}
    relay(meter, in_reads(json.dumps(body).encode()))
    assert tokens(meter.usage(REQUEST)) == (50_000, 0, "reported")


def test_a_long_response_does_not_take_the_clients_objects_for_its_usage():
    body = json.loads(recording("responses.json"))
    body |= {"a": "x" * 70_000, "tools": [{"usage": {"input_tokens": 9, "output_tokens": 9}}], "b": "x" * 100_000}
    meter = plain_meter("responses")
    del body["usage"]
    relay(meter, in_reads(json.dumps(body, separators=(",", ":")).encode()))
    assert meter.usage(REQUEST) == UNKNOWN


NAMES = ["usage", "choices", "error", "response", "delta", "meta", "count", "tokens", "finish_reason", "text", "type"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["abort", "message", ""]),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.sampled_from(NAMES), some, max_size=4),
    max_leaves=12,
)


@given(JSON, st.sampled_from(sorted(METERS)))
def test_no_body_is_odd_enough_to_break_a_call(body, name):
    class Unguarded(PlainMeter):
        def end(self):
            self._read_body()
            return b""

    meter = Unguarded(METERS[name])
    relay(meter, [json.dumps(body).encode()])
    assert meter.usage(REQUEST).source in {"reported", "estimated", "unknown"}


def test_a_defect_of_ours_costs_the_account_and_not_the_call():
    class Defective(PlainMeter):
        def _read_body(self):
            raise RuntimeError

    meter = Defective(METERS["chat"])
    assert relay(meter, [b"{}"]) == b"{}"
    assert meter.usage(REQUEST) == UNKNOWN
