"""What the gateway decided of one call, and when: noted while it happens, told once in the entry's `decisions`.

Costs a call a few microseconds, so it holds what is at hand and computes nothing that the reader can. Knows neither
table nor page. The reader (`gateway.admin_pages.log_facts`) takes rows that lack any of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.charging import Bill
    from gateway.open_call import OpenCall
    from upstreams.pool import UpstreamPool
    from upstreams.selection import Candidate, Hints

MOST_AMONG = 8
MOST_TRIED = 16
MOST_LIMITS = 24
_NAMED, _ENFORCED = 5, 8  # of a limit's row: how many values name it, and where it says whether it refuses

# How the key was found.
IN_MEMORY, BY_A_LOOK, MASTER_KEY, NO_KEY = "memory", "database", "master", "none"
# Why these upstreams were asked: they have the model, take what nobody has, stand in for all, or were named.
BY_MODEL, BY_DEFAULT, BY_FALLBACK, BY_NAME = "model", "default", "fallback", "named"

NOTHING: Mapping[str, Any] = MappingProxyType({})

Tried = tuple[str, float, float, str]


class Decisions:
    """One call's. Moments are monotonic seconds, 0 where one was not reached.

    `began`: the head was there; `checked`: the key and all that the head decides; `body`: it was read; `asked`: the
    last upstream had been chosen and had room; `connected`: a new connection to it stood. `refusal` is what the error
    that ended it tells of itself.
    """

    # Defaults of the class: a call pays only for what it notes.
    key = ""
    header = ""
    prefix: str | None = None
    began = 0.0
    checked = 0.0
    body = 0.0
    asked = 0.0
    connected = 0.0
    reused = False
    way = ""
    strategy = ""
    hint = ""
    among: Sequence[tuple[str, int, int | None, bool]] = ()
    tried: Sequence[Tried] = ()
    refusal: Mapping[str, Any] = NOTHING

    def note_choice(
        self, way: str, model: str | None, candidates: Sequence[Candidate], hints: Hints, pool: UpstreamPool
    ) -> None:
        """Where the call can go, and how it stood there; in detail only where there was a choice."""
        self.way = way
        if len(candidates) > 1 and model is not None:
            self.strategy = pool.strategy_of(model)
            self.hint = "session" if hints.session else "prefix" if hints.prefix else ""
            self.among = [
                (one.upstream.name, *pool.standing_of(one.upstream.id), one.is_last_resort)
                for one in candidates[:MOST_AMONG]
            ]

    def note_attempt(self, name: str, asked: float, ended: float, end: str) -> None:
        """An upstream that did not keep the call, and what it met there."""
        if len(self.tried) < MOST_TRIED:
            self.tried = [*self.tried, (name, asked, ended, end)]


def told_of(call: OpenCall) -> dict[str, Any]:
    """What the row keeps. Moments in microseconds from receiving the call, which is when its head was there. (In older
    rows it was when its key had been found, so they have `began` below 0.)"""
    noted, zero = call.decisions, call.opened_at
    told: dict[str, Any] = {}
    if noted.key:
        told = {"key": noted.key, "header": noted.header, "prefix": noted.prefix}
    if at := _moments(noted, zero):
        told["at"] = at
    if noted.reused:
        told["reused"] = True
    if noted.way:
        told["way"] = noted.way
    if noted.among:
        told["strategy"], told["hint"], told["among"] = noted.strategy, noted.hint, noted.among
    if noted.tried:
        told["tried"] = [(name, _us(asked, zero), _us(ended, zero), end) for name, asked, ended, end in noted.tried]
    if call.bill.charges:
        told["limits"] = limits_of(call.bill, noted.refusal.get("limit"))
    if call.prices is not None:
        told["prices"] = call.prices.told
    return told


_MOMENTS = ("began", "checked", "body", "asked", "connected")


def _moments(noted: Decisions, zero: float) -> dict[str, int]:
    found = {}
    for name in _MOMENTS:
        moment = getattr(noted, name)
        if moment:
            found[name] = int((moment - zero) * 1e6)
    return found


def limits_of(bill: Bill, refused: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
    """Each charge as (whose, limit, model, unit, ceiling, used, taken, seconds left, enforced, exceeded).

    `used` is what was in use once the call had been let through, its own part (`taken`) included. Of a call that was
    not, it is None, but for the limit that `refused` it, which tells what was in use without the call: a row like
    these, enforced and exceeded. The others are not asked how they stood, as that would cost each refusal more.
    """
    found: list[tuple[Any, ...]] = []
    standings = bill.standings
    for at, charge in enumerate(bill.charges[:MOST_LIMITS]):
        used, left, taken, exceeded = standings[at] if standings else (None, None, charge.amount, False)
        seconds = None if left is None else int(left)
        named = (charge.kind, charge.limit, charge.model, charge.unit, charge.ceiling)
        found.append((*named, used, taken, seconds, charge.enforced, exceeded))
    return found if refused is None else with_refused(found, tuple(refused))


def with_refused(rows: list[tuple[Any, ...]], refused: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The rows with the one that refused told in full; before them if it is not among these."""
    at = next((at for at, row in enumerate(rows) if row[:_NAMED] == refused[:_NAMED] and row[_ENFORCED]), None)
    return [refused, *rows] if at is None else [*rows[:at], refused, *rows[at + 1 :]]


def _us(moment: float, zero: float) -> int:
    return int((moment - zero) * 1e6)
