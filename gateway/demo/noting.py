"""What the demo's calls say of themselves (`gateway.account.decisions`): as the relay would have noted it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

from gateway.account.decisions import BY_MODEL, IN_MEMORY, with_refused
from gateway.account.entry import Entry
from gateway.demo.tables import Served
from gateway.faces import OPENAI
from keys.counters import Charge
from keys.durations import window
from keys.identity import Party
from keys.limit_values import Limits

_MINUTE = 60
RESETS = 30
"""Seconds until a minute ends of which a limit refuses a call."""


def refused(entry: Entry, parties: Iterable[Party], chance: Random, limit: str) -> dict[str, Any]:
    """Of a call that the gateway itself refused: its limits only where one of the key's did, which is `limit`."""
    noted = _beginning(chance)
    if limit:
        rows = list(_limits(entry, parties, chance, was_let_through=False))
        noted["limits"] = with_refused(rows, _refusal(next(row for row in rows if row[:2] == ("key", limit))))
    return noted


def _refusal(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """The row of a limit of which all was in use, in the words of `keys.counters`."""
    kind, limit, model, unit, ceiling, _, taken, ends, *_ = row
    is_budget = unit == "usd"
    seconds = float(ends) if is_budget else RESETS
    charge = Charge("", taken, ceiling, seconds=seconds, limit=limit, unit=unit, kind=kind, model=model)
    told: tuple[Any, ...] = charge.exceeded(ceiling, seconds).told["limit"]
    return told


def served(
    entry: Entry, place: Served, places: Sequence[Served], parties: Iterable[Party], chance: Random
) -> dict[str, Any]:
    """Of a call that an upstream had. `places`: all that could have had it."""
    noted = _beginning(chance)
    queue = int((entry["queue_ms"] or 0) * 1000)
    noted["at"]["asked"] = noted["at"]["body"] + chance.randrange(90, 240) + queue
    if chance.random() < 0.9:
        noted["reused"] = True
    else:
        noted["at"]["connected"] = noted["at"]["asked"] + chance.randrange(300, 1_500)
    noted |= _choice(place, places, chance)
    others = [one for one in places if one is not place]
    if entry["attempts"] > 1 and others:
        asked = noted["at"]["asked"]
        noted["tried"] = [(others[0].row.name, asked - 900, asked - 80, "upstream_unreachable")]
    limits = list(_limits(entry, parties, chance, was_let_through=True))
    if limits:
        noted["limits"] = limits
    if place.prices is not None:
        noted["prices"] = place.prices.told
    return noted


def full(entry: Entry, places: Sequence[Served], parties: Iterable[Party], chance: Random) -> dict[str, Any]:
    """Of a call that waited for a place at one of these until its time was up."""
    noted = _beginning(chance) | _choice(places[0], places, chance)
    limits = list(_limits(entry, parties, chance, was_let_through=True))
    return noted | {"limits": limits} if limits else noted


def _choice(place: Served, places: Sequence[Served], chance: Random) -> dict[str, Any]:
    if len(places) == 1:
        return {"way": BY_MODEL}
    among = _among(place, places, chance)
    return {"way": BY_MODEL, "strategy": "least_in_flight", "hint": "", "among": among}


def _beginning(chance: Random) -> dict[str, Any]:
    checked = chance.randrange(60, 160)
    moments = {"began": -chance.randrange(60, 150), "checked": checked, "body": checked + chance.randrange(40, 400)}
    return {"key": IN_MEMORY, "header": "authorization", "prefix": OPENAI.prefix, "at": moments}


def _among(place: Served, places: Sequence[Served], chance: Random) -> list[tuple[str, int, int, bool]]:
    """The one that was chosen first, with the fewest calls."""
    fewest = chance.randrange(6)
    rest = [(one.row.name, fewest + chance.randrange(1, 9), chance.randrange(3), False) for one in places
            if one is not place]  # fmt: skip
    return [(place.row.name, fewest, 0, False), *rest]


def _limits(
    entry: Entry, parties: Iterable[Party], chance: Random, *, was_let_through: bool
) -> Iterable[tuple[Any, ...]]:
    for party in parties:
        for name, unit, ceiling, taken, ends in _ceilings(party.limits, entry):
            used = min(ceiling, taken + int(ceiling * chance.uniform(0.02, 0.8))) if was_let_through else None
            yield (party.kind, name, None, unit, ceiling, used, min(taken, ceiling), ends, True, False)


def _ceilings(limits: Limits, entry: Mapping[str, Any]) -> Iterable[tuple[str, str | None, int, int, int | None]]:
    """Name, unit, ceiling, what the call takes, and in how many seconds the window ends."""
    at = entry["received_at"]
    tokens = (entry.get("prompt_tokens") or 500) + 1_024
    left = _MINUTE - int(at) % _MINUTE
    if limits.parallel is not None:
        yield "max_parallel_requests", None, limits.parallel, 1, None
    if limits.rpm is not None:
        yield "rpm_limit", None, limits.rpm, 1, left
    if limits.tpm is not None:
        yield "tpm_limit", None, limits.tpm, tokens, left
    for budget in limits.budgets:
        end = window(budget.period, at)[1]
        taken = tokens if budget.unit == "tokens" else 20_000_000
        yield budget.name, budget.unit, budget.ceiling, taken, None if end is None else int(end - at)
