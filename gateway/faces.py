"""The addresses under which calls come in: one pass-through, three faces."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

_NAMED = re.compile(r"/upstreams/([^/?#]+)")


@dataclass(frozen=True, slots=True)
class Face:
    """How calls come in.

    `prefix` is what is cut off the raw target. `verbatim`: what the upstream says passes as it is. `upstream` is the
    upstream that the address names.
    """

    name: str
    prefix: str
    verbatim: bool
    upstream: str | None = None


VLLM = Face("vllm", "/vllm", verbatim=True)
OPENAI = Face("openai", "", verbatim=False)


def upstream_face(raw_target: str) -> Face:
    """The face of `/upstreams/<name>/…`; the name may be percent-encoded."""
    named = _NAMED.search(raw_target)
    if named is None:
        return Face("upstream", "/upstreams", verbatim=True, upstream="")
    return Face("upstream", f"/upstreams/{named[1]}", verbatim=True, upstream=unquote(named[1]))
