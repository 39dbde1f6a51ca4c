"""Who is behind a call, as its headers say. Pure.

In this order; where no header says it, the body's `user`, `safety_identifier` or (Anthropic) `metadata.user_id` does.
The Open WebUI headers are what it sends with `ENABLE_FORWARD_USER_INFO_HEADERS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from gateway.account.entry import MAX_LENGTHS, clean_text

HEADERS = (
    "x-end-user-id",
    "x-litellm-end-user-id",
    "x-litellm-customer-id",
    "x-openwebui-user-email",
    "x-openwebui-user-id",
    "x-openwebui-user-name",
)
_KEYS = tuple(f"HTTP_{name.upper().replace('-', '_')}" for name in HEADERS)


def named_in(environ: Mapping[str, object]) -> str | None:
    """The end user that the first filled header names; None where none does."""
    for key in _KEYS:
        value = environ.get(key)
        if isinstance(value, str) and value.strip():
            text = unquote(value.strip()) if key.startswith("HTTP_X_OPENWEBUI") else value.strip()
            return clean_text(text, MAX_LENGTHS["end_user"])
    return None
