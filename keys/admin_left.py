"""What is left of each limit and when it starts anew, for the page of whatever has limits.

Budgets are read where their spend is written down. Limits a minute are read where calls are counted, by whoever knows
where that is; while nobody can tell, the page tells the ceilings alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from django.utils import timezone
from django.utils.safestring import SafeString

from common.admin import BAD, DASH, GOOD, WARNING, moment
from keys.admin_budgets import BAR, NEARLY, Row, Spend
from keys.counters import Charge
from keys.limit_values import COLUMNS, limits_of
from keys.limit_words import limit_word, so_many
from keys.limits import CALLS, InUse, rates_of
from keys.spending import party_named

Look = Callable[[Sequence[Charge]], Sequence[InUse] | None]
"""What is in use of the counters of these charges; None where nobody can tell now."""

_UNTOLD_RATE, _UNTOLD_PLACES = ("told in each answer", "a minute after the first call"), (DASH, DASH)


def nobody_knows(charges: Sequence[Charge]) -> Sequence[InUse] | None:
    """A look that finds nothing."""
    return None


@dataclass(frozen=True, slots=True)
class Line:
    """One limit. `bar` is the length of its bar, of BAR; None where what is used is not known."""

    name: str
    under: str
    used: str
    left: str
    resets: SafeString | str
    kind: str = GOOD
    bar: int | None = None


@dataclass(frozen=True, slots=True)
class LimitGroup:
    """The limits of one whom calls count against; `url` is the address of its page, empty where there is none."""

    word: str
    name: str
    url: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Limited:
    """One whom calls count against, as `LimitGroup`, and what it has spent."""

    word: str
    name: str
    url: str
    row: Row
    spend: Spend


def groups_of(limited: Sequence[Limited], look: Look = nobody_knows) -> list[LimitGroup]:
    """All limits of each: what refuses soonest is not sorted first, the order is that of the form.

    Looks once for all of them, since a look may have to wait for its answer.
    """
    rates = [(one, _rates_of(one.row)) for one in limited]
    told = iter(_told([charge for _, charges in rates for charge in charges], look))
    return [
        LimitGroup(
            one.word,
            one.name,
            one.url,
            (*(_rate(charge, next(told)) for charge in charges), *_budgets(one.spend)),
        )
        for one, charges in rates
    ]


def _rates_of(row: Row) -> list[Charge]:
    limits = limits_of({name: getattr(row, name) for name in COLUMNS})
    return rates_of(replace(party_named(row), limits=limits))


def _told(charges: Sequence[Charge], look: Look) -> Sequence[InUse | None]:
    found = look(charges) if charges else ()
    return [None] * len(charges) if found is None else found


def _budgets(spend: Spend) -> Iterator[Line]:
    for use in spend.uses:
        under = f"{use.each}, {use.effect}" if use.effect else use.each
        yield Line(use.name, under, use.told, use.left, use.resets, use.kind, use.bar)


def _rate(charge: Charge, in_use: InUse | None) -> Line:
    name = limit_word(charge.limit).removesuffix(", per model") + (f", {charge.model}" if charge.model else "")
    under = "" if charge.enforced else "in shadow"
    unit = charge.unit or CALLS
    if in_use is None:
        most = f"{so_many(charge.ceiling, unit)} at most"
        return Line(name, under, most, *(_UNTOLD_RATE if charge.seconds else _UNTOLD_PLACES))
    used, seconds = in_use
    return _measured(name, under, used, charge.ceiling, unit, _resets(charge, used, seconds))


def _resets(charge: Charge, used: int, seconds: float | None) -> SafeString | str:
    if not charge.seconds:
        return "when one ends"
    return moment(timezone.now() + timedelta(seconds=seconds)) if used and seconds is not None else DASH


def _measured(name: str, under: str, used: int, ceiling: int, unit: str, resets: SafeString | str) -> Line:
    share = used / ceiling if ceiling else 1.0
    kind = BAD if share >= 1 else WARNING if share >= NEARLY else GOOD
    left = max(0, ceiling - used)
    return Line(
        name,
        under,
        f"{used:,} of {so_many(ceiling, unit)}",
        so_many(left, unit),
        resets,
        kind,
        min(BAR, round(share * BAR)),
    )
