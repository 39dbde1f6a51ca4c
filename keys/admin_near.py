"""Which keys have used a budget so far that somebody should know, found without a look at every key."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from keys.admin_budgets import NEARLY, Row, Use, spends_of
from keys.limit_values import SOFT_BUDGET
from keys.models import SpendWindow, VirtualKey

if TYPE_CHECKING:
    _Keys = QuerySet[VirtualKey]

MOST_WINDOWS, MOST_ROWS = 2_000, 500
IN_DOLLARS = Q(max_budget__isnull=False) | ~Q(budget_limits=[]) | ~Q(model_max_budget={})
WITH_BUDGET = IN_DOLLARS | Q(soft_budget__isnull=False) | Q(token_budget__isnull=False)
_OF_NOTHING = Q(max_budget=0) | Q(token_budget=0)


def likeliest(keys: _Keys) -> list[VirtualKey]:
    """Those of the keys that have a budget and have spent something last, and those that may spend nothing, within
    reason."""
    spenders = keys.filter(WITH_BUDGET, pk__in=_last_spending())[:MOST_ROWS]
    return list({key.pk: key for key in (*spenders, *keys.filter(_OF_NOTHING)[:MOST_ROWS])}.values())


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


def _last_spending() -> list[int]:
    """The ids of the keys that have spent something last: an index finds them among any number of keys."""
    counters = SpendWindow.objects.order_by("-updated_at").values_list("counter", flat=True)[:MOST_WINDOWS]
    scopes = (counter.partition("/")[0] for counter in counters)
    ids = {scope[4:] for scope in scopes if scope.startswith("key:")}
    return [int(ident) for ident in ids if ident.isdecimal()][:MOST_ROWS]
