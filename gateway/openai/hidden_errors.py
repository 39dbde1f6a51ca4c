"""Errors that an upstream sends with status 200 become errors on `/v1`, with a status of their own.

What is looked at is the beginning of a JSON answer: an error is small and says so in its first fields. An answer that
does not begin like one passes as it comes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from django.http import HttpResponseBase

from gateway.exchange import Exchange
from gateway.metering.answers import status_of
from gateway.metering.sse import parse_object
from gateway.relay import RelayedAnswer
from gateway.responses.events import encoded

MOST_BYTES = 65_536
"""What an error may have; a larger answer is none."""

_FIRST_FIELDS = re.compile(
    rb'\s*\{\s*"(?:(?:error|detail|message|type|param|code)"|object"\s*(?:$|:\s*(?:$|"(?:$|e))))'
)


def pass_on(exchange: Exchange) -> HttpResponseBase:
    """The call, with an error that has status 200 told as one."""
    return tell(exchange, exchange.send())


def tell(exchange: Exchange, answer: RelayedAnswer) -> HttpResponseBase:
    """The answer, likewise."""
    response = answer.response
    if response.status != 200 or "json" not in response.header("content-type").lower():
        return exchange.pass_on(answer)
    try:
        begun = answer.peek()
        while begun and may_be_error(begun) and len(begun) <= MOST_BYTES:
            more = answer.peek()
            if more == begun:  # that was all
                break
            begun = more
    except BaseException:
        answer.close()
        raise
    error = error_in(begun) if may_be_error(begun) and len(begun) <= MOST_BYTES else None
    if error is None:
        return exchange.pass_on(answer)
    exchange.read_whole(answer)
    status, body = error
    return exchange.reply(answer, status, body)


def may_be_error(begun: bytes) -> bool:
    """Whether what has come of an answer may still turn out to be an error."""
    return len(begun.strip()) < 12 or _FIRST_FIELDS.match(begun) is not None


def error_in(body: bytes) -> tuple[int, bytes] | None:
    """Status and OpenAI's body of the error that a whole answer is; None when it is none.

    Knows `{"error": {…}}`, `{"error": "text"}`, `{"object": "error", …}` (vLLM before 0.10), `{"detail": …}` (FastAPI).
    """
    answer = parse_object(body)
    if answer is None:
        return None
    said: Any = None
    if answer.get("error"):
        said = answer["error"]
    elif answer.get("object") == "error":
        said = answer
    elif answer.get("detail") and len(answer) == 1:
        said = {"message": _text(answer["detail"])}
    if said is None:
        return None
    error: Mapping[str, Any] = said if isinstance(said, dict) else {"message": _text(said)}
    status = status_of(said, answer)
    told = {
        "message": _text(error.get("message") or "The upstream failed without a word."),
        "type": error.get("type") if isinstance(error.get("type"), str) else "upstream_error",
        "param": error.get("param"),
        "code": str(status),
    }
    return status, encoded({"error": told})


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
