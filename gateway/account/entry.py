"""The entry of a call: the dictionary that the relay journals and that becomes a row of the request log.

Names and lengths of its fields, and how foreign values are made fit to be stored. Knows neither journal nor
table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

Entry = dict[str, Any]


class Outcome(StrEnum):
    """How a call ended."""

    COMPLETED = "completed"
    CLIENT_DISCONNECTED = "client_disconnected"
    UPSTREAM_FAILED = "upstream_failed"
    REFUSED = "refused"
    REVOKED = "revoked"
    DRAINED = "drained"
    GATEWAY_FAILED = "gateway_failed"
    LOST = "lost"


class UsageSource(StrEnum):
    """Where a call's token counts come from; `none` is a route that has no meter."""

    REPORTED = "reported"
    ESTIMATED = "estimated"
    UNKNOWN = "unknown"
    NONE = "none"


# The greatest length of each text, in characters. The roll-ups' unique index holds user, end user and model
# together; PostgreSQL refuses an index entry of more than 2,704 bytes.
MAX_LENGTHS = {
    "call_id": 36,
    "request_id": 128,
    "key_name": 200,
    "user_id": 128,
    "team_id": 64,
    "end_user": 128,
    "model": 200,
    "served_model": 200,
    "upstream_name": 100,
    "method": 16,
    "route": 200,
    "endpoint_class": 32,
    "outcome": 32,
    "usage_source": 16,
    "client_address": 64,
    "user_agent": 200,
    "error_type": 64,
    "error_text": 500,
    "cost": 40,
}
MAX_TAGS = 10
MAX_TAG_LENGTH = 64

_COUNTS = {
    "status": 999,
    "prompt_tokens": 2**31 - 1,
    "completion_tokens": 2**31 - 1,
    "cached_tokens": 2**31 - 1,
    "reasoning_tokens": 2**31 - 1,
    "key_id": 2**63 - 1,
    "secret_id": 2**63 - 1,
    "upstream_id": 2**63 - 1,
    "bytes_in": 2**63 - 1,
    "bytes_out": 2**63 - 1,
    "attempts": 2**15 - 1,
}
_MEASURES = ("ttft_ms", "inter_token_ms", "queue_ms")

# The order of the values in a journal's lines, which are written without names: it costs the relay a third less.
# A line may be read by a newer or an older release: new names go to the end, and none is ever moved or removed.
# An admission says what a row of the outcome "lost" can tell. `spend` is what budgets are told of the call (of one that
# is lost, all that it had reserved): [counter, amount, seconds until the counter's window ends] each.
_ADMITTED_FIRST = (
    "call_id",
    "request_id",
    "received_at",
    "key_id",
    "key_name",
    "user_id",
    "end_user",
    "model",
    "served_model",
    "upstream_id",
    "upstream_name",
    "method",
    "route",
    "endpoint_class",
    "streaming",
    "bytes_in",
    "client_address",
    "user_agent",
    "tags",
)
ADMITTED_FIELDS = (*_ADMITTED_FIRST, "team_id", "spend")
FIELDS = (
    *_ADMITTED_FIRST,
    "head_at",
    "first_token_at",
    "ended_at",
    "status",
    "outcome",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "usage_source",
    "cost",
    "ttft_ms",
    "inter_token_ms",
    "bytes_out",
    "error_type",
    "error_text",
    "secret_id",
    "attempts",
    "queue_ms",
    "team_id",
    "spend",
    "shadowed",
    "decisions",
)

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def clean_text(text: str, max_length: int) -> str:
    """The text, at most `max_length` characters, with U+FFFD where it holds a NUL or a lone surrogate.

    PostgreSQL stores neither, and a lone surrogate cannot be written as UTF-8.
    """
    text = text[:max_length]
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def clean(entry: Mapping[str, Any]) -> Entry:
    """A copy of the entry that every database accepts.

    Texts are cleaned and cut, numbers out of range become None (not known). Call it once, when the entry is
    built. Fields that it does not know are kept.
    """
    fit = dict(entry)
    for name, max_length in MAX_LENGTHS.items():
        value = fit.get(name)
        if value is None or (type(value) is str and len(value) <= max_length and value.isascii() and "\0" not in value):
            continue  # nearly always: the rest costs a call of a function each
        fit[name] = clean_text(value if type(value) is str else str(value), max_length)
    for name, most in _COUNTS.items():
        value = fit.get(name)
        if value is not None and not (type(value) is int and 0 <= value <= most):
            fit[name] = None
    for name in _MEASURES:
        value = fit.get(name)
        if value is not None and not math.isfinite(value):
            fit[name] = None
    fit["tags"] = _clean_tags(fit.get("tags") or ())
    return fit


def _clean_tags(tags: Any) -> list[str]:
    texts = (clean_text(tag, MAX_TAG_LENGTH) for tag in tags if isinstance(tag, str) and tag)
    return list(dict.fromkeys(texts))[:MAX_TAGS]
