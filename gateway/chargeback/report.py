"""Puts a month's report together: a line for each group, one for each server's idle time, and the total."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from common.money import USD
from gateway.account.rollups import OTHER
from gateway.chargeback import traffic
from gateway.chargeback.apportioning import IDLE, Group, rounded
from gateway.chargeback.hours import HOUR, Call, Ledger, Period, Share, Slice, Weights, slices
from gateway.chargeback.month import Month
from gateway.chargeback.traffic import Used, micros

CENT = USD // 100
HOURS_STEP = HOUR // 10_000  # a tenth of a thousandth of an hour
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Line:
    """What a group used in the month, and its share of the servers: `cents`, and `hours` in 1/10,000."""

    group: Group
    used: Used
    hours: int
    cents: int


@dataclass(frozen=True, slots=True)
class Server:
    """The bill of one upstream. `idle_hours` and `idle_cents` are what of it is nobody's."""

    name: str
    hours: int
    cents: int
    idle_hours: int
    idle_cents: int


@dataclass(frozen=True, slots=True)
class Report:
    """A month by one of `traffic.DIMENSIONS`. `notes` are sentences about what is not as exact as the rest."""

    by: str
    month: Month
    lines: Sequence[Line]
    servers: Sequence[Server]
    notes: Sequence[str]

    @property
    def total(self) -> Line:
        """All lines, idle time too."""
        costs = [line.used.cost for line in self.lines if line.used.cost is not None]
        used = Used(
            sum(line.used.calls for line in self.lines),
            sum(line.used.prompt_tokens for line in self.lines),
            sum(line.used.cached_tokens for line in self.lines),
            sum(line.used.completion_tokens for line in self.lines),
            sum(costs, Decimal(0)) if costs else None,
        )
        hours = sum(line.hours for line in self.lines) + sum(one.idle_hours for one in self.servers)
        cents = sum(line.cents for line in self.lines) + sum(one.idle_cents for one in self.servers)
        return Line((), used, hours, cents)


def report(month: Month, by: str, weights: Weights) -> Report:
    """The month's report. Raises `django.db.Error`."""
    used = traffic.used(by, month.start, month.end)
    periods, names = traffic.periods(month.start, month.end)
    split = _Split(month, by, weights, periods)
    ledger = split.ledger()
    hours: dict[Group, int] = {}
    cents: dict[Group, int] = {}
    servers = []
    for upstream_id, name in sorted(names.items(), key=lambda item: (item[1], item[0])):
        shares = _known(ledger.shares.get(upstream_id, {}), used, by)
        money = rounded({group: share.money for group, share in shares.items()}, CENT)
        time = rounded({group: share.time for group, share in shares.items()}, HOURS_STEP)
        servers.append(Server(name, sum(time.values()), sum(money.values()), time.pop(IDLE, 0), money.pop(IDLE, 0)))
        _add(cents, money)
        _add(hours, time)
    groups = sorted({*used, *cents}, key=lambda group: tuple(map(str, group)))
    lines = [Line(group, used.get(group, Used()), hours.get(group, 0), cents.get(group, 0)) for group in groups]
    return Report(by, month, lines, servers, tuple(_notes(month, split, names)))


def _add(sums: dict[Group, int], more: dict[Group, int]) -> None:
    for group, amount in more.items():
        sums[group] = sums.get(group, 0) + amount


def _known(shares: dict[Group, Share], used: dict[Group, Used], by: str) -> dict[Group, Share]:
    """Models beyond those that the sums by hour name are "other" there, and so they are here."""
    if by != "model" or (OTHER,) not in used:
        return shares
    found: dict[Group, Share] = {}
    for group, share in shares.items():
        name = group if group in used or group == IDLE else (OTHER,)
        before = found.get(name, Share(0, 0))
        found[name] = Share(before.money + share.money, before.time + share.time)
    return found


def _notes(month: Month, split: _Split, names: dict[int, str]) -> Iterable[str]:
    if not month.is_over:
        yield f"The month is not over: this is its state at {month.end:%Y-%m-%d %H:%M} UTC."
    if not names:
        yield "No upstream had a price per hour in this month, so there are no GPU hours to split."
    if names and (unpriced := traffic.unpriced(month.start, month.end)):
        yield f"Without a price per hour, and so not in the bill: {', '.join(unpriced)}."
    if split.estimated:
        since = "" if split.exact_from is None else f" before {split.exact_from:%Y-%m-%d %H:%M} UTC"
        yield (
            f"The rows of the request log{since} are gone. How busy the servers were is estimated there, from the sums "
            f"by hour; hours with calls: {split.estimated}."
        )


class _Split:
    """Goes through the month hour by hour. `estimated`: how many hours had calls and no rows any more."""

    def __init__(self, month: Month, by: str, weights: Weights, periods: Sequence[Period]) -> None:
        self._month = month
        self._by = by
        self._weights = weights
        self._periods = periods
        self._upstream_ids = sorted({period.upstream_id for period in periods})
        self.exact_from = traffic.rows_reach_back_to()
        self.estimated = 0

    def ledger(self) -> Ledger:
        """The shares of every upstream that had a price."""
        ledger = Ledger()
        if not self._periods:
            return ledger
        open_calls = self._calls(self._month.start - traffic.LONGEST_CALL, self._month.start)
        called = traffic.hours_with_calls(self._upstream_ids, self._month.start, self._month.end)
        hour = self._month.start
        while hour < self._month.end:
            start, end = micros(hour), micros(hour + _HOUR)
            open_calls = [call for call in open_calls if call.end > start]
            parts = list(slices(self._periods, start, end))
            if self._has_rows(hour):
                open_calls += self._calls(hour, hour + _HOUR) if hour in called else []
                _spread(open_calls, parts)
            elif hour in called:
                self._estimate(hour, parts)
            for part in parts:
                ledger.enter(part)
            hour += _HOUR
        return ledger

    def _has_rows(self, hour: datetime) -> bool:
        return self.exact_from is not None and hour >= self.exact_from

    def _calls(self, start: datetime, end: datetime) -> list[Call]:
        return traffic.calls(self._by, self._weights, self._upstream_ids, start, end)

    def _estimate(self, hour: datetime, parts: Sequence[Slice]) -> None:
        of_hour = list(traffic.sums(self._by, self._weights, self._upstream_ids, hour))
        self.estimated += bool(of_hour)
        for upstream_id, weights, busy in of_hour:
            for part in parts:
                if part.upstream_id == upstream_id:
                    part.fill(weights, busy)


def _spread(calls: Iterable[Call], parts: Sequence[Slice]) -> None:
    of: dict[int, list[Slice]] = {}
    for part in parts:
        of.setdefault(part.upstream_id, []).append(part)
    for call in calls:
        for part in of.get(call.upstream_id, ()):
            part.add(call)
