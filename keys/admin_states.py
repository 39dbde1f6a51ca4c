"""Whether a key can call, as a badge: its own state, and what else would refuse it.

That is a team or an owner that is blocked, and a budget that is spent, its own or one of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString, mark_safe

from common.admin import BAD, GOOD, WARNING, badge
from keys.admin_budgets import Spend, Use, spends_of
from keys.models import Group, Owner, Team, VirtualKey

STATE_BADGES = {
    "active": (GOOD, "Active"),
    "blocked": (BAD, "Blocked"),
    "expired": (WARNING, "Expired"),
}


@dataclass(frozen=True, slots=True)
class Holder:
    """The team or the owner of a key, as far as anything is said of it, and what it has spent."""

    word: str
    row: Group
    spend: Spend


Holders = dict[int, tuple[Holder, ...]]


def holders_of(keys: Sequence[VirtualKey]) -> Holders:
    """The team and the owner of each key, by its primary key; four queries for any number of keys."""
    found: Holders = {key.pk: () for key in keys}
    for word, table in (("Team", Team), ("Owner", Owner)):
        rows = _rows(table, keys)
        spends = spends_of(list(rows.values()))
        for key in keys:
            row = rows.get(getattr(key, table.column) or "")
            if row is not None:
                found[key.pk] += (Holder(word, row, spends[row.pk]),)
    return found


def _rows(table: type[Team | Owner], keys: Iterable[VirtualKey]) -> dict[str, Any]:
    idents = {getattr(key, table.column) for key in keys} - {None, ""}
    rows = table._default_manager.filter(**{f"{table.column}__in": idents}) if idents else ()
    return {row.public_id: row for row in rows}


def state_badges(key: VirtualKey, spend: Spend, holders: Iterable[Holder]) -> SafeString:
    """The key's state. Green is shown to no key whose calls are refused."""
    reasons = list(_reasons(spend, holders))
    own = () if key.state == "active" and any(kind == BAD for kind, *_ in reasons) else (STATE_BADGES[key.state],)
    badges = [*(badge(*one) for one in own), *(badge(*one) for one in reasons)]
    return mark_safe("".join(badges))  # noqa: S308 - each of them is escaped


def _reasons(spend: Spend, holders: Iterable[Holder]) -> Iterator[tuple[str, str, str]]:
    spends = [("", spend)]
    for holder in holders:
        spends.append((f"{holder.word}: ", holder.spend))
        if holder.row.blocked:
            yield BAD, f"{holder.word} blocked", f"The {holder.word.lower()} {holder.row} is blocked."
    for whose, one in spends:
        for use in one.uses:
            if use.is_over:
                yield _spent(whose, use)


def _spent(whose: str, use: Use) -> tuple[str, str, str]:
    """A budget for some models leaves the others."""
    kind = BAD if use.budget.model is None else WARNING
    return kind, f"{whose}{use.name} spent", use.told
