"""What LiteLLM's rows are in our words, and what of them cannot be carried over. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

TEAM, OWNER, END_USER, KEY, MODEL = "team", "owner", "end user", "virtual key", "model"
KINDS = (TEAM, OWNER, END_USER, KEY, MODEL)
"""In the order in which they are written."""

LONGEST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class OldSecret:
    """A secret that developers hold, as far as LiteLLM knows it. `expires_at`: the end of a rotation there."""

    digest: str = field(repr=False)
    last_four: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What LiteLLM says was spent, in units of `common.money`, in a window that ends then (None: never)."""

    units: int = 0
    resets_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One row there. `values` are the columns here; `source_id` is LiteLLM's own id, of a key its digest."""

    kind: str
    source_id: str = field(repr=False)
    name: str
    values: Mapping[str, Any]
    secrets: tuple[OldSecret, ...] = ()
    spent: Spent = Spent()


@dataclass(frozen=True, slots=True)
class Refused:
    """One row there that cannot be carried over, and why. `source_id` is LiteLLM's own id."""

    kind: str
    source_id: str = field(repr=False)
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something of a row that has no effect here, or another one."""

    kind: str
    name: str
    text: str


@dataclass(slots=True)
class Wishes:
    """All that was read."""

    source: str
    rows: list[Wanted] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def ids(self, kind: str) -> set[str]:
        """LiteLLM's ids of all rows of a kind, carried over or not."""
        both: list[Wanted | Refused] = [*self.rows, *self.refused]
        return {one.source_id for one in both if one.kind == kind}


def printable(text: object) -> str:
    """A name as a terminal may show it."""
    shown = "".join(character if character.isprintable() else "?" for character in str(text))
    return shown if len(shown) <= LONGEST_SHOWN else f"{shown[: LONGEST_SHOWN - 1]}…"
