"""How a prompt begins, as it stands in the body: enough to send prompts that begin alike to one server."""

from __future__ import annotations

import re

from gateway.body.request_body import RequestBody

LOOKED_AT = 65_536
_PROMPT = re.compile(rb'"(?:messages|prompt|input)"\s*:\s*')


def prompt_prefix(body: RequestBody, most: int) -> bytes:
    """The first `most` bytes of the prompt's JSON; b"" where none stands in the first 64 kB.

    Only a hint: what looks like a prompt and is none (in another field's text) costs a cache hit at worst.
    """
    head = b"".join(body.read_range(0, min(LOOKED_AT, body.length)))
    found = _PROMPT.search(head)
    return head[found.end() : found.end() + most] if found else b""
