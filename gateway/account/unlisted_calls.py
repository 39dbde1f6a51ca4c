"""How many calls have no row in the request log, and why: sums of five minutes, added up over all relay workers.

Each worker adds what it has counted (`gateway.account.unlisted`) once a second, so they outlive it. They name nobody.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Self

from django.db import models
from django.db.models import Sum

from gateway.account.bulk_insert import BulkInsert

NO_KEY, MALFORMED, MISTYPED, UNKNOWN = "no_key", "malformed", "mistyped", "unknown"
DATABASE_AWAY, NOT_SERVING, UNSAFE_PATH, OTHER = "database_away", "not_serving", "unsafe_path", "other"
NO_MANAGER, BLOCKED, EXPIRED = "no_manager", "blocked", "expired"
OF_THE_KEY = (UNKNOWN, MISTYPED, MALFORMED, NO_KEY, NO_MANAGER, BLOCKED, EXPIRED)
"""The reasons that lie with the key, or that there is none."""

SLOT_SECONDS = 300
Counts = dict[tuple[int, str], int]
"""Calls by the Unix seconds at which a slot of five minutes begins, and reason."""

KEPT_FOR = timedelta(days=31)


class UnlistedCallsQuerySet(models.QuerySet["UnlistedCalls"]):
    """Questions about calls without rows."""

    def since(self, moment: datetime) -> Self:
        """From this moment on, the whole five minutes in which it lies included."""
        return self.filter(slot__gt=moment - timedelta(seconds=SLOT_SECONDS))

    def by_reason(self) -> dict[str, int]:
        """Calls by reason."""
        rows = self.order_by().values("reason").annotate(sum_calls=Sum("calls"))
        return dict(rows.values_list("reason", "sum_calls"))

    def add(self, counts: Counts) -> None:
        """Adds these counts, in the order of their slots, so that two workers wait for each other rather than deadlock.
        Raises django.db.Error."""
        if counts:
            rows = [
                (datetime.fromtimestamp(slot, tz=UTC), reason, calls)
                for (slot, reason), calls in sorted(counts.items())
            ]
            _insert().execute(rows)


class UnlistedCalls(models.Model):
    """The calls of five minutes that were refused for one reason before it was known whose they are."""

    slot = models.DateTimeField()
    reason = models.CharField(max_length=32)
    calls = models.BigIntegerField(default=0)

    objects = UnlistedCallsQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["slot", "reason"], name="unlisted_calls_slot")]

    def __str__(self) -> str:
        return f"{self.slot:%Y-%m-%d %H:%M} {self.reason}"


def _insert() -> BulkInsert:
    name = UnlistedCalls._meta.db_table
    return BulkInsert(
        UnlistedCalls,
        ("slot", "reason", "calls"),
        f"ON CONFLICT (slot, reason) DO UPDATE SET calls = {name}.calls + excluded.calls",
    )
