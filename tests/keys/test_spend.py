"""Tests of keys.spend: what budgets have spent, in memory."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from keys.models import SpendWindow
from keys.spend import SpendLedger

pytestmark = pytest.mark.django_db


def write(counter: str, used: int, **fields: object) -> None:
    SpendWindow.objects.update_or_create(
        counter=counter, defaults={"used": used, "updated_at": timezone.now(), **fields}
    )


def test_it_follows_what_is_written() -> None:
    ledger = SpendLedger()
    ledger.refresh()
    assert ledger.of("key:1/usd//0/0") == 0
    write("key:1/usd//0/0", 5)
    ledger.refresh()
    write("key:1/usd//0/0", 7)
    write("key:2/usd//0/0", 1)
    ledger.refresh()
    assert (ledger.of("key:1/usd//0/0"), ledger.of("key:2/usd//0/0"), len(ledger)) == (7, 1, 2)


def test_a_refresh_reads_only_what_is_new() -> None:
    write("key:1/usd//0/0", 5, updated_at=timezone.now() - timedelta(seconds=30))
    ledger = SpendLedger()
    ledger.refresh()
    SpendWindow.objects.update(used=6)  # without a time: as if it had been read
    write("key:2/usd//0/0", 1)
    ledger.refresh()
    assert ledger.of("key:2/usd//0/0") == 1
    SpendWindow.objects.filter(counter="key:1/usd//0/0").update(used=9)
    ledger.refresh()
    assert ledger.of("key:1/usd//0/0") == 6


def test_what_was_written_at_one_moment_is_not_read_again_and_again() -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    for number in range(20):
        write(f"key:{number}/usd//0/0", 5, updated_at=long_ago)
    ledger = SpendLedger()
    ledger.refresh()
    SpendWindow.objects.update(used=9)  # without a time: a row that is read again would tell
    ledger.refresh()
    assert ledger.of("key:1/usd//0/0") == 5
    write("key:1/usd//0/0", 7)
    write("key:2/usd//0/0", 7, updated_at=timezone.now() - timedelta(seconds=2))
    ledger.refresh()
    write("key:3/usd//0/0", 7, updated_at=timezone.now() - timedelta(seconds=2))  # which was seen late
    ledger.refresh()
    assert [ledger.of(f"key:{number}/usd//0/0") for number in range(5)] == [5, 7, 7, 7, 5]


def test_windows_that_are_over_are_neither_read_nor_kept() -> None:
    now = timezone.now()
    write("key:1/usd/1d/0/0", 5, ends_at=now - timedelta(days=1))
    write("key:1/usd/1h/3600/0", 5, ends_at=now + timedelta(hours=1))
    ledger = SpendLedger()
    ledger.refresh()
    assert len(ledger) == 1
    ledger.forget_ended(3600.0)
    assert len(ledger) == 1
    ledger.forget_ended(7200.0)
    assert len(ledger) == 0
