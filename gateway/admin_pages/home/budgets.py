"""Budgets that are nearly spent, soft budgets that are passed, and budgets in dollars that nothing counts against."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import Q

from common.admin import BAD, QUIET, WARNING
from gateway.admin_pages.home.notices import Notice, admin_url, several
from gateway.admin_pages.playground_keys import usual
from keys.admin_budgets import NEARLY, Use, spends_of
from keys.identity import Identity
from keys.limit_values import SOFT_BUDGET
from keys.limit_words import KIND_WORDS
from keys.models import EndUser, Group, Owner, SpendWindow, Team, VirtualKey
from keys.permissions import may_use_model
from keys.scope import scoped, scoped_keys, visible_teams
from upstreams.model_list import Model

MOST_WINDOWS, MOST_ROWS, MOST_TOLD = 2_000, 500, 4

Row = VirtualKey | Group
_IN_DOLLARS = Q(max_budget__isnull=False) | ~Q(budget_limits=[]) | ~Q(model_max_budget={})
_ANY = _IN_DOLLARS | Q(soft_budget__isnull=False) | Q(token_budget__isnull=False)


def spent(user: Any) -> Iterator[Notice]:
    """The budgets of keys, teams, owners and end users that are used to 80 % and more."""
    found = [(use, row) for rows in _rows(user) for row, use in _uses(rows)]
    found.sort(key=lambda one: one[0].share, reverse=True)
    for use, row in found[:MOST_TOLD]:
        yield _notice(use, row)
    if len(found) > MOST_TOLD:
        names = several([_name(row) for _, row in found[MOST_TOLD:]])
        yield Notice(WARNING, "Budgets", f"{len(found) - MOST_TOLD:,} more are used to 80 % and over: {names}.")


def unpriced(user: Any, models: list[Model]) -> Iterator[Notice]:
    """Keys with a budget in dollars whose models all have no price: it would never be spent."""
    if not user.has_perm("keys.view_virtualkey") or not any(model.places for model in models):
        return
    priced = [model.name for model in models if model.places and model.is_priced]
    keys = scoped_keys(usual(VirtualKey.objects.filter(_IN_DOLLARS, blocked=False)), user).order_by("-pk")[:MOST_ROWS]
    blind = [key for key in keys if not any(_may_use(key, name) for name in priced)]
    if not blind:
        return
    text = (
        f"{several([_name(key) for key in blind])}: a budget in dollars, but no model that may be called has a price, "
        "so nothing is ever counted against it."
    )
    yield Notice(
        WARNING,
        "No price",
        text,
        admin_url("upstreams_modelalias"),
        "Set prices",
        needs="upstreams.change_modelalias",
        views="upstreams.view_modelalias",
    )


def _may_use(key: VirtualKey, model: str) -> bool:
    return may_use_model(Identity(key_id=key.pk, name=key.name, models=tuple(map(str, key.models))), model)


def _rows(user: Any) -> Iterator[list[Row]]:
    """Those whose budgets are looked at: the keys that spent last, and all teams and people with a budget, within
    reason."""
    if user.has_perm("keys.view_virtualkey"):
        keys = usual(VirtualKey.objects.filter(_ANY, pk__in=_last_spending(), blocked=False))
        yield list(scoped_keys(keys, user)[:MOST_ROWS])
    if user.has_perm("keys.view_team"):
        yield list(scoped(Team.objects.filter(_ANY, blocked=False), user)[:MOST_ROWS])
    if visible_teams(user) is None:
        for table, permission in ((Owner, "keys.view_owner"), (EndUser, "keys.view_enduser")):
            if user.has_perm(permission):
                yield list(table.objects.filter(_ANY, blocked=False)[:MOST_ROWS])


def _last_spending() -> list[int]:
    """The ids of the keys that have spent something last: an index finds them among any number of keys."""
    counters = SpendWindow.objects.order_by("-updated_at").values_list("counter", flat=True)[:MOST_WINDOWS]
    scopes = (counter.partition("/")[0] for counter in counters)
    ids = {scope[4:] for scope in scopes if scope.startswith("key:")}
    return [int(ident) for ident in ids if ident.isdecimal()][:MOST_ROWS]


def _uses(rows: list[Row]) -> Iterator[tuple[Row, Use]]:
    """The fullest budget of each row, where it is nearly spent, and its soft budget, where it is passed."""
    spends: dict[int, Any] = spends_of(rows, time.time()) if rows else {}
    for row in rows:
        uses: Iterable[Use] = spends[row.pk].uses
        near = [use for use in uses if use.share >= (1 if use.budget.name == SOFT_BUDGET else NEARLY)]
        if near:
            yield row, max(near, key=lambda use: (use.refuses, use.share))


def _notice(use: Use, row: Row) -> Notice:
    kind, link = _kind(row), admin_url(f"keys_{row._meta.model_name}", row.pk)
    share = f"{use.share:.0%}".replace("%", " %")
    if use.budget.name == SOFT_BUDGET:
        text = f"The soft budget of {kind} {_name(row)} is passed: {use.told}. Calls go on."
        return Notice(WARNING, "Soft budget", text, link, "Look at it")
    if use.is_over:
        text = f"The {use.name.lower()} of {kind} {_name(row)} is spent: {use.told}. Its calls are refused."
        return Notice(BAD, "Budget spent", text, link, "Raise it", needs=f"keys.change_{row._meta.model_name}")
    text = f"The {use.name.lower()} of {kind} {_name(row)} is used to {share}: {use.told}."
    if not use.refuses:
        return Notice(QUIET, "In shadow", f"{text} It refuses nothing.", link, "Look at it")
    return Notice(WARNING, f"Over {NEARLY:.0%}".replace("%", " %"), text, link, "Look at it")


def _kind(row: Row) -> str:
    return KIND_WORDS["key" if isinstance(row, VirtualKey) else row.kind]


def _name(row: Row) -> str:
    return str(row)
