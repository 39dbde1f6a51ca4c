"""Keys and owners in the order of what they have spent in the period of their main budget."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from common.money import dollars
from keys.identity import MANAGEMENT, MASTER, Identity
from keys.limits import spend_counter
from keys.models import Owner, SpendWindow, VirtualKey
from keys.spending import party_named, spendings

_AT_ONCE = 1_000


def keys(query: Mapping[str, Any], viewer: Identity) -> list[dict[str, Any]]:
    """At most `limit` keys, of one owner where `user_id` is given."""
    rows = VirtualKey.objects.prefetch_related("secrets")
    if viewer is not MASTER:
        rows = rows.exclude(key_type=MANAGEMENT)
    if "user_id" in query:
        return [_key(row, spent) for row, spent in _of_one(rows.filter(user_id=query["user_id"]), query["limit"])]
    return [_key(row, spent) for row, spent in _by_spend("key", rows, "pk", query["limit"])]


def users(query: Mapping[str, Any]) -> list[dict[str, Any]]:
    """At most `limit` owners, or the one of `user_id`."""
    rows = Owner.objects.all()
    if "user_id" in query:
        return [_owner(row, spent) for row, spent in _of_one(rows.filter(user_id=query["user_id"]), query["limit"])]
    return [_owner(row, spent) for row, spent in _by_spend("user", rows, "user_id", query["limit"])]


def _of_one(rows: QuerySet[Any], limit: int) -> list[tuple[Any, int]]:
    """As `_by_spend`, of rows that are few."""
    some = list(rows[:limit])
    spent = spendings(some)
    return sorted(((row, spent[row.pk].units) for row in some), key=lambda pair: -pair[1])


def _by_spend(kind: str, rows: QuerySet[Any], column: str, limit: int) -> list[tuple[Any, int]]:
    """Rows and what they have spent, in units of money: first those that have spent most, then those without."""
    found = list(islice(_spenders(kind, rows, column), limit))
    if len(found) < limit:
        known = [row.pk for row, _ in found]
        found += ((row, 0) for row in rows.exclude(pk__in=known)[: limit - len(found)])
    return found


def _spenders(kind: str, rows: QuerySet[Any], column: str) -> Iterator[tuple[Any, int]]:
    now = time.time()
    is_open = Q(ends_at=None) | Q(ends_at__gt=timezone.now())
    windows = SpendWindow.objects.filter(is_open, counter__startswith=f"{kind}:", counter__contains="/usd/", used__gt=0)
    spent = windows.order_by("-used", "counter").values_list("counter", "used").iterator(chunk_size=_AT_ONCE)
    while some := dict(islice(spent, _AT_ONCE)):
        names = {_named(counter) for counter in some}
        if column == "pk":
            names = {name for name in names if name.isdecimal()}
        by_counter = {spend_counter(party_named(row), now)[0]: row for row in rows.filter(**{f"{column}__in": names})}
        yield from ((by_counter[counter], used) for counter, used in some.items() if counter in by_counter)


def _named(counter: str) -> str:
    """Whose counter it is: what stands between the kind and the last four parts. Ids of people may hold slashes."""
    return counter.rsplit("/", 4)[0].partition(":")[2]


def _limits(row: Any, spent: int) -> dict[str, Any]:
    return {
        "spend": float(dollars(spent)),
        "max_budget": None if row.max_budget is None else float(row.max_budget),
        "budget_duration": row.budget_duration or None,
        "models": row.models,
        "metadata": row.metadata,
        "blocked": row.blocked,
        "tpm_limit": row.tpm_limit,
        "rpm_limit": row.rpm_limit,
        "max_parallel_requests": row.max_parallel_requests,
        "created_at": _time(row.created_at),
        "updated_at": _time(row.updated_at),
    }


def _key(row: VirtualKey, spent: int) -> dict[str, Any]:
    return {
        "token": row.secret.digest if row.secret else None,
        "key_name": row.masked,
        "key_alias": row.name,
        "user_id": row.user_id,
        "team_id": row.team_id or None,
        "expires": _time(row.expires_at),
        "last_active": _time(row.last_used_at),
        **_limits(row, spent),
    }


def _owner(row: Owner, spent: int) -> dict[str, Any]:
    return {
        "user_id": row.user_id,
        "user_alias": row.alias or None,
        "user_email": row.email,
        "user_role": row.role or None,
        **_limits(row, spent),
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
