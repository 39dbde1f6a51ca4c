from datetime import UTC, datetime

import pytest

from common.admin import badge, duration, figure, moment


def test_a_badge_escapes_its_text() -> None:
    assert badge("good", "<b>") == '<span class="badge badge-good" title="">&lt;b&gt;</span>'


def test_a_moment_is_in_utc_and_can_be_read_by_a_script() -> None:
    html = moment(datetime(2026, 5, 4, 12, 30, 1, tzinfo=UTC))
    assert html == '<time datetime="2026-05-04T12:30:01.000+00:00">2026-05-04 12:30:01 UTC</time>'


def test_no_moment_is_said_in_a_word() -> None:
    assert moment(None, "never") == "never"


@pytest.mark.parametrize(("number", "text"), [(None, "—"), (0, "0"), (1234567, "1,234,567")])
def test_figures_have_their_thousands_separated(number: int | None, text: str) -> None:
    assert figure(number) == text


def test_a_figure_has_its_unit() -> None:
    assert figure(1500, "bytes") == "1,500 bytes"


@pytest.mark.parametrize(
    ("milliseconds", "text"), [(None, "—"), (12.4, "12 ms"), (1500, "1.50 s"), (180_000, "3.0 min")]
)
def test_durations_are_in_the_unit_that_suits_them(milliseconds: float | None, text: str) -> None:
    assert duration(milliseconds) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(None, "—"), (0, "0 ms"), (0.3, "0.30 ms"), (3, "3.00 ms"), (12.4, "12 ms"), (1500, "1.50 s")],
)
def test_short_ones_keep_two_decimals_where_they_matter(milliseconds: float | None, text: str) -> None:
    assert duration(milliseconds, fine=True) == text
