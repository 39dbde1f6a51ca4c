"""What the gateway reads from request bodies, and the two changes it makes to them, spliced into the bytes.

The scanners (`json_scan`, `form_scan`) find where values stand; here edits are made of that, and a body is cut into
the pieces that go upstream, so that one on disk is sent without being copied.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote_plus

from gateway.body.fields import UNREADABLE, Fields, Span, is_true
from gateway.body.form_scan import FormScanner
from gateway.body.json_scan import JsonScanner

__all__ = [
    "UNREADABLE",
    "Edit",
    "Fields",
    "FormScanner",
    "JsonScanner",
    "Segment",
    "add_model",
    "apply",
    "apply_bytes",
    "ask_for_usage",
    "edited_length",
    "is_true",
    "replace_model",
]

Segment = Span | bytes
"""A piece of the body to send: a (start, end) range of the original, or bytes of ours."""

_ASK = b'"stream_options":{"include_usage":true}'


@dataclass(frozen=True, slots=True)
class Edit:
    """Bytes `start` to `end` of a body become `replacement`."""

    start: int
    end: int
    replacement: bytes


def replace_model(fields: Fields, served_name: str) -> Edit:
    """The edit that makes `served_name` the body's model. Raises ValueError when the body has no model to replace."""
    if fields.model_span is None:
        raise ValueError("The body has no model.")
    if fields.kind == "json":
        written = json.dumps(served_name)
    else:
        written = quote_plus(served_name) if fields.kind == "urlencoded" else served_name
    return Edit(*fields.model_span, written.encode())


def add_model(fields: Fields, served_name: str) -> Edit:
    """The edit that gives a JSON body a model where it names none. Raises ValueError for any other body."""
    if fields.model_span is not None:  # null, or ""
        return replace_model(fields, served_name)
    if fields.after_brace is None:
        raise ValueError("The body has no place for a model.")
    field = f'"model":{json.dumps(served_name)}' + ("" if fields.empty else ",")
    return Edit(fields.after_brace, fields.after_brace, field.encode())


def ask_for_usage(fields: Fields) -> Edit | None:
    """The edit that makes vLLM report usage at the end of a stream (JSON bodies of chat and completions).

    None when the caller asked for it, or when the body is not one whose stream_options we understand: vLLM refuses
    those. Usage in every chunk stays off unless it was on, which it only is together with `include_usage`.
    """
    if fields.after_brace is None or fields.include_usage:
        return None
    options, span = fields.stream_options, fields.stream_options_span
    if span is None:
        return Edit(fields.after_brace, fields.after_brace, _ASK + (b"" if fields.empty else b","))
    if options is not None and not isinstance(options, dict):
        return None
    merged = {**(options or {}), "include_usage": True}
    if is_true(merged.get("continuous_usage_stats")):
        del merged["continuous_usage_stats"]
    return Edit(*span, json.dumps(merged, separators=(",", ":")).encode())


def apply(edits: Iterable[Edit], total_length: int) -> list[Segment]:
    """What to send in place of a body of `total_length` bytes, piece after piece. The edits must not overlap."""
    segments: list[Segment] = []
    position = 0
    for edit in sorted(edits, key=lambda edit: edit.start):
        if edit.start > position:
            segments.append((position, edit.start))
        if edit.replacement:
            segments.append(edit.replacement)
        position = edit.end
    if position < total_length:
        segments.append((position, total_length))
    return segments


def edited_length(edits: Iterable[Edit], total_length: int) -> int:
    """Bytes of the body after the edits."""
    return total_length + sum(len(edit.replacement) - (edit.end - edit.start) for edit in edits)


def apply_bytes(body: bytes, edits: Iterable[Edit]) -> bytes:
    """The whole body after the edits."""
    return b"".join(
        segment if isinstance(segment, bytes) else body[slice(*segment)] for segment in apply(edits, len(body))
    )
