"""What is left of each limit and when it starts anew, for the page of whatever has limits.

Budgets are read where their spend is written down. Rates are counted by the relay: they can be read only while
PostgreSQL counts them; else each answer tells them to its caller, and the page tells the ceilings alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now
from django.utils.safestring import SafeString

from common.admin import BAD, DASH, GOOD, WARNING, moment
from keys.admin_budgets import BAR, NEARLY, Row, Spend
from keys.limit_values import COLUMNS, Limits, limits_of
from keys.limit_words import limit_word, so_many
from keys.models import Counter
from keys.spending import party_named

Standings = Mapping[str, Counter]


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


def lines_of(row: Row, spend: Spend, open_calls: int | None = None) -> tuple[Line, ...]:
    """All limits of the row: what refuses soonest is not sorted first, the order is that of the form."""
    limits = limits_of({name: getattr(row, name) for name in COLUMNS})
    return (*_rates(row, limits, open_calls), *_budgets(spend))


def _budgets(spend: Spend) -> Iterator[Line]:
    for use in spend.uses:
        under = f"{use.each}, {use.effect}" if use.effect else use.each
        yield Line(use.name, under, use.told, use.left, use.resets, use.kind, use.bar)


def _rates(row: Row, limits: Limits, open_calls: int | None) -> Iterator[Line]:
    scope = party_named(row).scope
    shadow = limits.shadow
    if limits.parallel is not None:
        yield _places(limits.parallel, open_calls, "max_parallel_requests" in shadow)
    rates: list[tuple[str, str, str, int, str]] = [
        *((("rpm_limit", "", f"{scope}/rpm", limits.rpm, "calls"),) if limits.rpm is not None else ()),
        *((("tpm_limit", "", f"{scope}/tpm", limits.tpm, "tokens"),) if limits.tpm is not None else ()),
        *(
            ("model_rpm_limit", model, f"{scope}/rpm@{model}", most, "calls")
            for model, most in limits.model_rpm.items()
        ),
        *(
            ("model_tpm_limit", model, f"{scope}/tpm@{model}", most, "tokens")
            for model, most in limits.model_tpm.items()
        ),
    ]
    standings = _standings([counter for _, _, counter, _, _ in rates])
    for name, model, counter, ceiling, unit in rates:
        told = limit_word(name).removesuffix(", per model") + (f", {model}" if model else "")
        under = "in shadow" if name in shadow else ""
        yield _rate(told, under, ceiling, unit, standings, counter)


def _places(ceiling: int, open_calls: int | None, in_shadow: bool) -> Line:  # noqa: FBT001
    under = "in shadow" if in_shadow else ""
    name = limit_word("max_parallel_requests")
    if open_calls is None:
        return Line(name, under, f"{so_many(ceiling, 'calls')} at most", DASH, DASH)
    return _measured(name, under, open_calls, ceiling, "calls", "when one ends")


def _rate(name: str, under: str, ceiling: int, unit: str, standings: Standings | None, counter: str) -> Line:
    if standings is None:
        return Line(
            name, under, f"{so_many(ceiling, unit)} at most", "told in each answer", "a minute after the first call"
        )
    standing = standings.get(counter)
    used = 0 if standing is None else standing.used
    resets = DASH if standing is None else moment(standing.ends_at)
    return _measured(name, under, used, ceiling, unit, resets)


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


def _standings(counters: Sequence[str]) -> Standings | None:
    """How they stand; None where PostgreSQL does not count them. One that has no row stands at zero."""
    if connection.vendor != "postgresql" or settings.REDIS_URL:
        return None
    rows = Counter.objects.filter(counter__in=counters, ends_at__gt=Now()) if counters else ()
    return {row.counter: row for row in rows}
