"""The questions that the report asks the database. Every answer is a value; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db.models import Max, Sum

from common.money import units
from gateway.account import histogram
from gateway.account.entry import UsageSource
from gateway.chargeback.apportioning import Group
from gateway.chargeback.hours import HOUR, Call, Period, Weights
from gateway.models import RequestLog, UsageHour
from gateway.routes import INFERENCE
from keys.models import Owner, Team, VirtualKey
from upstreams.models import PricePeriod, Upstream

DIMENSIONS: Mapping[str, tuple[str, ...]] = {
    "key": ("team_id", "key_id"),
    "team": ("team_id",),
    "user": ("user_id",),
    "model": ("model",),
}
"""The columns that the report can group by."""
LONGEST_CALL = timedelta(days=1)
"""How far back before a month a call is looked for that reaches into it."""

_HOUR = timedelta(hours=1)
_TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Used:
    """What a group used in a month. `cost` is after the price lists, None where nothing had a price."""

    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost: Decimal | None = None


def micros(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def used(by: str, start: datetime, end: datetime) -> dict[Group, Used]:
    """What each group used in these hours."""
    columns = DIMENSIONS[by]
    rows = UsageHour.objects.between(start, end).order_by().values_list(*columns)
    sums = rows.annotate(*map(Sum, ("calls", *_TOKENS, "cost")))
    return {tuple(row[: len(columns)]): Used(*row[len(columns) :]) for row in sums}


def periods(start: datetime, end: datetime) -> tuple[list[Period], dict[int, str]]:
    """What the upstreams cost in this time, and their names; those are theirs, or those that they had last."""
    rows = list(PricePeriod.objects.between(start, end))
    found = [
        Period(
            row.upstream_id,
            units(row.price_per_hour),
            micros(max(row.begins_at, start)),
            micros(min(row.ends_at or end, end)),
        )
        for row in rows
    ]
    return found, {row.upstream_id: row.upstream_name for row in rows}


def unpriced(start: datetime, end: datetime) -> list[str]:
    """The upstreams that had calls in this time and have no price now."""
    called = UsageHour.objects.between(start, end).order_by().values_list("upstream_id", flat=True).distinct()
    rows = Upstream.objects.filter(pk__in=list(called), price_per_hour=None)
    return sorted(rows.values_list("name", flat=True))


# --- Hours --------------------------------------------------------------------------------------------------------


def rows_reach_back_to() -> datetime | None:
    """The first hour all of whose calls still have their rows; None when there is no row at all."""
    oldest = RequestLog.objects.order_by("pk").values_list("received_at", flat=True).first()
    if oldest is None:
        return None
    hour = oldest.replace(minute=0, second=0, microsecond=0)
    counted = UsageHour.objects.filter(hour=hour).aggregate(calls=Sum("calls"))["calls"] or 0
    # The primary key has the time to the millisecond only, and a little earlier.
    rows = RequestLog.objects.between(hour - _HOUR, hour + _HOUR + timedelta(seconds=1))
    there = rows.filter(received_at__gte=hour, received_at__lt=hour + _HOUR).count()
    return hour if there >= counted else hour + _HOUR


def hours_with_calls(upstream_ids: Sequence[int], start: datetime, end: datetime) -> set[datetime]:
    """The hours in which these upstreams may have had calls: a call's id can be a little older than its hour."""
    rows = UsageHour.objects.between(start, end + _HOUR).filter(upstream_id__in=upstream_ids)
    found = set(rows.order_by().values_list("hour", flat=True).distinct())
    return found | {hour - _HOUR for hour in found}


def calls(by: str, weights: Weights, upstream_ids: Sequence[int], start: datetime, end: datetime) -> list[Call]:
    """The calls received in this time that these upstreams worked on, by their starts.

    Not those whose end is not known (the gateway was killed), nor those that used nothing.
    """
    rows = RequestLog.objects.between(start, end).filter(
        upstream_id__in=upstream_ids, endpoint_class=INFERENCE, ended_at__isnull=False
    )
    found = [
        Call(micros(received), micros(ended), upstream, weights.of(prompt, cached, completion), _group(group))
        for upstream, received, ended, prompt, cached, completion, *group in rows.exclude(usage_source=UsageSource.NONE)
        .order_by()
        .values_list("upstream_id", "received_at", "ended_at", *_TOKENS, *DIMENSIONS[by])
    ]
    return sorted(found)


def _group(values: Sequence[object]) -> Group:
    """As the roll-ups have it, where nothing is NULL. (Only the id of a key is a number.)"""
    return tuple("" if value is None else value for value in values)


def sums(
    by: str, weights: Weights, upstream_ids: Sequence[int], hour: datetime
) -> Iterator[tuple[int, dict[Group, int], int]]:
    """For an hour without rows: each upstream, the weights of its groups, and the durations of its calls, added up."""
    rows = UsageHour.objects.filter(hour=hour, upstream_id__in=upstream_ids).order_by()
    durations: dict[int, int] = {}
    by_upstream: dict[int, dict[Group, int]] = {}
    totals = rows.values_list("upstream_id", *DIMENSIONS[by]).annotate(*map(Sum, _TOKENS))
    for upstream, *rest in totals:
        group, (prompt, cached, completion) = tuple(rest[:-3]), rest[-3:]
        by_upstream.setdefault(upstream, {})[group] = weights.of(prompt, cached, completion)
    for upstream, *counts in rows.values_list("upstream_id").annotate(*map(Sum, histogram.DURATION_COLUMNS)):
        durations[upstream] = histogram_sum(counts)
    for upstream, found in by_upstream.items():
        yield upstream, found, min(durations[upstream], HOUR)


def histogram_sum(counts: Sequence[int]) -> int:
    """The durations of a histogram added up, in microseconds: each the middle of its bucket, of the last the start."""
    bounds = histogram.DURATION_BOUNDS_MS
    middles = [(low + high) / 2 for low, high in zip((0.0, *bounds), bounds, strict=False)]
    return int(sum(count * ms for count, ms in zip(counts, (*middles, bounds[-1]), strict=True)) * 1000)


# --- Names --------------------------------------------------------------------------------------------------------


def names(by: str, start: datetime, end: datetime) -> dict[object, str]:
    """What people call the members of the last dimension, by their ids."""
    return _NAMES[by](start, end)


def team_names(start: datetime | None = None, end: datetime | None = None) -> dict[object, str]:
    """The aliases of the teams."""
    return {ident: alias for ident, alias in Team.objects.values_list("team_id", "alias") if alias}


def _key_names(start: datetime, end: datetime) -> dict[object, str]:
    rows = UsageHour.objects.between(start, end).order_by().values_list("key_id").annotate(Max("key_name"))
    then: dict[object, str] = dict(rows)
    now = VirtualKey.objects.filter(pk__in=list(then)).exclude(name=None).values_list("pk", "name")
    return {**then, **dict(now)}


def _user_names(start: datetime, end: datetime) -> dict[object, str]:
    rows = Owner.objects.values_list("user_id", "alias", "email")
    return {ident: alias or email or "" for ident, alias, email in rows}


def _no_names(start: datetime, end: datetime) -> dict[object, str]:
    return {}


_NAMES = {"key": _key_names, "team": team_names, "user": _user_names, "model": _no_names}
