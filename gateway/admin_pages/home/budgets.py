"""Budgets that are nearly spent, soft budgets that are passed, and budgets in dollars that nothing counts against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Q, QuerySet

from common.admin import BAD, QUIET, WARNING
from gateway.admin_pages.home.notices import MOST_NAMED, Notice, admin_url, several
from gateway.admin_pages.playground_keys import usual
from keys.admin_budgets import NEARLY, Row, Use
from keys.admin_models import waits_for_prices
from keys.admin_near import MOST_ROWS, likeliest, likeliest_of, nearly_spent
from keys.identity import Identity
from keys.limit_values import SOFT_BUDGET
from keys.limit_words import KIND_WORDS
from keys.models import EndUser, Owner, Team, VirtualKey
from keys.models.limited import WITH_SEVERAL
from keys.permissions import may_use_model
from keys.scope import scoped, scoped_keys, visible_teams
from upstreams.model_list import Model

MOST_TOLD = 4
_LISTS: dict[type[Row], str] = {VirtualKey: "key", Team: "team", Owner: "owner", EndUser: "end user"}


def spent(user: Any) -> Iterator[Notice]:
    """The budgets of keys, teams, owners and end users that are used to 80 % and more."""
    found = [(use, row) for rows in _rows(user) for row, use in nearly_spent(rows)]
    found.sort(key=lambda one: one[0].share, reverse=True)
    for use, row in found[:MOST_TOLD]:
        yield _notice(use, row)
    yield from _more([row for _, row in found[MOST_TOLD:]])


def _more(rows: list[Row]) -> Iterator[Notice]:
    """One line for those of a kind, which leads to their list."""
    for table, word in _LISTS.items():
        found = [row for row in rows if isinstance(row, table)]
        if found:
            names = several([str(row) for row in found[:MOST_NAMED]], of=len(found))
            text = f"{len(found):,} more {word}{'s' if len(found) > 1 else ''} used to 80 % and over: {names}."
            url = admin_url(f"keys_{table._meta.model_name}")
            url += "?budget=near" if table is VirtualKey else ""
            yield Notice(WARNING, "Budgets", text, url, "See them")


def unpriced(user: Any, models: list[Model]) -> Iterator[Notice]:
    """Keys with a budget in dollars whose models all have no price: it would never be spent."""
    if not user.has_perm("keys.view_virtualkey") or not any(model.places for model in models):
        return
    priced = tuple(model.name for model in models if model.places and model.is_priced)
    blind = _blind(scoped_keys(usual(VirtualKey.objects.filter(blocked=False)), user), priced)
    if not blind:
        return
    shown = VirtualKey.objects.filter(pk__in=blind[:MOST_NAMED]).order_by("-pk")
    text = (
        f"{several([str(key) for key in shown], of=len(blind))}: a budget in dollars, but no model that may be called "
        "has a price, so nothing is ever counted against it."
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


def _blind(keys: QuerySet[VirtualKey], priced: tuple[str, ...]) -> list[int]:
    """The ids of those of the newest keys that wait for a price and may use none of the `priced` models."""
    waiting = keys.filter(Q(max_budget__gt=0) | WITH_SEVERAL).order_by("-pk")
    newest = [(pk, tuple(map(str, names))) for pk, names in waiting.values_list("pk", "models")[:MOST_ROWS]]
    may = {names: any(_may_use(names, name) for name in priced) for names in {names for _, names in newest}}
    blind = [pk for pk, names in newest if not may[names]]
    several_budgets = VirtualKey.objects.filter(WITH_SEVERAL, pk__in=blind) if blind else ()
    never = {key.pk for key in several_budgets if not waits_for_prices(key)}  # the column alone did not tell
    return [pk for pk in blind if pk not in never]


def _may_use(allowed: tuple[str, ...], model: str) -> bool:
    return may_use_model(Identity(key_id=None, name=None, models=allowed), model)


def _rows(user: Any) -> Iterator[list[Row]]:
    """Those whose budgets are looked at: of the keys that spent last or may spend nothing, and of all teams and people,
    the ones that may have used 80 % of one."""
    if user.has_perm("keys.view_virtualkey"):
        yield list(likeliest(scoped_keys(usual(VirtualKey.objects.filter(blocked=False)), user)))
    if user.has_perm("keys.view_team"):
        yield list(likeliest_of(scoped(Team.objects.filter(blocked=False), user)))
    if visible_teams(user) is None:
        for table, permission in ((Owner, "keys.view_owner"), (EndUser, "keys.view_enduser")):
            if user.has_perm(permission):
                yield list(likeliest_of(table.objects.filter(blocked=False)))


def _notice(use: Use, row: Row) -> Notice:
    kind, link = _kind(row), admin_url(f"keys_{row._meta.model_name}", row.pk)
    share = f"{use.share:.0%}".replace("%", " %")
    if use.budget.name == SOFT_BUDGET:
        text = f"The soft budget of {kind} {row} is passed: {use.told}. Calls go on."
        return Notice(WARNING, "Soft budget", text, link, "Look at it")
    if use.is_over:
        text = f"The {use.name.lower()} of {kind} {row} is spent: {use.told}. Its calls are refused."
        return Notice(BAD, "Budget spent", text, link, "Raise it", needs=f"keys.change_{row._meta.model_name}")
    text = f"The {use.name.lower()} of {kind} {row} is used to {share}: {use.told}."
    if not use.refuses:
        return Notice(QUIET, "In shadow", f"{text} It refuses nothing.", link, "Look at it")
    return Notice(WARNING, f"Over {NEARLY:.0%}".replace("%", " %"), text, link, "Look at it")


def _kind(row: Row) -> str:
    return KIND_WORDS["key" if isinstance(row, VirtualKey) else row.kind]
