"""Whatever a caller chose as a name, a spreadsheet shows it as text."""

from __future__ import annotations

import csv
import io
import time

import pytest

from common.spreadsheets import as_text, lines

HIDING_PLACES = ["", " ", "   ", "\t", "\r", "\n", "\r\n ", "\x00", "\u00a0", "\u200b", "\ufeff", "\u202e"]
HARMLESS = [
    "qwen-7b",
    "gpt=4",
    "a + b, -c @ d",
    "ann@example.com",
    "Über uns",
    "",
    " two words",
    "'quoted'",
    "semi;colon",
    "two\nlines",
    "(-1)",
    "1-1",
]


@pytest.mark.parametrize("first", "=+-@＝＋－＠")  # noqa: RUF001 - these are meant
@pytest.mark.parametrize(
    "before", ["", " ", "   ", "\t", "\r", "\n", "\r\n ", "\x00", "\u00a0", "\u200b", "\ufeff", "\u202e"]
)
def test_a_formula_behind_whatever_nobody_sees_is_a_text(before: str, first: str) -> None:
    assert as_text(f"{before}{first}cmd|'/c calc'!A1") == f"'{before}{first}cmd|'/c calc'!A1"


@pytest.mark.parametrize("text", ["\tx", "\rx", "\nx", "  \tx"])
def test_what_begins_with_a_tab_or_an_end_of_line_is_a_text(text: str) -> None:
    assert as_text(text) == f"'{text}"


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert as_text(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a;=1", "a;'=1"), ("a\r=1", "a\r'=1"), ("a\n\n -1;+2", "a\n\n '-1;'+2"), ("a;b\t@x", "a;b\t'@x")],
)
def test_a_cell_that_another_separator_would_begin_is_a_text_too(text: str, shown: str) -> None:
    assert as_text(text) == shown


def test_a_row_comes_back_as_it_was_and_numbers_stay_numbers() -> None:
    row = ['say "x", y', "a\rb", "c\nd", -1, None, 0.5, True]
    (back,) = csv.reader(io.StringIO(lines([row]), newline=""))
    assert back == ['say "x", y', "a\rb", "c\nd", "-1", "", "0.5", "True"]


@pytest.mark.parametrize("piece", [" ", "\t", ";", "-", "\t-", ";a", "=", "\u200b"])
def test_no_text_takes_long(piece: str) -> None:
    began = time.thread_time()
    as_text(piece * (200_000 // len(piece)))
    assert time.thread_time() - began < 1.0
