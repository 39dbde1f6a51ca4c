from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from gateway.account.log_store import LogStore
from gateway.models import RequestLog, outcome_choices, usage_source_choices
from tests.support.entries import NOON, an_entry
from tests.support.plans import plan_of

pytestmark = pytest.mark.django_db
HALF_PAST = datetime.fromtimestamp(NOON, tz=UTC)


def store(**fields: object) -> RequestLog:
    entry = an_entry(**fields)
    LogStore().store([entry], pytest.fail)
    return RequestLog.objects.get(pk=UUID(entry["call_id"]))


def test_it_works() -> None:
    row = store(status=200, tags=["prod"], cost="0.25")
    assert (row.received_at, row.status, row.tags) == (HALF_PAST, 200, ["prod"])
    assert str(row) == "req-1"


def test_newest_come_first() -> None:
    early, late = store(at=NOON), store(at=NOON + 60)
    assert list(RequestLog.objects.newest_first()) == list(RequestLog.objects.all()) == [late, early]


def test_a_page_goes_on_after_its_last_row() -> None:
    early, late = store(at=NOON), store(at=NOON + 60)
    assert list(RequestLog.objects.older_than(late.pk)) == [early]


def test_between_holds_its_start_and_not_its_end() -> None:
    first, *_ = [store(at=NOON + minute * 60) for minute in (0, 1)]
    assert list(RequestLog.objects.between(HALF_PAST, HALF_PAST + timedelta(minutes=1))) == [first]


def test_between_may_be_open() -> None:
    row = store()
    assert list(RequestLog.objects.between()) == [row]


def test_the_timeline_tells_what_is_known() -> None:
    row = store()
    told = [(moment.name, round(moment.offset_ms)) for moment in row.timeline]
    assert told == [("received", 0), ("upstream head", 100), ("first token", 200), ("end", 1000)]
    assert row.duration_ms == 1000


def test_the_timeline_of_a_lost_call_is_its_beginning() -> None:
    row = store(head_at=None, first_token_at=None, ended_at=None)
    assert [moment.name for moment in row.timeline] == ["received"]
    assert row.duration_ms is None


def test_total_tokens_are_unknown_only_when_both_are() -> None:
    assert RequestLog(prompt_tokens=3).total_tokens == 3
    assert RequestLog().total_tokens is None


def test_choices_are_the_words_of_the_house() -> None:
    assert ("client_disconnected", "client disconnected") in outcome_choices()
    assert ("reported", "reported") in usage_source_choices()


def test_each_filter_is_a_range_of_an_index(django_assert_num_queries: object) -> None:
    for name, value in [("key_id", 7), ("model", "qwen"), ("upstream_id", 2), ("status", 500), ("outcome", "lost")]:
        plan = plan_of(RequestLog.objects.filter(**{name: value}).newest_first()[:50])
        assert "request_log_" in plan
        assert "TEMP B-TREE" not in plan
