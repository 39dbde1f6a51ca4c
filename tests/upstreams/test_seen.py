"""What is drawn of an upstream's past."""

from datetime import UTC, datetime, timedelta

import pytest

from upstreams.seen import THINNEST, WIDTH, lasted, load_chart, share, stretches

START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(hours=10)


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def test_changes_become_stretches_on_one_scale() -> None:
    found = stretches([(at(5), "unhealthy"), (at(6), "healthy")], START, END, before="healthy")
    assert [(one.health, one.x, one.width) for one in found] == [
        ("healthy", 0, 500),
        ("unhealthy", 500, 100),
        ("healthy", 600, 400),
    ]


def test_a_moment_of_illness_can_be_seen_and_does_not_leave_the_strip() -> None:
    found = stretches([(END - timedelta(seconds=1), "unhealthy")], START, END, before="healthy")
    assert found[-1].width == THINNEST
    assert found[-1].x + found[-1].width == WIDTH


def test_changes_before_and_after_are_not_drawn() -> None:
    assert len(stretches([(at(-1), "unhealthy"), (at(11), "unhealthy")], START, END, before="healthy")) == 1


def test_time_that_nobody_knows_counts_for_nothing() -> None:
    found = stretches([(at(5), "healthy"), (at(9), "unhealthy")], START, END, before="unknown")
    assert share(found, "healthy", of=("healthy", "unhealthy")) == pytest.approx(0.8)
    assert share(found[:1], "healthy", of=("healthy", "unhealthy")) is None


def values(chart: dict, name: str) -> list:
    return next(one["values"] for one in chart["series"] if one["name"] == name)


def test_the_highest_of_a_step_counts_and_a_missing_one_is_a_gap() -> None:
    step = timedelta(seconds=125)  # ten hours in 288 steps
    samples = [(START, 1, 0, 0.5), (START + step / 2, 4, 2, 0.25), (START + 2 * step, 2, 0, None)]
    chart = load_chart(samples, START, END)
    assert chart["x"][:3] == [int((START + step * one).timestamp()) for one in range(3)]
    assert values(chart, "running")[:3] == [4, None, 2]
    assert values(chart, "waiting")[:3] == [2, None, 0]
    assert values(chart, "KV-cache use")[:3] == [50.0, None, None]


@pytest.mark.parametrize(("seconds_ago", "gap"), [(10, 0), (59, 0), (120, 2), (600, 18)])
def test_a_server_that_is_away_has_a_gap_until_now(seconds_ago: int, gap: int) -> None:
    samples = [(END - timedelta(seconds=one), 1, 0, None) for one in (900, seconds_ago)]
    told = values(load_chart(samples, END - timedelta(hours=1), END), "running")
    assert (told[0], told[-1 - gap], told[len(told) - gap :]) == (1, 1, [None] * gap)


def test_without_samples_there_is_nothing_to_draw() -> None:
    assert load_chart([], START, END)["x"] == []


@pytest.mark.parametrize(
    ("length", "words"),
    [
        ({"seconds": 5}, "5 s"),
        ({"minutes": 3}, "3 min 0 s"),
        ({"hours": 2, "minutes": 7}, "2 h 7 min"),
        ({"days": 9}, "9 d 0 h"),
    ],
)
def test_lengths_of_time_are_told_in_two_units(length: dict[str, int], words: str) -> None:
    assert lasted(timedelta(**length)) == words
