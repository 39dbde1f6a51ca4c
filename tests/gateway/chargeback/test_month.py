"""Tests of gateway.chargeback.month."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.chargeback.month import NoFullHour, WrongMonth, latest, month

NOW = datetime(2026, 11, 21, 12, 34, 56, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [("2026-10", (2026, 10, 1), (2026, 11, 1)), ("2025-12", (2025, 12, 1), (2026, 1, 1))],
)
def test_a_month_goes_up_to_the_next_one(name: str, start: tuple[int, int, int], end: tuple[int, int, int]) -> None:
    found = month(name, NOW)
    assert (found.start, found.end, found.is_over) == (datetime(*start, tzinfo=UTC), datetime(*end, tzinfo=UTC), True)


def test_one_that_is_not_over_ends_with_the_last_full_hour() -> None:
    found = month("2026-11", NOW)
    assert (found.end, found.is_over) == (datetime(2026, 11, 21, 12, tzinfo=UTC), False)


def test_a_month_is_over_when_the_next_one_begins() -> None:
    assert month("2026-10", datetime(2026, 11, 1, tzinfo=UTC)).is_over


@pytest.mark.parametrize(
    "name",
    ["", "2026", "2026-13", "2026-00", "2026-1", "11-2026", "2026-11-01", "1999-01", "²026-11", "2026-11\n", "x"],
)
def test_what_is_no_month_is_refused(name: str) -> None:
    with pytest.raises(WrongMonth, match=r"^--month must be a month such as 2026-11\.$"):
        month(name, NOW)


def test_a_month_to_come_is_refused() -> None:
    with pytest.raises(WrongMonth, match="2026-12 has not begun"):
        month("2026-12", NOW)
    with pytest.raises(NoFullHour, match="2026-11 has no full hour yet"):
        month("2026-11", datetime(2026, 11, 1, 0, 59, tzinfo=UTC))


@pytest.mark.parametrize(
    ("now", "began"),
    [
        (datetime(2026, 11, 1, 0, 59, 59, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC)),
        (datetime(2026, 11, 1, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)),
        (datetime(2026, 1, 1, 0, 30, tzinfo=UTC), datetime(2025, 12, 1, tzinfo=UTC)),
        (datetime(2026, 11, 30, 23, 59, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)),
    ],
)
def test_the_latest_month_has_a_full_hour(now: datetime, began: datetime) -> None:
    assert latest(now) == began
    assert month(f"{began:%Y-%m}", now).end > began
