import threading
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from gateway.account.log_store import LogStore
from gateway.account.retention import HOUR_SECONDS, Pruner, prune
from gateway.models import RequestLog, UsageHour
from keys.models import SpendWindow
from tests.support.entries import NOON, an_entry

pytestmark = pytest.mark.django_db
DAY = 86_400.0
NOW = datetime.fromtimestamp(NOON, tz=UTC)


def calls(*days_ago: float) -> None:
    LogStore().store([an_entry(at=NOON - days * DAY) for days in days_ago], pytest.fail)


def test_it_works() -> None:
    calls(0, 1, 3, 5)
    assert prune(2, now=NOW) == 2
    assert RequestLog.objects.between(NOW - timedelta(days=2)).count() == RequestLog.objects.count() == 2


def test_usage_is_kept() -> None:
    calls(3)
    prune(2, now=NOW)
    assert UsageHour.objects.get().calls == 1


def test_batches_are_bounded_and_reported() -> None:
    calls(*[3] * 5)
    told: list[int] = []
    assert prune(2, batch=2, now=NOW, progress=told.append) == 5
    assert told == [2, 4, 5]


def test_it_stops_when_told() -> None:
    calls(*[3] * 5)
    stop = threading.Event()
    assert prune(2, batch=2, stop=stop, now=NOW, progress=lambda deleted: stop.set()) == 2


def test_it_deletes_nothing_when_stopped_before() -> None:
    calls(3)
    stop = threading.Event()
    stop.set()
    assert prune(2, stop=stop, now=NOW) == 0
    assert RequestLog.objects.exists()


def test_the_pruner_takes_one_batch_at_a_turn() -> None:
    calls(*[3] * 3)
    pruner = Pruner(2, batch=2, clock=lambda: NOON)
    assert [pruner.turn() for _ in range(3)] == [2, 1, 0]


def test_the_pruner_rests_for_an_hour() -> None:
    times = iter([NOON, NOON + HOUR_SECONDS - 1, NOON + HOUR_SECONDS])
    pruner = Pruner(2, clock=times.__next__)
    pruner.turn()
    calls(3)
    assert [pruner.turn(), pruner.turn()] == [0, 1]


def test_the_command_tells_how_many() -> None:
    calls(3)
    out = StringIO()
    call_command("prune_request_logs", days=0, stdout=out)
    assert out.getvalue().splitlines()[-1] == "Deleted 1 request logs older than 0 days."


def test_the_command_refuses_nonsense() -> None:
    with pytest.raises(CommandError, match="--days must be"):
        call_command("prune_request_logs", days=-1)


def test_windows_of_budgets_are_kept_for_a_while_after_their_end() -> None:
    for name, days in [("old", 41), ("recent", 39), ("open", -1)]:
        ends = NOW - timedelta(days=days)
        SpendWindow.objects.create(counter=name, used=1, ends_at=ends, updated_at=ends)
    SpendWindow.objects.create(counter="endless", used=1, updated_at=NOW - timedelta(days=400))
    Pruner(2, clock=lambda: NOON).turn()
    assert set(SpendWindow.objects.values_list("counter", flat=True)) == {"recent", "open", "endless"}
