"""What is read from messages: the model in a client's, the tokens in a server's. Pure.

vLLM takes the model from `session.update`, not from the address, so that is where it must be judged.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from gateway.body.scan import JsonScanner, apply_bytes, replace_model
from gateway.metering.answers import usage_of
from gateway.metering.sse import parse_object
from gateway.metering.usage import Usage


@dataclass(frozen=True, slots=True)
class Judged:
    """What becomes of a client's message: `passed` to the upstream, or `refused` with an event for the client."""

    passed: str | None = None
    refused: str | None = None
    ends: bool = False


def judge(text: str, may_use: Callable[[str], bool], served_name: Callable[[str], str]) -> Judged:
    """Whether a client's message may pass; one that names a model by an alias is passed with the served name.

    A message whose fields cannot be read for certain is not passed: vLLM might read a model in it.
    """
    data = text.encode("utf-8", "surrogatepass")
    scanner = JsonScanner()
    scanner.feed(data)
    fields = scanner.finish()
    if not fields.readable or fields.duplicate_model:
        return Judged(refused=error_event("The message is not valid JSON, or names two models.", "invalid_json"))
    if not fields.model:
        return Judged(passed=text)
    if not may_use(fields.model):
        return Judged(refused=error_event("The key may not use this model.", "model_not_allowed"), ends=True)
    served = served_name(fields.model)
    if served == fields.model:
        return Judged(passed=text)
    return Judged(passed=apply_bytes(data, [replace_model(fields, served)]).decode("utf-8", "surrogatepass"))


def error_event(sentence: str, code: str) -> str:
    """An event in the shape of vLLM's own."""
    return json.dumps({"type": "error", "error": sentence, "code": code})


def usage_in(text: str) -> Usage | None:
    """The tokens that a server's message reports (`transcription.done`); None where it reports none."""
    if '"usage"' not in text:
        return None
    message = parse_object(text.encode("utf-8", "replace"))
    return usage_of(message) if message is not None else None
