"""What we read from a request's body: model, stream, user and stream_options, and nothing else; and what we change
in it: the model's name where it is an alias, and the wish for usage where the meter needs it. Byte for byte the rest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from gateway.body.json_scan import METADATA, WANTED
from gateway.body.request_body import RequestBody
from gateway.body.scan import Edit, Fields, FormScanner, JsonScanner, add_model, apply, ask_for_usage, replace_model
from gateway.errors import DuplicateModel
from gateway.routes import Match
from upstreams.client import Body

# The routes whose streams tell their usage only when asked (vLLM: stream_options.include_usage).
_USAGE_ON_REQUEST = {"chat", "completions"}
MOST_PARSED = 1_000_000
"""Bytes of a body that is read a second time, to count its prompts."""


@dataclass(frozen=True, slots=True)
class ParsedCall:
    """A request's body as the gateway understands it. `fields` is None where there was nothing to read."""

    body: RequestBody
    match: Match
    fields: Fields | None

    @property
    def model(self) -> str | None:
        """The model that the body names; None when it names none or cannot be read for certain."""
        return self.fields.model if self.fields is not None and self.fields.readable else None

    @property
    def is_readable(self) -> bool:
        """Whether what the body says is certain: then a missing model really is missing."""
        return self.fields is None or self.fields.readable

    @property
    def user(self) -> str | None:
        """The end user that the body names."""
        return self.fields.user if self.fields is not None else None

    @property
    def max_tokens(self) -> int | None:
        """How many tokens may be written for each choice; None where the body does not say."""
        return self.fields.max_tokens if self.fields is not None else None

    @property
    def choices(self) -> int:
        """How many answers are asked for, each of which is written."""
        return self.fields.choices if self.fields is not None else 1

    @property
    def prompts(self) -> int:
        """How many prompts the body holds: `/v1/completions` takes a list of them."""
        if self.match.meter != "completions" or self.body.length > MOST_PARSED:
            return 1
        return prompts_in(b"".join(self.body.read_range(0, self.body.length)))

    @property
    def streams(self) -> bool:
        """Whether the body asks for a stream."""
        return self.fields is not None and self.fields.readable and self.fields.streaming

    def edits(self, served_name: str | None, *, adds: bool = False) -> tuple[list[Edit], bool]:
        """What is changed for an upstream that knows the model as `served_name` (None: by the name in the body),
        and whether usage was asked for on the client's behalf. `adds`: a body that names no model gets it."""
        fields = self.fields
        if fields is None or not fields.readable:
            return [], False
        edits = []
        if served_name is not None and (fields.model is not None or adds):
            splice = add_model if fields.model is None else replace_model
            edits.append(splice(fields, served_name))
        wish = ask_for_usage(fields) if self.match.meter in _USAGE_ON_REQUEST and fields.streaming else None
        if wish is not None:
            edits.append(wish)
        return edits, wish is not None

    def outgoing(self, edits: list[Edit]) -> tuple[Body, int]:
        """The body to send, with the edits made, and its length in bytes."""
        if not edits:
            return self.body.whole(), self.body.length
        segments = self.body.segments(apply(edits, self.body.length))
        held = self.body.held
        return (b"".join(segments) if held is not None else segments), len(segments)


def scanner_for(match: Match, content_type: str) -> JsonScanner | FormScanner:
    """What reads the body of this route: vLLM parses forms on the speech routes and JSON on all others."""
    if match.form:
        return FormScanner(content_type)
    return JsonScanner(WANTED | {METADATA}) if match.meter == "messages" else JsonScanner()


def prompts_in(data: bytes) -> int:
    """How many prompts the body of a completion holds: a list of texts, or of lists of tokens, is several."""
    if b'"prompt"' not in data:
        return 1
    try:
        prompt = json.loads(data).get("prompt")
    except (ValueError, AttributeError, RecursionError):
        return 1
    return len(prompt) if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list) else 1


def parse(body: RequestBody, match: Match, scanner: JsonScanner | FormScanner) -> ParsedCall:
    """The call in a body that the scanner has seen wholly. Raises DuplicateModel."""
    fields = scanner.finish() if body.length else None
    if fields is not None and fields.duplicate_model:
        raise DuplicateModel
    return ParsedCall(body, match, fields)


def parse_bytes(data: bytes, match: Match) -> ParsedCall:
    """The call in a body of ours. Raises DuplicateModel."""
    scanner = JsonScanner()
    scanner.feed(data)
    return parse(RequestBody(data=data), match, scanner)
