"""What the views of teams, users and customers share: find, make, change and delete, each write in one transaction.

A writer locks the version row first: what it then reads stays so until it commits. Each write leaves a line in Django's
history, with who did it and what changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any, TypeVar

from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.db.models import Model, Q, QuerySet
from rest_framework.response import Response

from common import money
from keys import history, strict
from keys.base_view import ManagementView
from keys.errors import GroupNotFound
from keys.groups_api.answers import Answer
from keys.identity import MANAGEMENT, MASTER
from keys.limit_fields import limit_columns
from keys.models import Group, KeysVersion, SpendWindow, VirtualKey
from keys.permissions import check_manages
from keys.spending import set_spent, spending, start_with

Row = TypeVar("Row", bound=Group)

NEWEST = ("-created_at", "-pk")
NAMES_AT_ONCE = 50
MOST_ROWS = 10_000
"""A list without pages ends here."""


class GroupView(ManagementView):
    """What all these views share."""

    own_columns: Mapping[str, str] = {}
    """The fields that stand in a column of their own, and which."""

    def query(self, serializer_class: type[strict.StrictSerializer]) -> dict[str, Any]:
        """The validated query. Raises InvalidRequest."""
        return self.validated(serializer_class, self.request.query_params.dict())

    def record(self, rows: Iterable[Model], action: int, what: str) -> None:
        """Leaves a line in Django's history for each row."""
        claim = self.request.META.get("HTTP_LITELLM_CHANGED_BY", "")
        history.record(self.identity, rows, action, what, claim.encode("ascii", "replace").decode()[:200])

    @property
    def visible_keys(self) -> QuerySet[VirtualKey]:
        """The keys that the caller may see: management keys are the master key's."""
        keys: QuerySet[VirtualKey] = VirtualKey.objects.all()
        return keys if self.identity is MASTER else keys.exclude(key_type=MANAGEMENT)

    def columns(self, fields: Mapping[str, Any], row: Group | None = None) -> dict[str, Any]:
        """The columns that the fields set; null and "" clear those that text stands in."""
        own = {column: fields[name] or "" for name, column in self.own_columns.items() if name in fields}
        return {**own, **limit_columns(fields, row)}

    def make(self, row: Row, spend: object) -> Row:
        """Saves a new row, with so many dollars spent. To be called with the lock held."""
        row.created_by = history.name_of(self.identity)
        row.spend_epoch = unused_epochs([row])[row.public_id]
        row.save(force_insert=True)
        start_with(row, money.units(spend or 0))  # type: ignore[arg-type]  # Dollars
        self.record([row], ADDITION, "Made")
        return row

    def change(self, row: Row, columns: Mapping[str, Any], fields: Mapping[str, Any]) -> Row:
        """Saves the changed columns, and what was spent where the fields say so. To be called with the lock held."""
        what = history.changes(row, columns)
        for name, value in columns.items():
            setattr(row, name, value)
        row.save(update_fields=columns)
        if fields.get("spend") is not None:
            before, after = spending(row).units, money.units(fields["spend"])
            set_spent(row, after)
            what = f"{what}, spend ({money.shown(before)} → {money.shown(after)})"
        self.record([row], CHANGE, what)
        return row

    def delete_with_keys(self, rows: QuerySet[Row], column: str) -> None:
        """Deletes teams or users, and their keys. Raises ManagementKeyDenied where one of those is not the caller's."""
        found = list(rows)
        keys = VirtualKey.objects.filter(**{f"{column}__in": [row.public_id for row in found]})
        check_manages(self.identity, keys.order_by().values_list("key_type", flat=True).distinct())
        self.record(
            keys.prefetch_related("secrets"), DELETION, f"Deleted with its {'team' if column == 'team_id' else 'owner'}"
        )
        self.record(found, DELETION, "Deleted")
        rows.delete()


def found(rows: QuerySet[Row], missing: str, param: str) -> Row:
    """The first of the rows. Raises GroupNotFound with this sentence."""
    row = rows.first()
    if row is None:
        raise GroupNotFound(missing, param=param)
    return row


def lock() -> None:
    """Lets no other writer in until the commit."""
    KeysVersion.bump()


def page_of(rows: QuerySet[Row], query: Mapping[str, Any]) -> list[Row]:
    """The page that is asked for; without one, all rows up to MOST_ROWS."""
    size = query.get("page_size") or (100 if query.get("page") else MOST_ROWS)
    start = (query.get("page", 1) - 1) * size
    return list(rows[start : start + size])


def listed(answers: list[Answer], total: int) -> Response:
    """A bare list, as LiteLLM's is, and in a header how many there are."""
    return Response(answers, headers={"X-Total-Count": str(total)})


def unused_epochs(rows: Sequence[Group]) -> dict[str, int]:
    """For each name an epoch in which nobody of it has spent anything: who was deleted leaves their spend behind."""
    found: dict[str, int] = {row.public_id: 0 for row in rows}
    for start in range(0, len(rows), NAMES_AT_ONCE):
        some = {f"{row.kind}:{row.public_id}/": row.public_id for row in rows[start : start + NAMES_AT_ONCE]}
        left = reduce(or_, (Q(counter__startswith=prefix) for prefix in some))
        for counter in SpendWindow.objects.filter(left).values_list("counter", flat=True):
            epoch = int(counter.rpartition("/")[2])
            for prefix, name in some.items():
                if counter.startswith(prefix):  # one of the databases takes capitals for small letters
                    found[name] = max(found[name], epoch + 1)
    return found
