"""How the figures at the top went by the hour, as far as what is read for the rest of the page says it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.account.endings import failed_of
from gateway.admin_pages.home.chart import total
from gateway.admin_pages.home.day import CALLS, COMPLETION, CUT, ERRORS, PROMPT, REFUSED, Hours, Sums

_MEASURES: dict[str, tuple[str, Callable[[Sums], int]]] = {
    "Calls": ("Calls", lambda sums: sums[CALLS]),
    "Failed": ("Failed calls", lambda sums: failed_of(sums[ERRORS], sums[REFUSED], sums[CUT])),
    "Tokens": ("Tokens", lambda sums: sums[PROMPT] + sums[COMPLETION]),
}


@dataclass(frozen=True, slots=True)
class Trend:
    """One figure in each whole hour, the oldest first, and what that says to who cannot see it drawn."""

    values: tuple[int, ...]
    told: str


def trends(hours: Hours) -> dict[str, Trend]:
    """Those of the tiles by their names; none of what never happened. The hour that runs is left out: drawn beside
    whole ones it would always look like a fall."""
    sums = [total(part) for _, part in hours[:-1]]
    found = {}
    for name, (words, measure) in _MEASURES.items():
        values = tuple(map(measure, sums))
        if any(values):
            span = f"{min(values):,} to {max(values):,}, at last {values[-1]:,}"
            found[name] = Trend(values, f"{words} by the hour, last {len(values)} hours: {span}")
    return found
