import json
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.metering.meters import METERS
from gateway.metering.stream_meter import HidingMeter, StreamMeter
from gateway.metering.usage import UNKNOWN, Usage
from tests.gateway.metering import (
    DONE,
    GUESSED,
    RECORDINGS,
    REQUEST,
    ROLE,
    events_of,
    in_reads,
    meter_for,
    name_of,
    recording,
    relay,
    tokens,
    word,
)

STREAMS = sorted(path.name for path in RECORDINGS.glob("*.sse"))
FINGERPRINT = "vllm-0.32.0-85c684f2"


def stream(file: str, pieces: list[bytes] | None = None) -> StreamMeter:
    meter = meter_for(name_of(file))
    assert isinstance(meter, StreamMeter)
    relay(meter, events_of(recording(file)) if pieces is None else pieces)
    return meter


# --- Streams that pass untouched -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("chat_usage.sse", (13, 12, "reported")),
        ("chat_usage_continuous.sse", (13, 12, "reported")),
        ("chat_two_choices_usage.sse", (13, 8, "reported")),
        ("chat_tool_usage.sse", (33, 27, "reported")),
        ("completions_usage.sse", (5, 8, "reported")),
        ("responses.sse", (13, 8, "reported")),
        ("responses_reasoning.sse", (17, 25, "reported")),
        ("messages.sse", (13, 8, "reported")),
        ("messages_tool.sse", (33, 27, "reported")),
        ("messages_aborted.sse", (13, 152, "reported")),
        ("transcription_usage.sse", (204, 12, "reported")),
        ("transcription_usage_continuous.sse", (204, 12, "reported")),
        ("chat.sse", (GUESSED, 12, "estimated")),
        ("chat_logprobs.sse", (GUESSED, 3, "estimated")),
        ("chat_keep_alive.sse", (GUESSED, 3, "estimated")),
        ("completions.sse", (GUESSED, 8, "estimated")),
        ("completions_two_prompts.sse", (GUESSED, 6, "estimated")),
        ("generate.sse", (GUESSED, 4, "estimated")),
        ("responses_cut.sse", (GUESSED, 79, "estimated")),
        ("transcription.sse", (None, 12, "estimated")),
    ],
)
def test_a_stream_tells_its_tokens(file, expected):
    assert tokens(stream(file).usage(REQUEST)) == expected


def test_reasoning_is_told_apart():
    assert stream("chat_reasoning_usage.sse").usage(REQUEST).reasoning_tokens == 13
    assert stream("responses_reasoning.sse").usage(REQUEST).reasoning_tokens == 13


@pytest.mark.parametrize("file", STREAMS)
def test_every_chunk_passes_as_the_very_object(file):
    meter = meter_for(name_of(file))
    assert all(meter.feed(event) is event for event in events_of(recording(file)))
    assert meter.end() == b""


@settings(max_examples=15, deadline=None)
@given(st.data())
@pytest.mark.parametrize("file", STREAMS)
def test_the_account_does_not_depend_on_how_a_stream_is_cut(file, data):
    whole = recording(file)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    meter = meter_for(name_of(file))
    assert relay(meter, pieces) == whole
    assert (meter.usage(REQUEST), meter.failure) == told_at_once(file)


@cache
def told_at_once(file: str) -> tuple[Usage, object]:
    """What the meter tells of a recording that comes an event a piece."""
    meter = stream(file)
    return meter.usage(REQUEST), meter.failure


def test_line_ends_of_crlf_count_the_same():
    crlf = recording("chat.sse").replace(b"\n", b"\r\n")
    assert tokens(stream("chat.sse", [crlf]).usage(REQUEST)) == (GUESSED, 12, "estimated")


@pytest.mark.parametrize("file", ["responses_cut.sse", "messages_engine_died.sse"])
def test_named_events_with_crlf_count_the_same(file):
    crlf = recording(file).replace(b"\n", b"\r\n")
    assert stream(file, [crlf]).usage(REQUEST) == stream(file).usage(REQUEST)


def test_a_last_event_without_its_blank_line_counts():
    assert tokens(stream("chat.sse", [ROLE, word("a"), word("b")[:-2]]).usage(REQUEST))[1] == 2


def test_a_client_that_leaves_before_the_end_is_charged_by_the_events():
    meter = stream("chat.sse", events_of(recording("chat.sse"))[:6])
    assert meter.usage(REQUEST) == Usage(GUESSED, 5, source="estimated")


def test_a_client_that_leaves_early_is_charged_by_the_counts_so_far():
    meter = stream("chat.sse", events_of(recording("chat_usage_continuous.sse"))[:6])
    assert meter.usage(REQUEST) == Usage(13, 5, source="reported")


def test_counts_so_far_are_summed_over_the_choices():
    counts = ',"usage":{{"prompt_tokens":3,"completion_tokens":{}}}'
    events = [word("a", index=i, rest=counts.format(n)) for i, n in ((0, 1), (1, 1), (0, 2), (1, 2), (0, 3))]
    assert tokens(stream("chat.sse", events).usage(REQUEST)) == (3, 5, "reported")


def test_a_message_tells_its_prompt_at_the_start():
    meter = stream("messages.sse", events_of(recording("messages.sse"))[:5])
    assert tokens(meter.usage(REQUEST)) == (13, 3, "estimated")


def test_a_stream_that_never_began_has_no_completion():
    assert stream("chat.sse", [ROLE]).usage(REQUEST) == Usage(GUESSED, 0, source="estimated")


def test_cohere_counts_deltas_and_reads_the_end():
    delta = b'data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"a"}}}}\n\n'
    counts = (
        b'{"billed_units":{"input_tokens":3.0,"output_tokens":2.0},"tokens":{"input_tokens":3.0,"output_tokens":2.0}}'
    )
    end = b'data: {"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":%b}}\n\n' % counts
    start = b'data: {"type":"message-start","id":"a","delta":{"message":{"role":"assistant"}}}\n\n'
    stop = b'data: {"type":"content-end","index":0}\n\n'
    meter = meter_for("cohere")
    relay(meter, [start, delta, delta, stop])
    assert tokens(meter.usage(REQUEST)) == (GUESSED, 2, "estimated")
    meter = meter_for("cohere")
    relay(meter, [start, delta, delta, stop, end, DONE])
    assert tokens(meter.usage(REQUEST)) == (3, 2, "reported")


@pytest.mark.parametrize(
    ("file", "first"),
    [
        ("chat.sse", 1),
        ("chat_two_choices_usage.sse", 2),
        ("chat_keep_alive.sse", 3),
        ("chat_reasoning_usage.sse", 1),
        ("chat_tool_usage.sse", 1),
        ("completions.sse", 0),
        ("responses.sse", 4),
        ("messages.sse", 2),
        ("messages_tool.sse", 1),
        ("generate.sse", 0),
        ("transcription.sse", 0),
    ],
)
def test_it_starts_with_the_first_token(file, first):
    meter = meter_for(name_of(file))
    started = []
    for event in events_of(recording(file)):
        meter.feed(event)
        started.append(meter.started)
    assert started.index(True) == first


@pytest.mark.parametrize(
    ("file", "failure"),
    [
        ("chat_engine_died.sse", "InternalServerError"),
        ("messages_engine_died.sse", "internal_error"),
        ("chat_aborted.sse", "abort"),
        ("messages_aborted.sse", "abort"),
        ("responses_cut.sse", None),
        ("chat.sse", None),
        ("messages_tool.sse", None),
    ],
)
def test_a_stream_says_that_it_failed(file, failure):
    assert stream(file).failure == failure


def test_a_failure_has_its_sentence():
    assert stream("chat_engine_died.sse").failure_text == "The upstream's answer ended with an error."


def test_a_stream_that_failed_in_the_middle_is_estimated():
    assert tokens(stream("chat_engine_died.sse").usage(REQUEST)) == (GUESSED, 80, "estimated")


def test_a_stream_that_failed_before_its_first_token_is_unknown():
    error = b'data: {"error": {"message": "", "type": "InternalServerError"}}\n\n'
    assert stream("chat.sse", [ROLE, error, DONE]).usage(REQUEST) == UNKNOWN


# --- What a model writes can neither forge nor hide anything ----------------------------------------------------------

FORGERIES = [
    '"usage":{"prompt_tokens":999,"completion_tokens":999}',
    '","choices":[],"usage":{"prompt_tokens":999}}',
    'data: {"error": {"type": "x"}}\n\n',
    '"finish_reason":"abort"',
    "usage",
    "error",
]


@pytest.mark.parametrize("text", FORGERIES)
@pytest.mark.parametrize("hide", [True, False])
def test_content_forges_nothing(text, hide):
    pieces = [ROLE, word("a"), word(json.dumps(text)[1:-1]), DONE]
    meter = meter_for("chat", hide_usage=hide)
    assert relay(meter, pieces) == b"".join(pieces)
    assert (meter.failure, tokens(meter.usage(REQUEST))) == (None, (GUESSED, 2, "estimated"))


# --- Hidden usage ----------------------------------------------------------------------------------------------------


def same_ids(stream: bytes) -> bytes:
    first = json.loads(stream.split(b"\n")[0][6:])["id"].encode()
    return stream.replace(first, b"ID")


@pytest.mark.parametrize("name", ["chat", "completions"])
def test_without_the_usage_event_a_stream_is_that_of_a_direct_call(name):
    meter = meter_for(name, hide_usage=True)
    passed = relay(meter, events_of(recording(f"{name}_usage.sse")))
    assert same_ids(passed) == same_ids(recording(f"{name}.sse"))
    assert meter.usage(REQUEST).source == "reported"
    assert meter.fingerprint == FINGERPRINT


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3200), max_size=12).map(sorted))
def test_hiding_does_not_depend_on_how_a_stream_is_cut(cuts):
    whole = recording("chat_usage.sse")
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    meter = meter_for("chat", hide_usage=True)
    assert same_ids(relay(meter, pieces)) == same_ids(recording("chat.sse"))
    assert tokens(meter.usage(REQUEST)) == (13, 12, "reported")


def test_hiding_works_byte_by_byte():
    whole = recording("completions_usage.sse")
    meter = meter_for("completions", hide_usage=True)
    assert same_ids(relay(meter, [bytes([byte]) for byte in whole])) == same_ids(recording("completions.sse"))


def test_hiding_works_with_crlf():
    crlf = recording("chat_usage.sse").replace(b"\n", b"\r\n")
    meter = meter_for("chat", hide_usage=True)
    assert same_ids(relay(meter, [crlf]).replace(b"\r\n", b"\n")) == same_ids(recording("chat.sse"))


@pytest.mark.parametrize("file", [file for file in STREAMS if "usage" not in file])
def test_where_there_is_no_usage_event_nothing_is_hidden(file):
    meter = meter_for(name_of(file), hide_usage=True)
    assert relay(meter, events_of(recording(file))) == recording(file)


def test_a_server_that_always_reports_is_left_alone():
    meter = meter_for("chat", hide_usage=True)
    whole = recording("chat_usage_continuous.sse")
    assert relay(meter, events_of(whole)) == whole
    assert tokens(meter.usage(REQUEST)) == (13, 12, "reported")


def direct_two_prompts() -> tuple[bytes, bytes]:
    """A direct call with two prompts, and what vLLM sends instead when usage is asked for."""
    direct = recording("completions_two_prompts.sse")
    field = b',"system_fingerprint":"%b"' % FINGERPRINT.encode()
    usage = b'data: {"id":"a","choices":[],"usage":{"prompt_tokens":2,"completion_tokens":6}%b}\n\n' % field
    asked = direct.replace(field, b"").replace(DONE, usage + DONE)
    return direct, asked


def test_every_choice_ends_with_the_fingerprint_that_is_known():
    direct, asked = direct_two_prompts()
    meter = meter_for("completions", hide_usage=True, fingerprint=FINGERPRINT)
    assert relay(meter, events_of(asked)) == direct


def test_without_a_known_fingerprint_the_last_choice_has_it():
    direct, asked = direct_two_prompts()
    passed = relay(meter_for("completions", hide_usage=True), events_of(asked))
    assert passed == direct.replace(b',"system_fingerprint":"%b"' % FINGERPRINT.encode(), b"", 1)


def test_the_end_of_a_choice_waits_for_one_event():
    events = events_of(recording("chat_usage.sse"))
    meter = meter_for("chat", hide_usage=True)
    passed = [meter.feed(event) for event in events]
    assert [len(piece) == len(event) for piece, event in zip(passed, events, strict=True)] == [True] * 12 + [
        False,
        False,
        True,
    ]
    assert passed[12] == b""
    assert passed[14] is events[14]


def test_an_end_without_anything_after_it_passes_at_the_end():
    finish = events_of(recording("chat_usage.sse"))[12]
    meter = meter_for("chat", hide_usage=True)
    assert meter.feed(ROLE + finish) == ROLE
    assert meter.end() == finish


@pytest.mark.parametrize("cut", [-1, -2])
def test_a_usage_event_without_its_blank_line_is_hidden_too(cut):
    events = events_of(recording("chat_usage.sse"))
    meter = meter_for("chat", hide_usage=True)
    passed = relay(meter, [*events[:13], events[13][:cut]])
    assert same_ids(passed) == same_ids(recording("chat.sse").removesuffix(DONE))


def test_what_was_cut_off_in_the_middle_of_an_event_passes_at_the_end():
    pieces = [ROLE, word("a"), word("b")[:30]]
    assert relay(meter_for("chat", hide_usage=True), pieces) == b"".join(pieces)


def test_a_whole_event_is_the_very_object():
    meter = meter_for("chat", hide_usage=True)
    events = [ROLE, word("a"), word("b") + word("c"), b": keep-alive\n\n", DONE]
    assert all(meter.feed(event) is event for event in events)


def test_half_an_event_waits_for_its_end():
    event = word("a")
    meter = meter_for("chat", hide_usage=True)
    assert meter.feed(event[:50]) == b""
    assert meter.feed(event[50:]) == event


def test_an_event_cut_in_a_code_point_waits_too():
    event = word("é€")
    cut = event.index("€".encode()) + 1
    assert relay(meter_for("chat", hide_usage=True), [ROLE, event[:cut], event[cut:]]) == ROLE + event


def test_a_long_event_passes_as_it_comes():
    event = word("x" * 100_000)
    meter = meter_for("chat", hide_usage=True)
    assert meter.feed(ROLE) == ROLE
    assert meter.feed(event[:60_000]) == b""
    assert meter.feed(event[60_000:70_000]) == event[:70_000]
    assert meter.feed(event[70_000:90_000]) == event[70_000:90_000]
    assert meter.feed(event[90_000:] + word("b")) == event[90_000:] + word("b")
    assert meter.end() == b""


@pytest.mark.parametrize("more", [b"", b"\n"])
def test_a_long_event_may_be_the_last(more):
    pieces = [ROLE, word("a"), word("x" * 100_000)[:-2] + more]
    assert relay(meter_for("chat", hide_usage=True), pieces) == b"".join(pieces)


def test_an_end_that_waits_passes_before_a_long_event():
    pieces = [ROLE, events_of(recording("chat_usage.sse"))[12], word("x" * 100_000)]
    assert relay(meter_for("chat", hide_usage=True), pieces) == b"".join(pieces)


@pytest.mark.parametrize("kind", [StreamMeter, HidingMeter])
@pytest.mark.parametrize("place", [2, 8])
def test_a_defect_of_ours_costs_the_account_and_no_byte(kind, place):
    class Defective(kind):  # type: ignore[misc, valid-type]
        seen = 0

        def _read_event(self, event):
            self.seen += 1
            if self.seen > place:
                raise RuntimeError
            return super()._read_event(event)

    whole = recording("completions_usage.sse").replace(b"\n\n", b"\r\n\r\n")
    passed = relay(Defective(METERS["completions"]), [whole[at : at + 100] for at in range(0, len(whole), 100)])
    assert passed == whole


PARTS = [
    "data:",
    " ",
    "\n",
    "\r",
    "\n\n",
    ": c",
    '{"usage":',
    '"choices":[{',
    '"error"',
    "}",
    "]",
    '"finish_reason":"',
    "é",
]


@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join), st.integers(0, 40), st.booleans())
def test_nothing_is_odd_enough_to_change_a_stream(text, cut, hide):
    odd = text.encode()
    meter = meter_for("chat", hide_usage=hide)
    assert relay(meter, [ROLE, word("a"), odd[:cut], odd[cut:]]) == ROLE + word("a") + odd


# --- Long events -----------------------------------------------------------------------------------------------------


def test_a_response_may_end_with_its_whole_text():
    whole = recording("responses.sse")
    long = whole.replace(b'"instructions":null', b'"instructions":"%b"' % (b"x" * 100_000))
    meter = stream("responses.sse", in_reads(long))
    assert tokens(meter.usage(REQUEST)) == (13, 8, "reported")


def test_a_response_may_begin_with_the_tools_of_the_client():
    forged = b'"tools":[{"usage":{"input_tokens":999,"output_tokens":1}},"%b"]' % (b"x" * 100_000)
    meter = stream("responses.sse", in_reads(recording("responses.sse").replace(b'"tools":[]', forged)))
    assert tokens(meter.usage(REQUEST)) == (13, 8, "reported")


def test_the_prompts_token_ids_may_come_first():
    ids = b'"prompt_token_ids":%b' % json.dumps(list(range(30_000))).encode()
    long = recording("chat_usage.sse").replace(b'"prompt_token_ids":null', ids)
    assert tokens(stream("chat.sse", in_reads(long)).usage(REQUEST)) == (13, 12, "reported")


def test_a_long_event_counts_as_one_token():
    events = in_reads(ROLE + word("a") + word("x" * 100_000) + word("b"))
    assert stream("chat.sse", events).usage(REQUEST).completion_tokens == 3
