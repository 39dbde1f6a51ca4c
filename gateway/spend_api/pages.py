"""Pages of the request log by number, however many rows lie before them.

The log is never counted, nor are the rows before a page read: where the roll-ups tell how many calls each hour had,
they tell in which hour the page begins, and it is read from there, in the order of the primary key. Elsewhere rows are
counted up to MOST_COUNTED, as LiteLLM does, and later pages are asked for by the cursor.

A call that comes in the very moment in which an hour ends may have its id in one hour and be counted in the other: then
a page shows a row twice, or misses it. Who must not miss any follows the cursors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F, Q, QuerySet, Sum
from django.utils import timezone

from common.errors import InvalidRequest
from gateway.account.rollups import OTHER
from gateway.models import RequestLog, RequestLogQuerySet, UsageHour, UsageHourTag, UsageHourTotal
from gateway.spend_api.wanted import Wanted

MOST_COUNTED = 10_000
MOST_SUMMED = 50_000
"""Roll-ups of one key that are summed to find a page; a key with more is counted up to MOST_COUNTED instead."""
HOUR = timedelta(hours=1)

_COUNTING: dict[bool | None, Any] = {None: F("calls"), True: F("errors"), False: F("calls") - F("errors")}


@dataclass(frozen=True, slots=True)
class Asked:
    """Which page: by its number, or what follows the call `cursor`."""

    number: int = 1
    size: int = 50
    cursor: UUID | None = None
    ascending: bool = False

    @property
    def offset(self) -> int:
        """Rows before the page."""
        return (self.number - 1) * self.size


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and how many there are; of a total that `is_capped` there are more."""

    rows: list[RequestLog] = field(default_factory=list)
    total: int = 0
    is_capped: bool = False
    has_more: bool = False


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time and how many of the calls it holds; `end` None is open."""

    start: datetime
    end: datetime | None
    calls: int


def page_of(wanted: Wanted, asked: Asked) -> Page:
    """One page. Raises InvalidRequest for one that cannot be found by its number."""
    rows = wanted.rows()
    stretches = _stretches(wanted, rows)
    within = rows.between(wanted.start, wanted.end)
    total = sum(one.calls for one in stretches) if stretches is not None else _counted(within)
    is_capped = stretches is None and total > MOST_COUNTED
    if asked.cursor is not None:
        found, more = _read(_after(within, asked), asked, 0)
    elif stretches is not None:
        found, more = _read(*_located(within, stretches, asked))
    elif asked.offset >= MOST_COUNTED:
        raise InvalidRequest(
            f"page: With these filters only the first {MOST_COUNTED:,} rows have page numbers; "
            "narrow the time, or follow next_cursor.",
            param="page",
        )
    else:
        found, more = _read(within, asked, asked.offset)
    return Page(found, min(total, MOST_COUNTED) if is_capped else total, is_capped, more)


def _counted(rows: RequestLogQuerySet) -> int:
    return rows.order_by()[: MOST_COUNTED + 1].count()


def _after(rows: RequestLogQuerySet, asked: Asked) -> RequestLogQuerySet:
    return rows.filter(pk__gt=asked.cursor) if asked.ascending else rows.filter(pk__lt=asked.cursor)


def _read(rows: RequestLogQuerySet, asked: Asked, skipped: int) -> tuple[list[RequestLog], bool]:
    """The ids first: what is skipped is then only read from an index."""
    ordered = rows.order_by("pk" if asked.ascending else "-pk").values_list("pk", flat=True)
    ids = list(ordered[skipped : skipped + asked.size + 1])
    found = RequestLog.objects.filter(pk__in=ids[: asked.size]).order_by()
    return sorted(found, key=lambda row: row.pk, reverse=not asked.ascending), len(ids) > asked.size


def _located(
    rows: RequestLogQuerySet, stretches: Sequence[Stretch], asked: Asked
) -> tuple[RequestLogQuerySet, Asked, int]:
    """The rows from the stretch on in which the page begins, and how many of these come before the page."""
    ordered = list(stretches) if asked.ascending else list(reversed(stretches))
    before = 0
    for place, one in enumerate(ordered):
        if asked.offset < before + one.calls:
            last = _last_needed(ordered, place, asked.offset - before + asked.size)
            ends = (one, last) if asked.ascending else (last, one)
            start, end = (None if ends[0] is None else ends[0].start), (None if ends[1] is None else ends[1].end)
            return rows.between(start, end), asked, asked.offset - before
        before += one.calls
    return rows.none(), asked, 0


def _last_needed(ordered: Sequence[Stretch], place: int, needed: int) -> Stretch | None:
    """Where the page ends, and one stretch more; this keeps the search for what is rare short."""
    for later in range(place, len(ordered)):
        needed -= ordered[later].calls
        if needed < 0:
            return ordered[later + 1] if later + 1 < len(ordered) else None
    return None


def _stretches(wanted: Wanted, rows: RequestLogQuerySet) -> list[Stretch] | None:
    """The hours of the range, oldest first, with the number of calls in each; None where no roll-up can tell.

    The first and the last may be parts of hours, and are counted. Hours whose rows are gone play no part.
    """
    hours = _hours(wanted)
    if hours is None:
        return None
    oldest = RequestLog.objects.order_by("pk").values_list("received_at", flat=True).first()
    start = max(wanted.start or oldest, oldest) if oldest is not None else None
    if start is None or (wanted.end is not None and wanted.end <= start):
        return []
    first, last = _floor(start) + HOUR, _floor(wanted.end or timezone.now() + 24 * HOUR)
    if first >= last:
        return [_counted_stretch(rows, start, wanted.end)]
    whole = hours.filter(hour__gte=first, hour__lt=last).order_by("hour")
    counts = list(whole.values_list("hour").annotate(calls=Sum(_COUNTING[wanted.failed])))
    found = [_counted_stretch(rows, start, first)]
    found += [Stretch(hour, hour + HOUR, calls or 0) for hour, calls in counts]
    if wanted.end is not None and wanted.end > last:
        found.append(_counted_stretch(rows, last, wanted.end))
    return found


def _counted_stretch(rows: RequestLogQuerySet, start: datetime, end: datetime | None) -> Stretch:
    return Stretch(start, end, rows.between(start, end).count())


def _floor(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _hours(wanted: Wanted) -> QuerySet[Any] | None:
    """The roll-ups that count just the wanted calls, if there are such."""
    if wanted.others != Q() or (wanted.tag is not None and wanted.columns):
        return None
    if wanted.tag is not None:
        return _hours_of_tag(wanted, wanted.tag)
    if not wanted.columns:
        return UsageHourTotal.objects.all()
    if set(wanted.columns) != {"key_id"}:
        return None
    of_key = _in_range(UsageHour.objects.filter(**wanted.columns), wanted)
    return None if of_key[: MOST_SUMMED + 1].count() > MOST_SUMMED else of_key


def _hours_of_tag(wanted: Wanted, tag: str) -> QuerySet[Any] | None:
    """None when there were too many tags in some hour: one may be among the others."""
    hours = _in_range(UsageHourTag.objects.all(), wanted)
    return None if tag == OTHER or hours.filter(tag=OTHER).exists() else hours.filter(tag=tag)


def _in_range(hours: QuerySet[Any], wanted: Wanted) -> QuerySet[Any]:
    if wanted.start is not None:
        hours = hours.filter(hour__gte=_floor(wanted.start))
    return hours if wanted.end is None else hours.filter(hour__lt=wanted.end)
