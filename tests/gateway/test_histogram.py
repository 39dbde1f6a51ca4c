import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.account.histogram import (
    DURATION_BOUNDS_MS,
    DURATION_COLUMNS,
    TTFT_BOUNDS_MS,
    TTFT_COLUMNS,
    bucket_of,
    percentile,
)


def test_there_is_one_column_more_than_bounds() -> None:
    assert len(TTFT_COLUMNS) == len(TTFT_BOUNDS_MS) + 1
    assert len(DURATION_COLUMNS) == len(DURATION_BOUNDS_MS) + 1


@pytest.mark.parametrize(("ms", "bucket"), [(0, 0), (10, 0), (10.1, 1), (20, 1), (81_920, 13), (1e9, 14)])
def test_a_time_is_in_the_first_bucket_that_holds_it(ms: float, bucket: int) -> None:
    assert bucket_of(TTFT_BOUNDS_MS, ms) == bucket


def test_nothing_has_no_percentile() -> None:
    assert percentile(TTFT_BOUNDS_MS, [0] * 15, 0.5) is None


def test_a_percentile_is_read_within_its_bucket() -> None:
    assert percentile((10.0, 20.0), [0, 4, 0], 0.5) == 15.0


def test_the_open_bucket_is_reported_as_its_lower_bound() -> None:
    assert percentile((10.0, 20.0), [0, 0, 4], 0.5) == 20.0


@given(st.lists(st.floats(0, 80_000), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_at_most_a_bucket_away(times: list[float], share: float) -> None:
    counts = [0] * 15
    for ms in times:
        counts[bucket_of(TTFT_BOUNDS_MS, ms)] += 1
    true = sorted(times)[max(0, -int(-share * len(times) // 1) - 1)]
    read = percentile(TTFT_BOUNDS_MS, counts, share)
    assert read is not None
    assert abs(bucket_of(TTFT_BOUNDS_MS, read) - bucket_of(TTFT_BOUNDS_MS, true)) <= 1
