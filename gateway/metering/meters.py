"""The meters by the names that `gateway.routes` uses, and which of them an answer gets.

A meter keeps the account of tokens of one call. It changes no byte but one thing: the usage event that the gateway
asked for on the client's behalf is taken out again.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.metering.answers import usage_of
from gateway.metering.plain_meter import Meter, PlainMeter, Shape
from gateway.metering.sse import parse_object
from gateway.metering.stream_meter import HidingMeter, StreamMeter
from gateway.metering.usage import NONE, UNKNOWN, Usage

_CHOICES = Shape()
_POOLING = Shape(generates=False)
_SPEECH = Shape(text_prompt=False)

METERS: Mapping[str, Shape] = {
    "chat": _CHOICES,
    "completions": _CHOICES,
    "responses": Shape(mark=b".delta\n", echoes=True),
    "messages": Shape(mark=b"content_block_delta\n"),
    "generate": _CHOICES,
    "cohere": Shape(mark=b'-delta","'),
    "invocations": _CHOICES,
    "transcriptions": _SPEECH,
    "translations": _SPEECH,
    "embeddings": _POOLING,
    "v2_embed": Shape(key="meta", generates=False),
    "score": _POOLING,
    "rerank": _POOLING,
    "classify": _POOLING,
    "pooling": _POOLING,
    "generative_scoring": _POOLING,
    "systemone": Shape(echoes=True),  # its answers stand under names that the client chose, "usage" perhaps
    "tokenize": Shape(key="count", generates=False),
}


def make_meter(
    name: str | None,
    *,
    streaming: bool,
    hide_usage: bool,
    status: int,
    content_type: str,
    headers: Mapping[str, str] | None = None,
    fingerprint: str | None = None,
) -> Meter:
    """The meter for one response.

    `name` is a key of METERS, or None for a route without an account; `streaming` whether the response is
    `text/event-stream`; `hide_usage` whether the gateway put `include_usage` into the request of a client that
    had not; `headers` the response's, names in any case; `fingerprint` the last one that a meter of this
    upstream had. A call that was refused (status 300 and above) used nothing that anybody knows: source "none".
    """
    shape = METERS.get(name or "")
    if shape is None or not 200 <= status < 300:
        return Meter(NONE)
    fields = {field.lower(): value for field, value in (headers or {}).items()}
    if fields.get("content-encoding", "identity").lower() not in ("", "identity"):
        return Meter(UNKNOWN)
    if streaming:
        return HidingMeter(shape, fingerprint) if hide_usage else StreamMeter(shape)
    if content_type and "json" not in content_type.lower():
        return Meter(_from_metadata(fields.get("metadata", "")))
    return PlainMeter(shape)


def _from_metadata(metadata: str) -> Usage:
    """The usage of an embeddings body in bytes, which vLLM tells in a header (`encoding_format` is "bytes")."""
    return usage_of(parse_object(metadata.encode(errors="replace")) or {}) or UNKNOWN
