"""Times of an upstream, and wishes of a caller, which can only make them shorter."""

import pytest

from common.errors import InvalidRequest
from gateway.time_limits import NO_WISH, TimeLimits, wish_of
from upstreams.selection import Timeouts

LIMITS = TimeLimits(body=10, first_byte=20, idle=30, total=100)


def test_without_more_the_settings_hold() -> None:
    assert LIMITS.of(Timeouts(), NO_WISH) == LIMITS


def test_an_upstream_s_own_times_hold_there() -> None:
    own = LIMITS.of(Timeouts(first_byte=600, idle=5), NO_WISH)
    assert own == TimeLimits(body=10, first_byte=600, idle=5, total=100)


def test_a_caller_can_only_make_them_shorter() -> None:
    assert LIMITS.of(Timeouts(total=50), wish_of("7", "8.5")) == TimeLimits(10, 8.5, 8.5, 7)
    assert LIMITS.of(Timeouts(total=50), wish_of("700", "800")) == TimeLimits(10, 20, 30, 50)


def test_a_wish_of_one_says_nothing_of_the_other() -> None:
    assert wish_of(None, "2") == Timeouts(first_byte=2, idle=2)
    assert wish_of("2", None) == Timeouts(total=2)
    assert wish_of(None, None) is NO_WISH


@pytest.mark.parametrize("value", ["", "0", "-1", "soon", "nan", "inf", "1e999"])
def test_what_is_no_time_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        wish_of(value, None)
    assert refused.value.param == "x-litellm-timeout"
    with pytest.raises(InvalidRequest):
        wish_of(None, value)
