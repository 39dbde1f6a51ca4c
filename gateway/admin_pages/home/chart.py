"""The chart of the last 24 hours: calls, failed or refused ones, or tokens, in all, by model or by key. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway.account.endings import failed_of
from gateway.admin_pages.home.day import CALLS, COMPLETION, CUT, ERRORS, PROMPT, REFUSED, Hours, Part, Sums, added

FIGURES = {"calls": "Calls", "failed": "Failed", "refused": "Refused", "tokens": "Tokens"}
PARTS = {"all": "In all", "model": "By model", "key": "By key"}
MOST_SERIES = 7  # and one for the others: the stylesheet has eight colours
OTHERS = "others"

Measure = Callable[[Sums], int]
Names = Callable[[list[Any]], dict[Any, str]]
_UNITS = {"calls": "calls", "failed": "calls", "refused": "calls", "tokens": "tokens"}
_MEASURES: dict[str, Measure] = {
    "calls": lambda sums: sums[CALLS],
    "failed": lambda sums: failed_of(sums[ERRORS], sums[REFUSED], sums[CUT]),
    "refused": lambda sums: sums[REFUSED],
    "tokens": lambda sums: sums[PROMPT] + sums[COMPLETION],
}
COLOURS = {"answered": 1, "failed": 6, "refused": 5, "cut": 7}
"""How calls ended, and the one of the stylesheet's eight colours in which that is drawn everywhere."""
_IN_ALL: dict[str, dict[str, Measure]] = {
    "calls": {
        "answered": lambda sums: sums[CALLS] - sums[ERRORS],
        "failed": _MEASURES["failed"],
        "refused": _MEASURES["refused"],
        "cut": lambda sums: sums[CUT],
    },
    "failed": {"failed": _MEASURES["failed"]},
    "refused": {"refused": _MEASURES["refused"]},
    "tokens": {"prompt": lambda sums: sums[PROMPT], "completion": lambda sums: sums[COMPLETION]},
}


def chosen(value: str | None, choices: Mapping[str, str]) -> str:
    """One of the choices; the first where it is none."""
    return value if value is not None and value in choices else next(iter(choices))


def data(totals: Hours, figure: str, parts: Hours | None = None, names: Names = dict) -> dict[str, Any]:
    """The chart as `{% chart %}` takes it, divided by the values of `parts`; what these lack of `totals` are others."""
    series = _in_all(totals, figure) if parts is None else _divided(totals, figure, parts, names)
    is_empty = not any(any(one["values"]) for one in series)
    return {
        "x": [] if is_empty else [int(hour.timestamp()) for hour, _ in totals],
        "series": [] if is_empty else series,
        "stacked": True,
        "kind": "bars",
    }


def _in_all(totals: Hours, figure: str) -> list[dict[str, Any]]:
    sums = [total(part) for _, part in totals]
    series = [_series(name, figure, list(map(measure, sums))) for name, measure in _IN_ALL[figure].items()]
    told = [one for one in series if one["name"] != "cut" or any(one["values"])]  # as few calls ever are
    return [{**one, "colour": COLOURS[one["name"]]} if one["name"] in COLOURS else one for one in told]


def _divided(totals: Hours, figure: str, parts: Hours, names: Names) -> list[dict[str, Any]]:
    measure = _MEASURES[figure]
    sums = {value: measure(of_day) for value, of_day in added(part for _, part in parts).items()}
    most = sorted((value for value in sums if sums[value]), key=lambda value: sums[value], reverse=True)
    shown = most[:MOST_SERIES]
    named = names(shown)
    series = [_series(named[value], figure, [_of(part, value, measure) for _, part in parts]) for value in shown]
    rest = [measure(total(part)) for _, part in totals]
    for one in series:
        # A call may be counted between two queries: there are never fewer than none.
        rest = [max(0, left - value) for left, value in zip(rest, one["values"], strict=True)]
    return [*series, {**_series(OTHERS, figure, rest), "colour": 8}] if any(rest) else series


def total(part: Part) -> Sums:
    """The sums of all values."""
    return _plus(part.values())


def _plus(rows: Iterable[Sums]) -> Sums:
    sums = [0] * (COMPLETION + 1)
    for row in rows:
        for place, count in enumerate(row):
            sums[place] += count
    return sums


def _of(part: Part, value: Any, measure: Measure) -> int:
    sums = part.get(value)
    return measure(sums) if sums else 0


def _series(name: str, figure: str, values: list[int]) -> dict[str, Any]:
    return {"name": name, "unit": _UNITS[figure], "values": values}
