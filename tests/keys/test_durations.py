"""Tests of keys.durations."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.durations import expiry, is_period, window

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("duration", "lifetime"),
    [
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("2h", timedelta(hours=2)),
        ("30d", timedelta(days=30)),
        ("2w", timedelta(weeks=2)),
        ("hourly", timedelta(hours=1)),
        ("daily", timedelta(days=1)),
        ("weekly", timedelta(weeks=1)),
        ("1mo", timedelta(days=28)),
        ("monthly", timedelta(days=28)),
        ("14mo", timedelta(days=365 + 59)),
    ],
)
def test_a_duration_is_counted_from_now(duration, lifetime):
    assert expiry(duration, NOW) == NOW + lifetime


@pytest.mark.parametrize(
    "text", ["", "30", "d", "0d", "-1d", "1.5h", " 1d", "1d ", "1d\n", "1D", "1y", "1d2h", "abc", "٣d"]
)
def test_what_is_not_a_duration_is_refused(text):
    with pytest.raises(ValueError):
        expiry(text, NOW)


@pytest.mark.parametrize("text", ["999999999w", "999999999d", "999999999mo", "99999mo"])
def test_a_duration_beyond_the_calendar_is_refused(text):
    with pytest.raises(ValueError):
        expiry(text, NOW)


NOON = datetime(2026, 11, 21, 12, 10, 40, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("30s", "2026-11-21 12:10:30", "2026-11-21 12:11:00"),
        ("30m", "2026-11-21 12:00:00", "2026-11-21 12:30:00"),
        ("1h", "2026-11-21 12:00:00", "2026-11-21 13:00:00"),
        ("24h", "2026-11-21 00:00:00", "2026-11-22 00:00:00"),
        ("daily", "2026-11-21 00:00:00", "2026-11-22 00:00:00"),
        ("7d", "2026-11-16 00:00:00", "2026-11-23 00:00:00"),
        ("1w", "2026-11-16 00:00:00", "2026-11-23 00:00:00"),
        ("30d", "2026-11-01 00:00:00", "2026-12-01 00:00:00"),
        ("monthly", "2026-11-01 00:00:00", "2026-12-01 00:00:00"),
        ("3mo", "2026-10-01 00:00:00", "2027-01-01 00:00:00"),
    ],
)
def test_windows_are_snapped_as_litellm_s_are(period: str, start: str, end: str) -> None:
    found = window(period, NOON)
    assert [str(datetime.fromtimestamp(at or 0, UTC))[:19] for at in found] == [start, end]


def test_no_period_is_one_window_without_an_end() -> None:
    assert window("", NOON) == (0, None)


@pytest.mark.parametrize("period", ["30", "0d", "soon", "1y", "-1d", " 1d"])
def test_what_is_no_period(period: str) -> None:
    assert not is_period(period)


@given(st.sampled_from(["1s", "7m", "5h", "3d", "2w", "1mo", "5mo"]), st.floats(0, 4e9))
def test_every_moment_is_in_its_window(period: str, now: float) -> None:
    start, end = window(period, now)
    assert end is not None
    assert start <= now < end
    assert window(period, end)[0] == end


@pytest.mark.parametrize("period", ["999999999w", "9999999d", "99999999h"])
def test_a_period_that_outlives_the_calendar_is_none(period):
    assert not is_period(period)
    assert window(period, NOW.timestamp())[1] is None  # of a row that has it nevertheless
