"""What a relay worker says of itself once a second, and who reads it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models.functions import Now

from gateway.account import relay_report
from gateway.account.entry import Outcome
from gateway.account.recent import RecentTraffic
from gateway.account.relay_report import GONE_AFTER, KEPT_FOR, MOST_CALLS, RelayReport
from gateway.account.unlisted import Unlisted
from gateway.models import UnlistedCalls
from gateway.open_call import OpenCall, OpenCalls
from gateway.reporter import Reporter
from gateway.revocation import Revocation
from keys.errors import KeyMissing
from keys.models import KeysVersion, VirtualKey
from keys.registry import KeyRegistry
from tests.support.entries import NOON

pytestmark = pytest.mark.django_db


class Worker:
    """What a relay worker has of it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.calls = OpenCalls()
        self.keys = KeyRegistry()
        self.revocation = Revocation(self.keys, self.calls, clock=lambda: self.now)
        self.unlisted = Unlisted(lambda: NOON)
        self.reporter = Reporter(self.calls, self.revocation, RecentTraffic(), self.unlisted, run=lambda act: act())

    def refresh(self) -> None:
        self.revocation.refresh()
        self.revocation.cut()

    def open(self, number: int = 1, **facts: Any) -> OpenCall:
        call = OpenCall(
            call_id=f"call-{number}", request_id="r", received_at=100.5, method="GET", on_end=self.calls.discard
        )
        for name, value in facts.items():
            setattr(call, name, value)
        self.calls.add(call)
        return call

    def report(self) -> RelayReport:
        self.reporter.report()
        (row,) = relay_report.current()
        return row


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    worker.refresh()
    yield worker
    for call in worker.calls:
        call.finish(Outcome.REVOKED)  # or else a cut would reach whatever test runs when it is thrown


def age(seconds: timedelta) -> None:
    RelayReport.objects.update(at=Now() - seconds)


def test_it_says_which_calls_are_open(worker: Worker) -> None:
    worker.open(1, key_id=7, team_id="red", upstream_id=3, model="tiny", route="/v1/chat/completions")
    worker.open(2, key_id=7)
    facts = worker.report().facts
    assert (facts["open"], facts["in_flight"], facts["open_by_key"]) == (2, {"3": 1}, {"7": 2})
    assert facts["open_by_team"] == {"red": 1, "": 1}
    assert facts["calls"][0] == {
        "call_id": "call-1",
        "key_id": 7,
        "upstream_id": 3,
        "model": "tiny",
        "route": "/v1/chat/completions",
        "started": 100.5,
    }


def test_a_second_report_takes_the_place_of_the_first(worker: Worker) -> None:
    call = worker.open(key_id=7)
    worker.report()
    call.finish(Outcome.COMPLETED)
    assert worker.report().facts["open"] == 0


def test_nothing_is_said_before_the_keys_are_known() -> None:
    Worker().reporter.report()
    assert not RelayReport.objects.exists()


def test_what_a_client_named_is_stored_whatever_it_is(worker: Worker) -> None:
    worker.open(model="a\0b\ud800" + "x" * 500)
    (told,) = worker.report().facts["calls"]
    assert told["model"] == "a\ufffdb\ufffd" + "x" * 196


def test_only_so_many_calls_are_listed(worker: Worker) -> None:
    for number in range(MOST_CALLS + 5):
        worker.open(number)
    facts = worker.report().facts
    assert (facts["open"], len(facts["calls"])) == (MOST_CALLS + 5, MOST_CALLS)


def test_the_version_is_that_by_which_calls_were_cut(worker: Worker) -> None:
    before = worker.report().keys_version
    VirtualKey.objects.issue(name="one")
    worker.revocation.refresh()  # in another thread: nothing is cut yet
    assert worker.report().keys_version == before
    worker.revocation.cut()
    assert worker.report().keys_version == KeysVersion.current() > before


def test_a_cut_is_told_by_key_for_two_minutes(worker: Worker) -> None:
    key, _ = VirtualKey.objects.issue(name="one")
    worker.refresh()
    call = worker.open(key_id=key.pk)
    VirtualKey.objects.filter(pk=key.pk).update(blocked=True)
    worker.refresh()
    assert call.pending_cut is not None
    assert worker.report().facts["cut_by_key"] == {str(key.pk): 1}
    worker.now += 121
    assert worker.report().facts["cut_by_key"] == {}


def test_a_call_that_ended_before_was_not_cut(worker: Worker) -> None:
    key, _ = VirtualKey.objects.issue(name="one")
    worker.refresh()
    call = worker.open(key_id=key.pk)
    call.outcome = Outcome.COMPLETED
    key.delete()
    worker.refresh()
    assert worker.report().facts["cut_by_key"] == {}


def test_a_worker_that_says_nothing_is_gone(worker: Worker) -> None:
    worker.report()
    age(GONE_AFTER + timedelta(seconds=1))
    assert relay_report.current() == []


def test_what_a_gone_worker_said_is_removed(worker: Worker) -> None:
    RelayReport.objects.replace(node="other", worker="1", keys_version=1, facts={})
    age(KEPT_FOR + timedelta(seconds=1))
    worker.report()
    assert not RelayReport.objects.filter(node="other").exists()


def test_counts_add_up_over_workers(worker: Worker) -> None:
    RelayReport.objects.replace(node="other", worker="1", keys_version=1, facts={"open_by_key": {"7": 2, "8": 1}})
    worker.open(key_id=7)
    worker.reporter.report()
    assert relay_report.total("open_by_key") == {"7": 3, "8": 1}


def test_nothing_is_said_nor_logged_while_the_database_is_away(caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker()
    worker.refresh()

    def away(act: Any) -> None:
        raise OperationalError("no connection")

    reporter = Reporter(worker.calls, worker.revocation, RecentTraffic(), worker.unlisted, run=away)
    reporter.report()
    assert caplog.text == ""


# --- Calls without rows ---------------------------------------------------------------------------


def refuse(worker: Worker) -> None:
    worker.unlisted.add(KeyMissing(), {"REMOTE_ADDR": "192.0.2.7"})


def test_calls_without_rows_are_added_up_and_their_last_callers_told(worker: Worker) -> None:
    for _ in range(2):
        refuse(worker)
        facts = worker.report().facts
    assert [(one["address"], one["reason"], one["calls"]) for one in facts["unlisted"]] == [
        ("192.0.2.7", "no_key", 2),
    ]
    assert UnlistedCalls.objects.all().by_reason() == {"no_key": 2}


def test_they_are_not_lost_when_a_report_fails_otherwise(worker: Worker) -> None:
    def broken(act: Any) -> None:
        raise RuntimeError("no thread")

    refuse(worker)
    with pytest.raises(RuntimeError):
        Reporter(worker.calls, worker.revocation, RecentTraffic(), worker.unlisted, run=broken).report()
    worker.reporter.report()
    assert UnlistedCalls.objects.all().by_reason() == {"no_key": 1}


def test_they_are_told_once_the_database_is_back_and_at_the_end(worker: Worker) -> None:
    def away(act: Any) -> None:
        raise OperationalError("no connection")

    refuse(worker)
    Reporter(worker.calls, worker.revocation, RecentTraffic(), worker.unlisted, run=away).report()
    worker.reporter.report()
    refuse(worker)
    worker.reporter.last_report()
    assert UnlistedCalls.objects.all().by_reason() == {"no_key": 2}
