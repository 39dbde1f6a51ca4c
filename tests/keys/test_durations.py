"""Tests of keys.durations."""

from datetime import UTC, datetime, timedelta

import pytest

from keys.durations import expiry

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
