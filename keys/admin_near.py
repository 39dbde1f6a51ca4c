"""Which budgets have been used so far that somebody should know, found without a look at every row.

The database picks the rows whose spend may be that near to a ceiling; only of these the budgets are worked out.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib import admin
from django.db.models import (
    Case,
    CharField,
    DecimalField,
    Exists,
    ExpressionWrapper,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.functions import Cast, Concat
from django.http import HttpRequest

from common.money import USD
from keys.admin_budgets import NEARLY, Row, Use, spends_of
from keys.identity import Party
from keys.limit_values import SOFT_BUDGET, Budget, Unit
from keys.limits import budget_counter
from keys.models import EndUser, Owner, SpendWindow, Team, VirtualKey
from keys.models.limited import WITH_BUDGET, WITH_SEVERAL

if TYPE_CHECKING:
    _Keys = QuerySet[VirtualKey]

MOST_WINDOWS, MOST_ROWS = 2_000, 500
_OF_NOTHING = Q(max_budget=0) | Q(token_budget=0)
_NAMES: dict[type[Row], tuple[str, str]] = {
    VirtualKey: ("key", "pk"),
    Team: (Team.kind, "team_id"),
    Owner: (Owner.kind, "user_id"),
    EndUser: (EndUser.kind, "end_user_id"),
}
"""What counters call them: the kind, and the column that tells one from the others."""
_ABOUT = Decimal(str(NEARLY)) - Decimal("0.01")
"""A little less: the database may count in floats, and what it picks is worked out exactly."""
_WIDE: DecimalField[Any, Any] = DecimalField(max_digits=40, decimal_places=10)

AnyRow = TypeVar("AnyRow", bound=Row)


def likeliest(keys: _Keys) -> list[VirtualKey]:
    """Those of the keys that have spent something last and may have used 80 % of a budget, and those that may spend
    nothing, within reason."""
    ids, periods = _last_spending()
    spenders = _near(keys.filter(pk__in=ids), periods) if ids else ()
    return list({key.pk: key for key in (*spenders, *keys.filter(_OF_NOTHING)[:MOST_ROWS])}.values())


def likeliest_of(groups: QuerySet[AnyRow]) -> list[AnyRow]:
    """Those of teams, owners or end users that may have used 80 % of a budget, within reason."""
    rows = groups.filter(WITH_BUDGET)
    periods = set(rows.order_by().values_list("budget_duration", "token_budget_duration").distinct())
    return _near(rows, {period for both in periods for period in both}) if periods else []


def nearly_spent(rows: Sequence[Row]) -> Iterator[tuple[Row, Use]]:
    """The fullest budget of each row, where it is used to 80 %, and its soft budget, where it is passed."""
    spends: dict[int, Any] = spends_of(rows, time.time()) if rows else {}
    for row in rows:
        uses: Iterable[Use] = spends[row.pk].uses
        near = [use for use in uses if use.share >= (1 if use.budget.name == SOFT_BUDGET else NEARLY)]
        if near:
            yield row, max(near, key=lambda use: (use.refuses, use.share))


class BudgetFilter(admin.SimpleListFilter):
    """The keys whose budgets the first page warns of."""

    title = "budget"
    parameter_name = "budget"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("near", "Used to 80 % and over"), ("spent", "Spent")]

    def queryset(self, request: HttpRequest, queryset: _Keys) -> _Keys:
        wanted = self.value()
        if wanted not in {"near", "spent"}:
            return queryset
        found = nearly_spent(likeliest(queryset))
        return queryset.filter(pk__in=[row.pk for row, use in found if use.is_over or wanted == "near"])


def _last_spending() -> tuple[list[int], set[str]]:
    """The ids of the keys that have spent something last, and the periods of the budgets that counted it: an index
    finds them among any number of keys."""
    counters = SpendWindow.objects.order_by("-updated_at").values_list("counter", flat=True)[:MOST_WINDOWS]
    ids, periods = dict[int, None](), set[str]()
    for counter in counters:
        scope, _, window = counter.partition("/")
        kind, _, ident = scope.partition(":")
        if kind == "key" and ident.isdecimal():
            ids[int(ident)] = None
            periods.add(window.rsplit("/", 3)[1])
    return list(ids)[:MOST_ROWS], periods


# --- Picked by the database ----------------------------------------------------------------------------------------


def _near(rows: QuerySet[AnyRow], periods: Iterable[str]) -> list[AnyRow]:
    """Those of the rows that may have used 80 % of a budget, as far as it has one of these periods. Budgets that are no
    columns of their own, and of nothing, no database compares: all rows with such are among them."""
    now = time.time()
    model: Any = rows.model
    counted = rows.alias(
        money_counter=_counter(model, "usd", "budget_duration", periods, now),
        token_counter=_counter(model, "tokens", "token_budget_duration", periods, now),
    )
    is_near = (
        _used("money_counter", Q(used__gte=_about("max_budget", USD)) | Q(used__gte=_about("soft_budget", USD)))
        | Q(token_budget__isnull=False) & _used("token_counter", Q(used__gte=_about("token_budget", 1)))
        | _OF_NOTHING
        | Q(soft_budget=0)
        | WITH_SEVERAL
    )
    return list(counted.filter(is_near)[:MOST_ROWS])


def _used(counter: str, so_far: Q) -> Q:
    return Q(Exists(SpendWindow.objects.filter(so_far, counter=OuterRef(counter))))


def _about(ceiling: str, units: int) -> Any:
    return ExpressionWrapper(OuterRef(ceiling) * Value(_ABOUT * units), output_field=_WIDE)


def _counter(model: type[Row], unit: Unit, column: str, periods: Iterable[str], now: float) -> Any:
    """The name of each row's counter, as `budget_counter` gives it; of no window where its period is none of these."""
    kind, ident = _NAMES[model]
    windows = [When(**{column: period}, then=Value(_between(kind, unit, period, now))) for period in sorted(periods)]
    return Concat(
        Value(f"{kind}:"),
        Cast(ident, CharField()),
        Case(*windows, output_field=CharField()),
        Cast("spend_epoch", CharField()),
        output_field=CharField(),
    )


def _between(kind: str, unit: Unit, period: str, now: float) -> str:
    """What stands between the row's name and the epoch in a counter's name."""
    party = Party(kind=kind, ident="")
    counter, _ = budget_counter(party, Budget("", unit, period, 0), now)
    return counter.removeprefix(party.scope).removesuffix(str(party.epoch))
