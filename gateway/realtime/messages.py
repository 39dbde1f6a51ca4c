"""What is read from messages: the model in a client's, the tokens in a server's. Pure.

vLLM takes the model from `session.update`, not from the address, so that is where it must be judged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from common.errors import GatewayError
from gateway.body.scan import JsonScanner, apply_bytes, replace_model
from gateway.metering.answers import usage_of
from gateway.metering.sse import parse_object
from gateway.metering.usage import Usage


@dataclass(frozen=True, slots=True)
class Judged:
    """What becomes of a client's message: `passed` to the upstream, or `refused` with an event for the client.

    With an `error` the session ends.
    """

    passed: str | None = None
    refused: str | None = None
    error: GatewayError | None = None


def judge(text: str, served_name: Callable[[str], str]) -> Judged:
    """Whether a client's message may pass; one that names a model by an alias is passed with the served name.

    `served_name` gives the name that the upstream knows for the one in the message, which may be empty: vLLM then takes
    the model that it has. It raises GatewayError for a model that may not be used. A message whose fields cannot be
    read for certain is not passed: vLLM might read a model in it.
    """
    data = text.encode("utf-8", "surrogatepass")
    scanner = JsonScanner()
    scanner.feed(data)
    fields = scanner.finish()
    if not fields.readable or fields.duplicate_model:
        return Judged(refused=error_event("The message is not a JSON object, or names two models.", "invalid_json"))
    if fields.model is None:
        return Judged(passed=text)
    try:
        served = served_name(fields.model)
    except GatewayError as error:
        return Judged(refused=error_event(error.message, "model_not_allowed"), error=error)
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


def total_of(usages: Iterable[Usage]) -> Usage | None:
    """What the utterances of a session used together, each of which has a prompt of its own; None without any."""
    reports = list(usages)
    if not reports:
        return None
    return Usage(
        prompt_tokens=_total(one.prompt_tokens for one in reports),
        completion_tokens=_total(one.completion_tokens for one in reports),
        cached_tokens=_total(one.cached_tokens for one in reports),
        reasoning_tokens=_total(one.reasoning_tokens for one in reports),
        source=reports[-1].source,
    )


def _total(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
