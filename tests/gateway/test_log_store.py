from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from django.db import DataError, OperationalError, connection

from gateway.account.entry import Entry
from gateway.account.log_store import LogStore, is_unfit
from gateway.models import RequestLog, UsageHour
from tests.support.entries import an_entry

pytestmark = pytest.mark.django_db
BAD: list[dict[str, object]] = [
    {"received_at": None},
    {"received_at": 1e20},
    {"call_id": "not a UUID"},
    {"bytes_in": 2**70},
    {"cost": "cheap"},
    {"outcome": None},
    {"status": "fine"},
    {"model": "\ud800"},
]


def test_it_works() -> None:
    entry = an_entry(cost="0.125")
    assert LogStore().store([entry], pytest.fail) == [entry]
    row = RequestLog.objects.get()
    assert {name: getattr(row, name) for name in ("status", "ttft_ms", "streaming", "tags", "model")} == {
        "status": 200,
        "ttft_ms": 200.0,
        "streaming": True,
        "tags": ["prod"],
        "model": "qwen",
    }
    assert (row.pk, row.cost) == (UUID(entry["call_id"]), Decimal("0.125"))


def test_nothing_is_stored_of_nothing(django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert LogStore().store([], pytest.fail) == []


def test_what_comes_again_is_not_counted_again() -> None:
    old, new = an_entry(), an_entry()
    LogStore().store([old], pytest.fail)
    assert LogStore().store([old, new, new], pytest.fail) == [new]
    assert (RequestLog.objects.count(), UsageHour.objects.get().calls) == (2, 2)


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_entry_is_rejected_and_the_others_are_stored(bad: dict[str, object]) -> None:
    entries = [an_entry() for _ in range(5)]
    entries[3].update(bad)
    rejected: list[Entry] = []
    LogStore().store(entries, lambda entry, error: rejected.append(entry))
    assert rejected == [entries[3]]
    assert (RequestLog.objects.count(), UsageHour.objects.get().calls) == (4, 4)


def test_what_only_postgresql_refuses_is_rejected_there() -> None:
    rejected: list[Entry] = []
    entries = [an_entry(), an_entry() | {"model": "a\0b"}, an_entry() | {"user_agent": "x" * 999}]
    LogStore().store(entries, lambda entry, error: rejected.append(entry))
    assert len(rejected) == (2 if connection.vendor == "postgresql" else 0)


def test_a_sparse_entry_is_filled_in() -> None:
    entry = {"call_id": uuid4().hex, "received_at": 0, "outcome": "refused", "usage_source": "none"}
    LogStore().store([entry], pytest.fail)
    row = RequestLog.objects.get()
    assert (row.request_id, row.key_name, row.tags, row.streaming) == ("", "", [], False)


def test_an_unmigrated_database_rejects_nothing(transactional_db: None) -> None:
    with connection.schema_editor() as editor:
        editor.delete_model(UsageHour)
    try:
        with pytest.raises(Exception, match="gateway_usagehour"):
            LogStore().store([an_entry()], pytest.fail)
        assert not RequestLog.objects.exists()
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(UsageHour)


def test_only_the_entry_s_own_faults_make_it_unfit() -> None:
    too_long = OperationalError("index row size")
    too_long.__cause__ = type("ProgramLimitExceeded", (Exception,), {"sqlstate": "54000"})()
    assert is_unfit(DataError())
    assert is_unfit(too_long)
    assert not is_unfit(OperationalError("database is locked"))
