"""What each relay worker says of itself once a second: the control plane's only view of the calls that are open.

One row for each worker, replaced by it (`gateway.reporter`). A row that has not been replaced for five seconds is of a
worker that is gone, or that cannot reach the database. Times are the database's, so that nodes' clocks need not agree.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Self

from django.db import models
from django.db.models.functions import Now

GONE_AFTER = timedelta(seconds=5)
KEPT_FOR = timedelta(seconds=60)
MOST_CALLS = 200
"""How many open calls a worker lists one by one, the oldest first."""


class RelayReportQuerySet(models.QuerySet["RelayReport"]):
    """Questions about workers."""

    def current(self) -> Self:
        """Those of workers that are there, in the order of their nodes."""
        return self.filter(at__gte=Now() - GONE_AFTER).order_by("node", "worker")

    def replace(self, *, node: str, worker: str, keys_version: int, facts: dict[str, Any]) -> None:
        """Writes what a worker says. Raises django.db.Error."""
        said: Any = {"at": Now(), "keys_version": keys_version, "facts": facts}
        row = self.model(node=node, worker=worker, **said)
        self.bulk_create([row], update_conflicts=True, unique_fields=["node", "worker"], update_fields=list(said))

    def remove_gone(self) -> int:
        """Deletes the rows of workers that have long been gone; returns how many. Raises django.db.Error."""
        return self.filter(at__lt=Now() - KEPT_FOR).delete()[0]


class RelayReport(models.Model):
    """One relay worker, as of its last report.

    `keys_version` is the version of the keys that this worker has applied and has cut open calls by. `facts` holds

        open           how many calls are open; draining: whether the worker takes no more
        waiting        how many of them wait for a place at an upstream; queue_full: whether no more may
        cooling        {"<upstream id>": seconds}: the upstreams that the worker passes over, and for how long
        in_flight      {"<upstream id>": open calls}
        open_by_key    {"<key id>": open calls}
        open_by_team   {"<team id>": open calls}; "" is no team
        cut_by_key     {"<key id>": calls that were cut in the last 120 s because the key, its team or its owner was
                       refused}
        calls          at most 200 open calls, the oldest first: {"call_id", "key_id", "upstream_id", "model", "route",
                       "started"}; started in Unix seconds
        minute         what ended in the last minute, by team: {"<team id>": figures}
        five_minutes   likewise (`gateway.account.recent` says which figures)
        unlisted       the last callers who have no row in the request log (`gateway.account.unlisted`)

    Read it with `.get`: a worker of another release may say less.
    """

    node = models.CharField(max_length=255)
    worker = models.CharField(max_length=32)
    at = models.DateTimeField()  # without an index: there are few rows, and each is updated every second
    keys_version = models.BigIntegerField()
    facts = models.JSONField(default=dict)

    objects = RelayReportQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["node", "worker"], name="relay_report_worker")]

    def __str__(self) -> str:
        return f"{self.node}, worker {self.worker}"

    def counted(self, name: str) -> dict[str, int]:
        """One of the facts that are counts by id; empty where the worker does not say."""
        return dict(self.facts.get(name) or {})


def current() -> list[RelayReport]:
    """What the workers say that are there now. Raises django.db.Error."""
    return list(RelayReport.objects.current())


def total(name: str) -> dict[str, int]:
    """A fact that is counts by id (`in_flight`, `open_by_key`, `cut_by_key` …), added up over all workers."""
    return added(current(), name)


def added(reports: list[RelayReport], name: str) -> dict[str, int]:
    """Likewise, of reports that were read before."""
    sums: dict[str, int] = {}
    for report in reports:
        for ident, count in report.counted(name).items():
            sums[ident] = sums.get(ident, 0) + count
    return sums
