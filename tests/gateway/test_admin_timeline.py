import pytest

from gateway.admin_pages.timeline import THINNEST, WIDTH, bars


def test_bars_follow_each_other_on_one_scale() -> None:
    first, second = bars([("received", 0.0), ("upstream head", 25.0), ("end", 100.0)])
    assert (first.x, first.width, second.x, second.width) == (0, 250, 250, 750)


def test_each_bar_can_be_seen_and_none_leaves_the_drawing() -> None:
    drawn = bars([("received", 0.0), ("upstream head", 99_999.0), ("end", 100_000.0)])
    assert all(bar.width >= THINNEST and bar.x + bar.width <= WIDTH for bar in drawn)


@pytest.mark.parametrize("moments", [[], [("received", 0.0)]])
def test_a_single_moment_has_no_bar(moments: list[tuple[str, float]]) -> None:
    assert bars(moments) == []


def test_a_call_of_no_length_is_drawn() -> None:
    [bar] = bars([("received", 0.0), ("end", 0.0)])
    assert (bar.x, bar.width) == (0, THINNEST)
