from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from gateway.account.entry import ADMITTED_FIELDS, FIELDS, MAX_LENGTHS, clean, clean_text
from gateway.models import RequestLog
from tests.support.entries import an_entry


def test_every_column_is_in_the_journal() -> None:
    only_noted_at_the_secret = {"secret_id"}
    columns = {field.name for field in RequestLog._meta.concrete_fields}
    assert sorted(FIELDS) == sorted(columns | only_noted_at_the_secret)


def test_an_entry_is_not_changed_by_cleaning_it_again() -> None:
    entry = an_entry()
    assert clean(entry) == entry


@given(st.text(st.characters(), max_size=60))
def test_cleaned_text_is_utf_8_without_nul(text: str) -> None:
    cleaned = clean_text(text, 40)
    assert b"\0" not in cleaned.encode()
    assert len(cleaned) <= 40


def test_good_text_is_kept() -> None:
    assert clean_text("naïve 🦜", 40) == "naïve 🦜"


def test_every_text_is_cut() -> None:
    entry = clean(dict.fromkeys(MAX_LENGTHS, "x" * 9999))
    assert {name: len(entry[name]) for name in MAX_LENGTHS} == MAX_LENGTHS


def test_a_text_that_is_none_becomes_one() -> None:
    assert clean({"end_user": 17, "cost": Decimal("0.5")}) == {"end_user": "17", "cost": "0.5", "tags": []}


def test_numbers_out_of_range_are_not_known() -> None:
    entry = clean({"prompt_tokens": 2**31, "completion_tokens": -1, "status": "200", "ttft_ms": float("nan")})
    assert entry == dict.fromkeys(entry, None) | {"tags": []}


def test_tags_are_texts_each_once_and_few() -> None:
    entry = clean({"tags": ["a", "a", "", 3, "x" * 99, *map(str, range(20))]})
    assert entry["tags"][:3] == ["a", "x" * 64, "0"]
    assert len(entry["tags"]) == 10


def test_an_admission_tells_the_beginning_of_the_fields() -> None:
    assert FIELDS[: len(ADMITTED_FIELDS)] == ADMITTED_FIELDS
