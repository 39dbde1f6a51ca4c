"""Tests of keys.crypto."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import crypto


def test_a_generated_secret_is_well_formed():
    secret = crypto.generate()
    assert crypto.is_well_formed(secret)
    assert re.fullmatch(crypto.KEY_PATTERN, secret)
    assert len(secret) == 43


def test_generated_secrets_differ():
    assert len({crypto.generate() for _ in range(100)}) == 100


@given(st.integers(min_value=7, max_value=42), st.sampled_from(crypto.ALPHABET))
def test_a_typo_is_noticed(place, character):
    secret = crypto.generate()
    typo = secret[:place] + character + secret[place + 1 :]
    assert crypto.is_well_formed(typo) == (typo == secret)


@pytest.mark.parametrize("text", ["sk-1234567890123", "sk-a_b-c.d/e+f=gh", "sk-" + "x" * 509])
def test_keys_of_other_makers_are_well_formed(text):
    assert crypto.is_well_formed(text)


@pytest.mark.parametrize(
    "text",
    ["", "sk-", "sk-123456789012", "pk-12345678901234", "sk-" + "x" * 510, "sk-ümlaut-0123456789", "sk-vgw-x"],
)
def test_other_texts_are_not(text):
    assert not crypto.is_well_formed(text)


def test_a_line_break_at_the_end_is_not_overlooked():
    assert not crypto.is_well_formed(crypto.generate() + "\n")
    assert not crypto.is_digest("0" * 64 + "\n")


def test_the_digest_is_that_of_litellm():
    assert crypto.digest("sk-1234") == hashlib.sha256(b"sk-1234").hexdigest()
    assert crypto.is_digest(crypto.digest("sk-1234"))


@given(st.text(st.characters()))
def test_any_text_has_a_digest_and_a_masked_form(text):
    assert len(crypto.digest(text)) == 64
    assert len(crypto.redact(text)) <= 10


def test_a_secret_is_masked_to_its_last_four():
    assert crypto.redact("sk-1234567890abcd") == "sk-...abcd"
    assert crypto.redact("hunter2") == "sk-..."


def test_only_our_own_format_shows_more_of_its_start():
    assert len(crypto.visible_prefix(crypto.generate())) == 11
    assert crypto.visible_prefix("sk-1234567890123") == "sk-"
