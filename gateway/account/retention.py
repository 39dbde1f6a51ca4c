"""Removes old rows of the request log, a bounded number at a time, and stored responses, windows of budgets and
captured payloads and sums of unlisted calls that are past their time. The roll-ups keep what was used.

Knows nothing of journals.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import router, transaction

from gateway.account import call_ids
from gateway.account.unlisted_calls import KEPT_FOR as UNLISTED_KEPT
from gateway.capture.models import CapturedPayload
from gateway.models import RequestFacet, RequestLog, StoredResponse, UnlistedCalls
from keys.models import SpendWindow

BATCH = 5_000
RESPONSES_BATCH = 500  # their rows may be large
HOUR_SECONDS = 3600.0
WINDOWS_KEPT = timedelta(days=40)
_PAUSE_SECONDS = 0.05  # in which others may write; SQLite has one writer


def prune(
    older_than_days: float,
    batch: int = BATCH,
    stop: threading.Event | None = None,
    *,
    now: datetime | None = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Deletes the rows of calls received more than so many days ago, in short transactions, until all are gone or
    `stop` is set; returns how many. `progress` is told the number so far after each. Raises `django.db.Error`."""
    stop = stop or threading.Event()
    end = first_kept(older_than_days, now or datetime.now(UTC))
    deleted = 0
    while not stop.is_set():
        some = prune_batch(end, batch)
        deleted += some
        if some and progress is not None:
            progress(deleted)
        if some < batch:
            break
        stop.wait(_PAUSE_SECONDS)
    return deleted


def first_kept(days: float, now: datetime) -> UUID:
    """The lowest primary key that a row received in the last so many days can have."""
    return call_ids.first_at(now - timedelta(days=days))


def prune_batch(end: UUID, batch: int) -> int:
    """Deletes the oldest rows before `end`, at most `batch`, as one range of the primary key."""
    oldest = RequestLog.objects.filter(pk__lt=end).order_by("pk").values_list("pk", flat=True)
    beyond = oldest[batch : batch + 1].first()
    with transaction.atomic(using=router.db_for_write(RequestLog)):
        RequestFacet.objects.filter(call_id__lt=beyond or end).delete()
        return RequestLog.objects.filter(pk__lt=beyond or end).delete()[0]


def prune_responses(now: datetime, batch: int = RESPONSES_BATCH) -> int:
    """Deletes the stored responses that expired first, at most `batch`; returns how many. Raises `django.db.Error`."""
    expired = StoredResponse.objects.filter(expires_at__lte=now).order_by("expires_at").values_list("pk", flat=True)
    return StoredResponse.objects.filter(pk__in=list(expired[:batch])).delete()[0]


def prune_windows(now: datetime, batch: int = RESPONSES_BATCH) -> int:
    """Deletes what was spent in windows that ended long ago, at most `batch`; returns how many. Raises likewise."""
    ended = SpendWindow.objects.filter(ends_at__lt=now - WINDOWS_KEPT).order_by("ends_at").values_list("pk", flat=True)
    return SpendWindow.objects.filter(pk__in=list(ended[:batch])).delete()[0]


def prune_payloads(now: datetime, batch: int = RESPONSES_BATCH) -> int:
    """Deletes the captured payloads that are past their time, at most `batch`; returns how many. Raises likewise."""
    end = now - timedelta(days=settings.CAPTURE_RETENTION_DAYS)
    old = CapturedPayload.objects.filter(captured_at__lt=end).order_by("captured_at").values_list("pk", flat=True)
    return CapturedPayload.objects.filter(pk__in=list(old[:batch])).delete()[0]


def prune_unlisted(now: datetime, batch: int = RESPONSES_BATCH) -> int:
    """Deletes old sums of calls that have no rows, at most `batch`; returns how many. Raises likewise."""
    old = UnlistedCalls.objects.filter(slot__lt=now - UNLISTED_KEPT).order_by("slot").values_list("pk", flat=True)
    return UnlistedCalls.objects.filter(pk__in=list(old[:batch])).delete()[0]


class Pruner:
    """Prunes once an hour, one batch at each turn, so that whoever gives it turns is never held up for long."""

    def __init__(self, days: float, *, batch: int = BATCH, clock: Callable[[], float] = time.time) -> None:
        self._days = days
        self._batch = batch
        self._clock = clock
        self._due_at = 0.0

    def turn(self) -> int:
        """Deletes one batch if it is time; returns the number of rows. Raises `django.db.Error`."""
        now = self._clock()
        if now < self._due_at:
            return 0
        today = datetime.fromtimestamp(now, tz=UTC)
        deleted = prune_batch(first_kept(self._days, today), self._batch)
        responses = prune_responses(today, min(self._batch, RESPONSES_BATCH))
        windows = prune_windows(today, min(self._batch, RESPONSES_BATCH))
        payloads = prune_payloads(today, min(self._batch, RESPONSES_BATCH))
        unlisted = prune_unlisted(today, min(self._batch, RESPONSES_BATCH))
        if deleted < self._batch and max(responses, windows, payloads, unlisted) < min(self._batch, RESPONSES_BATCH):
            self._due_at = now + HOUR_SECONDS
        return deleted + responses + windows + payloads + unlisted
