"""Publishes once a second what only this relay worker knows (`gateway.account.relay_report`).

It costs a call nothing: open calls are looked over once a second. While the database is away nothing is said, and
nothing is kept to be said later but how many calls have no row in the log.
"""

from __future__ import annotations

import logging
import os
import platform
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from django.db import Error, InterfaceError, OperationalError

from gateway.account.entry import MAX_LENGTHS, clean_text
from gateway.account.recent import RecentTraffic
from gateway.account.relay_report import MOST_CALLS, RelayReport
from gateway.account.unlisted import Unlisted
from gateway.account.unlisted_calls import Counts, UnlistedCalls
from gateway.open_call import OpenCall, OpenCalls
from gateway.revocation import Revocation

INTERVAL_SECONDS = 1.0
_REMOVE_EVERY = 30  # reports

logger = logging.getLogger(__name__)


class Reporter:
    """Reports of one worker. `run` calls a function where it may wait for the database."""

    def __init__(
        self,
        calls: OpenCalls,
        revocation: Revocation,
        recent: RecentTraffic,
        unlisted: Unlisted,
        *,
        run: Callable[[Callable[[], None]], None],
        more: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        """`more` gives what else the plane knows."""
        self._calls = calls
        self._revocation = revocation
        self._recent = recent
        self._unlisted = unlisted
        self._run = run
        self._more = more
        self._written = 0
        self._failed = False

    def report(self) -> None:
        """Writes one report. Raises nothing that a database raises."""
        version = self._revocation.version
        if version < 0:
            return  # nothing is known of the keys yet, so no call is taken
        facts, counts = self.facts(), self._unlisted.take()
        try:
            self._run(lambda: self._write(version, facts, counts))
        except Error as error:
            self._unlisted.give_back(counts)
            if isinstance(error, OperationalError | InterfaceError):
                return  # the database is away: the refresher says so
            if not self._failed:
                logger.exception("What this worker does cannot be published; pages will not show it.")
            self._failed = True
        except BaseException:
            self._unlisted.give_back(counts)
            raise
        else:
            self._failed = False

    def last_report(self) -> None:
        """At the end of the process: what it has counted and not stored yet. Raises nothing that a database raises."""
        counts = self._unlisted.take()
        try:
            if counts:
                self._run(lambda: UnlistedCalls.objects.add(counts))
        except Error:
            logger.warning("%d calls that were refused without a known key are not in its sums.", sum(counts.values()))

    def facts(self) -> dict[str, Any]:
        """What the worker says now."""
        calls = list(self._calls)
        return {
            **self._more(),
            "open": len(calls),
            "in_flight": _counts(call.upstream_id for call in calls),
            "open_by_key": _counts(call.key_id for call in calls),
            "open_by_team": _counts(call.team_id or "" for call in calls),
            "cut_by_key": {str(key_id): count for key_id, count in self._revocation.cut_by_key().items()},
            "calls": [_told(call) for call in calls[:MOST_CALLS]],
            "minute": self._recent.minute(),
            "five_minutes": self._recent.five_minutes(),
            "unlisted": self._unlisted.callers(),
        }

    def _write(self, version: int, facts: dict[str, Any], counts: Counts) -> None:
        reports = RelayReport.objects
        # Asked for here: whoever forks the worker is another process.
        reports.replace(node=platform.node(), worker=str(os.getpid()), keys_version=version, facts=facts)
        self._written += 1
        if self._written % _REMOVE_EVERY == 1:
            reports.remove_gone()
        UnlistedCalls.objects.add(counts)  # last: if all before it failed, they are not stored, and told again


def _counts(values: Iterable[object]) -> dict[str, int]:
    return {str(value): count for value, count in Counter(values).items() if value is not None}


def _told(call: OpenCall) -> dict[str, Any]:
    return {
        "call_id": call.call_id,
        "key_id": call.key_id,
        "upstream_id": call.upstream_id,
        "model": None if call.model is None else clean_text(call.model, MAX_LENGTHS["model"]),  # a client's word
        "route": clean_text(call.route, MAX_LENGTHS["route"]),
        "started": round(call.received_at, 3),
    }
