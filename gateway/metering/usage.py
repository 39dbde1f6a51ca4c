"""How many tokens a call used, and how that is known.

Reads the usage objects of the OpenAI, Anthropic and Cohere dialects that vLLM speaks. Knows nothing of streams,
bodies or bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Source = Literal["reported", "estimated", "unknown", "none"]

_MOST = 2**31 - 1  # what a column holds; a larger count is nonsense
_BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, None where a number is not known.

    `source` is where they come from: reported (the upstream said so), estimated (counted from events and bytes),
    unknown (something was used, nobody said how much), none (nothing to account for: the call was refused, or
    its route uses no tokens). `prompt_tokens` includes the cached ones, `completion_tokens` the reasoning.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    source: Source = "unknown"


UNKNOWN = Usage()
NONE = Usage(source="none")


def read_report(report: object) -> Usage | None:
    """What a usage object says, in any of the dialects; None when it holds no token count.

    Anthropic's `input_tokens` leaves cached ones out, so they are added again. Whisper's
    `{"type":"duration","seconds":2}` counts no tokens.
    """
    if not isinstance(report, Mapping):
        return None
    if isinstance(nested := report.get("tokens", report.get("billed_units")), Mapping):
        return _read_cohere(report, nested)
    prompt = _first(report, "prompt_tokens", "input_tokens")
    completion = _first(report, "completion_tokens", "output_tokens")
    if prompt is None and completion is None:
        return None
    cached = _first(_details(report, "prompt_tokens_details", "input_tokens_details"), "cached_tokens")
    reasoning = _first(_details(report, "completion_tokens_details", "output_tokens_details"), "reasoning_tokens")
    if (cache_read := _first(report, "cache_read_input_tokens")) is not None:
        cached = cache_read
        prompt = _sum(prompt, cache_read, _first(report, "cache_creation_input_tokens"))
    if completion is None:
        completion = max((_first(report, "total_tokens") or 0) - (prompt or 0), 0)
    return Usage(prompt, completion, cached, reasoning, "reported")


def _read_cohere(report: Mapping[str, Any], counts: Mapping[str, Any]) -> Usage | None:
    """Cohere's `{"tokens":{…},"cached_tokens":…}` (chat) and `{"billed_units":{…}}` (embed, images apart)."""
    prompt = _first(counts, "input_tokens")
    if prompt is None:
        return None
    prompt = _sum(prompt, _first(counts, "image_tokens"))
    return Usage(prompt, _first(counts, "output_tokens") or 0, _first(report, "cached_tokens"), None, "reported")


def read_count(body: Mapping[str, Any]) -> Usage | None:
    """The answer of a tokenizer: `count`, `input_tokens` (Anthropic's count_tokens) or a list of `tokens`."""
    count = _first(body, "count", "input_tokens")
    if count is None and isinstance(tokens := body.get("tokens"), list):
        count = len(tokens)
    return None if count is None else Usage(count, 0, source="reported")


def sum_of(usages: Iterable[Usage]) -> Usage:
    """One usage of a call whose choices report apart: they share the prompt and each have their completion."""
    reports = list(usages)
    completion = sum(usage.completion_tokens or 0 for usage in reports)
    reasoning = [usage.reasoning_tokens for usage in reports if usage.reasoning_tokens is not None]
    return replace(reports[-1], completion_tokens=completion, reasoning_tokens=sum(reasoning) if reasoning else None)


def estimate_prompt(request_bytes: int) -> int:
    """Prompt tokens guessed from the size of the request's body: four bytes a token, JSON around it included.

    That is near the truth for English prose, too low for other scripts, too high for very short prompts.
    """
    return min(-(-request_bytes // _BYTES_PER_TOKEN), _MOST)


def _details(report: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return next((value for name in names if isinstance(value := report.get(name), Mapping)), {})


def _first(counts: Mapping[str, Any], *names: str) -> int | None:
    return next((count for name in names if (count := _whole(counts.get(name))) is not None), None)


def _whole(value: object) -> int | None:
    """A count as an int (Cohere writes floats), or None for what cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= _MOST and value == int(value) else None


def _sum(*counts: int | None) -> int:
    return min(sum(count or 0 for count in counts), _MOST)
