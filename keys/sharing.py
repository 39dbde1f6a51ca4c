"""One object for equal values, since every process holds all keys, and most of them are alike in most things."""

from __future__ import annotations

import json
from collections.abc import Hashable
from functools import lru_cache
from typing import Any, TypeVar

MOST = 50_000
LONGEST_SHARED = 200
T = TypeVar("T", bound=Hashable)

_known: dict[Any, Any] = {}


def shared(value: T) -> T:
    """The value itself, or an equal one that was seen before."""
    known = _known.setdefault((type(value), value), value)
    if len(_known) > MOST:
        _known.clear()
    return known  # type: ignore[no-any-return]


def parsed(text: str | None) -> Any:
    """What a column of JSON holds. Read it only: equal texts give the same object."""
    if text is None or len(text) > LONGEST_SHARED:
        return None if text is None else json.loads(text)
    return _parsed(text)


@lru_cache(maxsize=MOST)
def _parsed(text: str) -> Any:
    return json.loads(text)
