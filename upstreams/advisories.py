"""Which known advisories concern a version of vLLM. The list is the file beside this one; nobody is asked. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SEVERITIES = ("critical", "high", "medium", "low")

_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)(.*)", re.DOTALL)
_BEFORE = re.compile(r"[._-]?(a|b|c|rc|alpha|beta|dev|pre)\d*")

Parsed = tuple[tuple[int, ...], int]


@dataclass(frozen=True, slots=True)
class Advisory:
    """One advisory. Versions from `introduced` (None: the first) until before `fixed` are affected.

    `severity` is one of SEVERITIES, None where the source does not state it; `source` is the address of the source.
    """

    id: str
    severity: str | None
    introduced: str | None
    fixed: str
    summary: str
    source: str

    def concerns(self, version: Parsed) -> bool:
        """Whether that version is affected."""
        first, end = parsed(self.introduced or "0"), parsed(self.fixed)
        return first is not None and end is not None and first <= version < end


@dataclass(frozen=True, slots=True)
class Advisories:
    """The list, and the day (ISO) of which it is."""

    as_of: str
    rows: tuple[Advisory, ...]

    def of(self, version: str) -> list[Advisory] | None:
        """Those that concern a version, the worst first; None when the version cannot be read."""
        known = parsed(version)
        if known is None:
            return None
        return sorted((one for one in self.rows if one.concerns(known)), key=_rank)


@cache
def known() -> Advisories:
    """The list that this gateway was shipped with."""
    told = json.loads(Path(__file__).with_name("advisories.json").read_text(encoding="utf-8"))
    return Advisories(told["as_of"], tuple(Advisory(**row) for row in told["advisories"]))


def remedy(found: Sequence[Advisory]) -> str:
    """The lowest version in which all of them are mended."""
    return max((one.fixed for one in found), key=lambda version: parsed(version) or ((), 0))


def parsed(version: str) -> Parsed | None:
    """A version to compare by: its numbers, then whether it comes before the release of these numbers (rc, dev)."""
    match = _VERSION.fullmatch(version.strip())
    if match is None:
        return None
    numbers = [int(part) for part in match[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), -1 if _BEFORE.match(match[2]) else 0


def _rank(advisory: Advisory) -> tuple[int, str]:
    place = SEVERITIES.index(advisory.severity) if advisory.severity in SEVERITIES else len(SEVERITIES)
    return place, advisory.id
