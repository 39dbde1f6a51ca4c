"""The model that a call's address names: `?model=` of the query. Pure."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_plus

_IN_QUERY = re.compile(r"(?:^|(?<=&))model=([^&]*)")


def in_query(query: str) -> str | None:
    """The value of `model` in a raw query; None without one, or an empty one. The last one holds, as in vLLM."""
    values = _IN_QUERY.findall(query)
    return unquote_plus(values[-1]) or None if values else None


def replaced(raw_target: str, model: str) -> str:
    """The raw target with another `model` in its query, and all else as it was."""
    path, mark, query = raw_target.partition("?")
    return path + mark + _IN_QUERY.sub(lambda _: f"model={quote(model, safe='')}", query)
