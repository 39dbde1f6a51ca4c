"""The chart of the last 24 hours: calls, errors or tokens, in all, by model or by key. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from gateway.admin_pages.home.day import CALLS, COMPLETION, ERRORS, PROMPT, REFUSED, Hour, Part, Sums, added

FIGURES = {"calls": "Calls", "errors": "Errors", "tokens": "Tokens"}
PARTS = {"all": "In all", "model": "By model", "key": "By key"}
MOST_SERIES = 7  # and one for the others: the stylesheet has eight colours
OTHERS = "others"

Measure = Callable[[Sums], int]
_UNITS = {"calls": "calls", "errors": "calls", "tokens": "tokens"}
_MEASURES: dict[str, Measure] = {
    "calls": lambda sums: sums[CALLS],
    "errors": lambda sums: sums[ERRORS] - sums[REFUSED],
    "tokens": lambda sums: sums[PROMPT] + sums[COMPLETION],
}
_COLOURS = {"answered": 1, "failed": 6, "refused": 5}  # of the stylesheet's eight
_IN_ALL: dict[str, dict[str, Measure]] = {
    "calls": {
        "answered": lambda sums: sums[CALLS] - sums[ERRORS],
        "failed": _MEASURES["errors"],
        "refused": lambda sums: sums[REFUSED],
    },
    "errors": {"failed": _MEASURES["errors"], "refused": lambda sums: sums[REFUSED]},
    "tokens": {"prompt": lambda sums: sums[PROMPT], "completion": lambda sums: sums[COMPLETION]},
}


def chosen(value: str | None, choices: Mapping[str, str]) -> str:
    """One of the choices; the first where it is none."""
    return value if value in choices else next(iter(choices))


def data(hours: list[tuple[datetime, Hour]], figure: str, by: str, name: Callable[[list[Any]], dict[Any, str]]) -> Any:
    """The chart as `{% chart %}` takes it. `name` tells what values of the dimension are called."""
    series = _in_all(hours, figure) if by == "all" else _by(hours, figure, by, name)
    is_empty = not any(any(one["values"]) for one in series)
    return {
        "x": [] if is_empty else [int(hour.timestamp()) for hour, _ in hours],
        "series": [] if is_empty else series,
        "stacked": True,
        "kind": "bars",
    }


def _in_all(hours: list[tuple[datetime, Hour]], figure: str) -> list[dict[str, Any]]:
    totals = [total(hour.models) for _, hour in hours]
    series = [_series(name, figure, list(map(measure, totals))) for name, measure in _IN_ALL[figure].items()]
    return [{**one, "colour": _COLOURS[one["name"]]} if one["name"] in _COLOURS else one for one in series]


def _by(
    hours: list[tuple[datetime, Hour]], figure: str, by: str, name: Callable[[list[Any]], dict[Any, str]]
) -> list[dict[str, Any]]:
    measure, parts = _MEASURES[figure], [hour.by(by) for _, hour in hours]
    sums = {value: measure(of_day) for value, of_day in added(parts).items()}
    most = [value for value in sorted(sums, key=lambda value: sums[value], reverse=True) if sums[value]]
    shown = most[:MOST_SERIES]
    names = name(shown)
    series = [_series(names[value], figure, [_of(part, value, measure) for part in parts]) for value in shown]
    if len(most) > MOST_SERIES:
        rest = [measure(total(part)) - sum(_of(part, value, measure) for value in shown) for part in parts]
        series.append(_series(OTHERS, figure, rest))
    return series


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
