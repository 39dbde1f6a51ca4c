"""The time that the log is narrowed to: a period up to now, or from one moment on and up to another."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from gateway.account import call_ids

PERIODS = (
    ("", "Any time"),
    ("15m", "Last 15 minutes"),
    ("1h", "Last hour"),
    ("24h", "Last 24 hours"),
    ("7d", "Last 7 days"),
    ("30d", "Last 30 days"),
)
TIMES = ("period", "since", "until")
"""The filters that narrow the time."""
_LENGTHS = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}


def bounds(chosen: Mapping[str, Any]) -> tuple[UUID | None, UUID | None]:
    """The first call of the time that is asked for, and the one after the last: a range of the primary key."""
    starts = [chosen["since"]] if "since" in chosen else []
    if "period" in chosen:
        starts.append(timezone.now() - _LENGTHS[chosen["period"]])
    until = chosen.get("until")
    return call_ids.first_at(max(starts)) if starts else None, None if until is None else call_ids.first_at(until)
