"""Tests of gateway.account.spending: budgets remember what calls have spent, each call once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from common.money import MOST
from gateway.account.log_store import LogStore
from keys.models import SpendWindow
from tests.support.entries import NOON, an_entry

pytestmark = pytest.mark.django_db


def test_what_calls_have_spent_is_added_once() -> None:
    entries = [an_entry(spend=[["key:1/usd//0/0", 5, None], ["team:a/tokens/1h/0/0", 8, 60.0]]) for _ in range(2)]
    store = LogStore()
    for _ in range(2):  # a journal may be read twice
        store.store(entries, pytest.fail)
    store.store([an_entry(spend=[["key:1/usd//0/0", -3, None]])], pytest.fail)
    found = {row.counter: (row.used, row.ends_at) for row in SpendWindow.objects.all()}
    assert found == {
        "key:1/usd//0/0": (7, None),
        "team:a/tokens/1h/0/0": (16, datetime.fromtimestamp(NOON + 61, UTC)),
    }


def test_most_calls_spend_nothing() -> None:
    LogStore().store([an_entry(), an_entry(spend=None)], pytest.fail)
    assert not SpendWindow.objects.exists()


def test_no_amount_is_too_large_to_be_kept() -> None:
    """As a price that is wrong by a factor of a million makes it: the calls keep their rows, whatever they cost."""
    store = LogStore()
    for _ in range(3):
        store.store([an_entry(spend=[["key:1/usd//0/0", MOST, None]]) for _ in range(2)], pytest.fail)
    assert SpendWindow.objects.get().used == MOST
    store.store([an_entry(spend=[["key:1/usd//0/0", -5, None]])], pytest.fail)
    assert SpendWindow.objects.get().used == MOST - 5
