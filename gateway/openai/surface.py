"""What the OpenAI face has, and where vLLM has it. Pure.

`/v1` is for programs that talk to models: the servers' own controls are not on it, and what vLLM cannot do at all is
said so at once.
"""

from __future__ import annotations

import re
from dataclasses import replace

from gateway.errors import NotOnThisFace, UnsupportedOperation
from gateway.paths import Target
from gateway.routes import SERVER_CONTROL, Match

WITHOUT_V1 = frozenset({"/v1/classify", "/v1/pooling", "/v1/tokenize", "/v1/detokenize"})
"""Paths that callers look for below /v1, and that vLLM has above it."""

_UNSUPPORTED = re.compile(r"(?:/v1)?/(?:images(?:/.*)?|audio/speech|files(?:/.*)?|batches(?:/.*)?|moderations)")


def placed(target: Target) -> Target:
    """The target where vLLM has it."""
    if target.route not in WITHOUT_V1:
        return target
    cut = len("/v1")
    return replace(target, raw=target.raw[cut:], path=target.path[cut:], route=target.route[cut:])


def check(target: Target, match: Match) -> None:
    """Raises UnsupportedOperation for what no vLLM can do, NotOnThisFace for what the servers' operators do."""
    if _UNSUPPORTED.fullmatch(target.route):
        raise UnsupportedOperation
    if match.endpoint_class == SERVER_CONTROL:
        raise NotOnThisFace
