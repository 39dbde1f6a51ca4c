from datetime import UTC, datetime

import pytest

from common.money import USD
from keys.limit_words import amount, dollars, each, in_short, limit_word, period_choices, so_many, until, used_of
from keys.models import Team

SATURDAY = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("units", "words"),
    [
        (0, "$0.00"),
        (12 * USD // 10, "$1.20"),
        (123_456 * USD, "$123,456.00"),
        (int(0.0199 * USD), "$0.0199"),
        (USD // 2, "$0.50"),
        (31_000_000, "$0.0031"),
        (1, "$0.0000000001"),
        (5 * USD - 1, "$4.99"),
    ],
)
def test_money_is_cut_and_never_rounded_up(units: int, words: str) -> None:
    assert dollars(units) == words


def test_amounts_carry_their_unit() -> None:
    assert amount(1_200, "tokens") == "1,200 tokens"
    assert amount(USD, "usd") == "$1.00"
    assert used_of(1_200, 5_000, "tokens") == "1,200 of 5,000 tokens"
    assert used_of(USD, 5 * USD, "usd") == "$1.00 of $5.00"


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (datetime(2026, 11, 21, 14, tzinfo=UTC), "14:00 UTC"),
        (datetime(2026, 11, 22, tzinfo=UTC), "midnight UTC"),
        (datetime(2026, 11, 22, 4, tzinfo=UTC), "Sunday, 04:00 UTC"),
        (datetime(2026, 11, 23, tzinfo=UTC), "Monday"),
        (datetime(2026, 12, 1, tzinfo=UTC), "1 December"),
        (datetime(2027, 1, 1, tzinfo=UTC), "1 January"),
        (datetime(2027, 12, 1, tzinfo=UTC), "December 2027"),
    ],
)
def test_the_end_of_a_window_is_told_in_few_words(end: datetime, words: str) -> None:
    assert until(end, SATURDAY) == words


@pytest.mark.parametrize(
    ("period", "words"),
    [("", "in all"), ("1d", "each day"), ("30d", "each month"), ("weekly", "each week"), ("5h", "each 5h")],
)
def test_periods_have_words(period: str, words: str) -> None:
    assert each(period) == words


def test_limits_are_told_on_one_line() -> None:
    team = Team(rpm_limit=60, tpm_limit=10_000, max_parallel_requests=3, model_rpm_limit={"*": 1})
    assert in_short(team) == "60 calls, 10,000 tokens a minute; 3 at once; some per model"
    assert in_short(Team(rpm_limit=0)) == "0 calls a minute"
    assert not in_short(Team())


def test_a_limit_of_a_later_version_is_its_own_word() -> None:
    assert (limit_word("rpm_limit"), limit_word("new_limit")) == ("Calls a minute", "new_limit")


@pytest.mark.parametrize(("number", "told"), [(0, "0 calls"), (1, "1 call"), (1_200, "1,200 calls")])
def test_one_of_something_has_no_plural(number: int, told: str) -> None:
    assert so_many(number, "calls") == told


def test_a_period_spelt_otherwise_is_told_by_its_usual_words_and_kept() -> None:
    assert dict(period_choices())["1mo"] == "Every month, on the first"
    choices = dict(period_choices("30d"))
    assert (choices["30d"], "1mo" in choices) == ("Every month, on the first", False)
    assert dict(period_choices("45m"))["45m"] == "Every 45m"
