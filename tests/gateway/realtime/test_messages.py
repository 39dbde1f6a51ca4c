"""Messages of a realtime session: which model a client's names, and what a server's says of tokens."""

from __future__ import annotations

import json

import pytest

from gateway.metering.usage import Usage
from gateway.realtime.messages import judge, total_of, usage_in
from keys.errors import ModelDenied


def served_name(model: str) -> str:
    if model in {"forbidden", ""}:
        raise ModelDenied(model)
    return {"alias": "served"}.get(model, model)


def judged(text: str) -> tuple[str | None, str | None, bool]:
    result = judge(text, served_name)
    return result.passed, json.loads(result.refused)["code"] if result.refused else None, result.error is not None


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"input_audio_buffer.commit"}',
        '{ "type" : "session.update", "model": "allowed" }',
        '{"type":"session.update","model":null}',
        '{"nested":{"model":"forbidden"}}',
        json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 1_000_000}),
        '{"text":"\u00e9\\ud83d"}',
    ],
)
def test_what_names_no_other_model_passes_as_it_is(text: str) -> None:
    assert judged(text) == (text, None, False)


def test_an_alias_is_replaced_and_nothing_else() -> None:
    text = '{"model" : "alias","x":"\\u0061", "y":[1.0]}'
    assert judged(text) == (text.replace("alias", "served"), None, False)


@pytest.mark.parametrize(
    "text", ['{"model":"forbidden"}', '{"model":""}', '{"mod\\u0065l":"forbidd\\u0065n","type":"session.update"}']
)
def test_a_model_that_may_not_be_used_ends_the_session(text: str) -> None:
    assert judged(text) == (None, "model_not_allowed", True)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"model":1}', '{"model":false}', '{"model":"a","model":"forbidden"}'])
def test_what_cannot_be_read_for_certain_does_not_pass(text: str) -> None:
    assert judged(text) == (None, "invalid_json", False)


def test_tokens_are_read_where_a_message_reports_them() -> None:
    done = '{"type":"transcription.done","text":"a","usage":{"prompt_tokens":3,"completion_tokens":2}}'
    assert usage_in(done) == Usage(3, 2, source="reported")
    assert usage_in('{"type":"transcription.delta","delta":"\\"usage\\""}') is None
    assert usage_in('"usage"') is None


def test_each_utterance_has_a_prompt_of_its_own() -> None:
    assert total_of([Usage(3, 2, source="reported"), Usage(4, 1, cached_tokens=1, source="reported")]) == Usage(
        7, 3, cached_tokens=1, source="reported"
    )
    assert total_of([]) is None
