"""How far the budgets of a row are used, for its page and for lists. Reads the spend that the log has written down.

What calls in flight have reserved is not in it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from common.admin import BAD, GOOD, WARNING, moment
from keys.limit_values import COLUMNS, SOFT_BUDGET, Budget, limits_of
from keys.limit_words import amount, dollars, each, limit_word, until, used_of
from keys.limits import budget_counter, spend_counter
from keys.models import Group, SpendWindow, VirtualKey
from keys.spending import party_named

Row = VirtualKey | Group

COUNTERS_AT_ONCE = 500
NEARLY = 0.8
BAR = 100


@dataclass(frozen=True, slots=True)
class Use:
    """How much of one budget is used in its present window, which ends at `ends_at` (None: never)."""

    budget: Budget
    used: int
    ends_at: datetime | None
    refuses: bool

    @property
    def share(self) -> float:
        """From 0, and over 1 when more is spent than there was."""
        return self.used / self.budget.ceiling if self.budget.ceiling else 1.0

    @property
    def is_over(self) -> bool:
        """Whether calls are refused for it."""
        return self.refuses and self.share >= 1

    @property
    def kind(self) -> str:
        """The colour that goes with it."""
        if self.is_over:
            return BAD
        return WARNING if self.share >= NEARLY else GOOD

    @property
    def name(self) -> str:
        """What people call the budget."""
        if self.budget.model is not None:
            return f"Budget for {self.budget.model}"
        return "Budget" if self.budget.name == "budget_limits" else limit_word(self.budget.name)

    @property
    def each(self) -> str:
        """How often it starts anew."""
        return each(self.budget.period)

    @property
    def effect(self) -> str:
        """What there is to know beside the figures."""
        if self.budget.name == SOFT_BUDGET:
            return "reported only"
        return "" if self.refuses else "in shadow"

    @property
    def told(self) -> str:
        """What is used, of what there is."""
        return used_of(self.used, self.budget.ceiling, self.budget.unit)

    @property
    def left(self) -> str:
        """What remains."""
        return amount(max(0, self.budget.ceiling - self.used), self.budget.unit)

    @property
    def bar(self) -> int:
        """The length of its bar, of BAR."""
        return min(BAR, round(self.share * BAR))

    @property
    def resets(self) -> SafeString | str:
        """When it starts anew."""
        return moment(self.ends_at, "never")


@dataclass(frozen=True, slots=True)
class Spend:
    """What a row has used: `units` of money in its main period, which ends at `ends_at`, and of each of its budgets."""

    period: str
    units: int
    ends_at: datetime | None
    uses: tuple[Use, ...] = ()

    @property
    def told(self) -> str:
        """The spend of the main period, in words."""
        return f"{dollars(self.units)} {self._when}"

    @property
    def _when(self) -> str:
        return f"in this window ({each(self.period)})" if self.period else "in all"

    @property
    def fullest(self) -> Use | None:
        """The budget that refuses first."""
        return max((use for use in self.uses if use.refuses), key=lambda use: use.share, default=None)


def spends_of(rows: Sequence[Row], now: float | None = None) -> dict[int, Spend]:
    """What each row has used, by its primary key; one query for a page of rows. `now` in unix seconds."""
    at = time.time() if now is None else now
    wanted = {row.pk: list(_counters(row, at)) for row in rows}
    used = _used(counter for counters in wanted.values() for _, counter, _ in counters)
    return {row.pk: _spend(row, wanted[row.pk], used, at) for row in rows}


def spend_of(row: Row) -> Spend:
    """What the row has used."""
    return spends_of([row])[row.pk]


def _counters(row: Row, now: float) -> Iterator[tuple[Budget | None, str, float | None]]:
    """The row's main spend, and then each of its budgets: counters and the seconds until they end."""
    party = party_named(row)
    yield (None, *spend_counter(party, now))
    for budget in limits_of({name: getattr(row, name) for name in COLUMNS}).budgets:
        yield (budget, *budget_counter(party, budget, now))


def _used(counters: Iterable[str]) -> dict[str, int]:
    names = sorted(set(counters))
    used: dict[str, int] = {}
    for start in range(0, len(names), COUNTERS_AT_ONCE):
        batch = names[start : start + COUNTERS_AT_ONCE]
        used.update(SpendWindow.objects.filter(counter__in=batch).values_list("counter", "used"))
    return used


def _spend(
    row: Row, counters: Sequence[tuple[Budget | None, str, float | None]], used: Mapping[str, int], now: float
) -> Spend:
    (_, main, seconds), *others = counters
    uses = tuple(
        Use(budget, used.get(counter, 0), _end(now, until_end), _refuses(row, budget))
        for budget, counter, until_end in others
        if budget is not None
    )
    return Spend(row.budget_duration or "", used.get(main, 0), _end(now, seconds), uses)


def _refuses(row: Row, budget: Budget) -> bool:
    return budget.name != SOFT_BUDGET and budget.name not in row.shadow_limits


def _end(now: float, seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(round(now + seconds), UTC)


def budget_cell(spend: Spend) -> SafeString | str | None:
    """The text of a list's column: the fullest budget, such as `$1.20 of $5.00, until Monday`; else what was spent."""
    use = spend.fullest
    if use is None:
        return f"{dollars(spend.units)} spent" if spend.units else None
    end = "" if use.ends_at is None else f", until {until(use.ends_at, datetime.now(UTC))}"
    of_model = "" if use.budget.model is None else f" for {use.budget.model}"
    others = sum(one.refuses for one in spend.uses) - 1
    more = f"and {others} more" if others else ""
    return format_html(
        '<span class="use use-{}"><svg class="share" viewBox="0 0 {} 4" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="bar-track" width="{}" height="4"/><rect class="bar" width="{}" height="4"/></svg>'
        '{}{}{}</span><span class="under">{}</span>',
        use.kind,
        BAR,
        BAR,
        use.bar,
        use.told,
        of_model,
        end,
        more,
    )


class SpendChangeList(ChangeList):
    """A page of rows with what they have spent, which takes one query for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        spends = spends_of(rows)
        for row in rows:
            row.spend = spends[row.pk]
        self.result_list = rows
