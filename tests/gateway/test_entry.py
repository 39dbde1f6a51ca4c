from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from gateway.account.entry import ADMITTED_FIELDS, FIELDS, MAX_LENGTHS, clean, clean_text
from gateway.models import RequestLog
from tests.support.entries import an_entry


def test_every_column_is_in_the_journal() -> None:
    noted_elsewhere = {"secret_id", "spend"}
    columns = {field.name for field in RequestLog._meta.concrete_fields}
    assert sorted(FIELDS) == sorted(columns | noted_elsewhere)


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


def test_a_journal_of_an_older_release_is_read_as_it_was_written() -> None:
    """Names are added at the end, and none is ever moved or removed."""
    assert ADMITTED_FIELDS[:19] == FIELDS[:19]
    assert ADMITTED_FIELDS[18:] == ("tags", "team_id", "spend")
    assert FIELDS[18:] == (
        *("tags", "head_at", "first_token_at", "ended_at", "status", "outcome", "prompt_tokens", "completion_tokens"),
        *("cached_tokens", "reasoning_tokens", "usage_source", "cost", "ttft_ms", "inter_token_ms", "bytes_out"),
        *("error_type", "error_text", "secret_id", "attempts", "queue_ms", "team_id", "spend", "shadowed", "decisions"),
    )
