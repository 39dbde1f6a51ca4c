"""Calls that have no row in the request log, as the admin's pages tell them. They are of no team, so they are told to
those who see every team."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q, Sum
from django.urls import reverse
from django.utils import timezone

from gateway.account import relay_report
from gateway.account.relay_report import RelayReport
from gateway.account.unlisted_calls import (
    BLOCKED,
    DATABASE_AWAY,
    EXPIRED,
    MALFORMED,
    MISTYPED,
    NO_KEY,
    NO_MANAGER,
    NOT_SERVING,
    OF_THE_KEY,
    OTHER,
    SLOT_SECONDS,
    UNKNOWN,
    UNSAFE_PATH,
)
from gateway.models import UnlistedCalls
from keys.scope import visible_teams

PERMISSION = "gateway.view_requestlog"
MOST_CALLERS = 20
HOUR, DAY, _SLOT = timedelta(hours=1), timedelta(days=1), timedelta(seconds=SLOT_SECONDS)

WORDS = {
    UNKNOWN: "with a key that is not known",
    MISTYPED: "with a key that is mistyped or cut off",
    MALFORMED: "with what is no virtual key",
    NO_KEY: "without a key",
    NO_MANAGER: "to the key API with a key that may not use it",
    BLOCKED: "to the key API with a key that is blocked",
    EXPIRED: "to the key API with a key that has expired",
    DATABASE_AWAY: "with a key that could not be looked up, as the database was away",
    NOT_SERVING: "while the gateway was starting or stopping",
    UNSAFE_PATH: "with a path that is not accepted",
    OTHER: "for another reason",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who was refused. `digest`: how the SHA-256 of the key begins, "" where there was none that could be known."""

    at: datetime
    address: str
    reason: str
    digest: str
    calls: int
    agent: str


@dataclass(frozen=True, slots=True)
class Unlisted:
    """Calls without rows: of the last 24 hours, of the day (UTC), and of the last hour, which begins up to five minutes
    early.

    `reasons`: how many of the 24 hours for which reason, in words. `of_key`: of the hour, those that lie with the key.
    `callers`: the last ones since the relay started.
    """

    in_day: int
    today: int
    in_hour: int
    of_key: int
    reasons: list[tuple[int, str]]
    callers: list[Caller]


def unlisted(user: Any, now: datetime | None = None) -> Unlisted | None:
    """None for who may not see them."""
    if not user.has_perm(PERMISSION) or visible_teams(user) is not None:
        return None
    now = now or timezone.now()
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    sums: dict[str, Any] = {
        "sum_day": Sum("calls"),
        "sum_today": Sum("calls", filter=Q(slot__gte=midnight)),
        "sum_hour": Sum("calls", filter=Q(slot__gt=now - HOUR - _SLOT)),
    }
    rows = UnlistedCalls.objects.since(now - DAY).order_by().values("reason").annotate(**sums)
    found = [(reason, [count or 0 for count in counts]) for reason, *counts in rows.values_list("reason", *sums)]
    found.sort(key=lambda one: -one[1][0])
    in_day, today, in_hour = (sum(counts[place] for _, counts in found) for place in range(3))
    return Unlisted(
        in_day=in_day,
        today=today,
        in_hour=in_hour,
        of_key=sum(counts[2] for reason, counts in found if reason in OF_THE_KEY),
        reasons=[(counts[0], words_of(reason)) for reason, counts in found],
        callers=callers(relay_report.current()) if found else [],
    )


def callers(reports: Iterable[RelayReport]) -> list[Caller]:
    """The last callers of all workers, the latest first."""
    told = [one for report in reports for one in report.facts.get("unlisted") or ()]
    told.sort(key=lambda one: -one["at"])
    return [
        Caller(
            at=datetime.fromtimestamp(one["at"], tz=UTC),
            address=one["address"],
            reason=words_of(one["reason"]),
            digest=one["digest"],
            calls=one["calls"],
            agent=one["agent"],
        )
        for one in told[:MOST_CALLERS]
    ]


def words_of(reason: str) -> str:
    """A reason in words; one of a later release by its name."""
    return WORDS.get(reason, reason.replace("_", " "))


def url() -> str:
    """Where they are told."""
    return f"{reverse('admin:gateway_requestlog_changelist')}?unlisted=open#unlisted"
