import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.db import OperationalError, connection

from gateway.account import journal_reader
from gateway.account.journal import Journal, journal_status
from gateway.account.journal_files import segments_in
from gateway.account.recorder import Recorder
from gateway.account.retention import Pruner
from gateway.models import RequestLog, UsageHour
from keys.models import VirtualKey
from tests.support.entries import NOON, an_entry

pytestmark = pytest.mark.django_db


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(directory: Path) -> Iterator[Journal]:
    journal = Journal(directory, segment_bytes=2_000)
    yield journal
    journal.close()


@pytest.fixture
def make_recorder(directory: Path) -> Iterator[Callable[..., Recorder]]:
    made: list[Recorder] = []

    def make(**options: object) -> Recorder:
        made.append(Recorder(directory, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for recorder in made:
        recorder.close()


@pytest.fixture
def recorder(make_recorder: Callable[..., Recorder]) -> Recorder:
    return make_recorder()


def outcomes() -> dict[str, int]:
    found: dict[str, int] = {}
    for outcome in RequestLog.objects.values_list("outcome", flat=True):
        found[outcome] = found.get(outcome, 0) + 1
    return found


def segment_path(directory: Path) -> Path:
    return directory / segments_in(directory)[-1].file_name


def test_it_works(journal: Journal, recorder: Recorder) -> None:
    entry = an_entry()
    journal.admitted(entry)
    journal.ended(entry)
    assert recorder.run_once() == 1
    assert RequestLog.objects.get().pk == UUID(entry["call_id"])
    assert (recorder.run_once(), recorder.pending()) == (0, 0)


def test_an_empty_directory_has_nothing_to_record(recorder: Recorder) -> None:
    assert (recorder.run_once(), recorder.pending()) == (0, 0)


def test_more_than_a_batch_is_recorded_in_one_pass(
    journal: Journal, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_reader, "_BLOCK_BYTES", 1_500)
    for _ in range(60):
        journal.ended(an_entry())
    assert recorder.pending() > 0
    assert (recorder.run_once(), recorder.pending()) == (60, 0)


def test_one_process_does_not_keep_another_waiting(
    journal: Journal, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.account.recorder._BLOCKS_A_PASS", 1)
    for _ in range(20):
        journal.ended(an_entry())
    first = recorder.run_once()
    assert 0 < first < 20
    assert first + sum(recorder.run_once() for _ in range(10)) == 20


def test_complete_segments_are_removed_when_they_are_recorded(
    journal: Journal, recorder: Recorder, directory: Path
) -> None:
    for _ in range(20):
        journal.ended(an_entry())
    newest = segments_in(directory)[-1]
    recorder.run_once()
    assert segments_in(directory) == [newest]


def test_the_admission_of_an_open_call_is_kept(journal: Journal, recorder: Recorder, directory: Path) -> None:
    call = an_entry()
    journal.admitted(call)
    for _ in range(20):
        journal.ended(an_entry())
    recorder.run_once()
    assert segments_in(directory)[0].number == 1
    journal.ended(call)
    recorder.run_once()
    assert len(segments_in(directory)) == 1


def test_a_dead_process_leaves_rows_and_no_files(journal: Journal, recorder: Recorder, directory: Path) -> None:
    journal.admitted(an_entry())
    journal.ended(an_entry())
    recorder.run_once()
    journal.close()
    assert recorder.run_once() == 1
    assert outcomes() == {"completed": 1, "lost": 1}
    assert {path.name for path in directory.iterdir()} == {"recorder.lock", "recorder.json"}


def test_a_lost_call_says_what_was_known(journal: Journal, recorder: Recorder) -> None:
    journal.admitted(an_entry())
    journal.close()
    recorder.run_once()
    row = RequestLog.objects.get()
    assert (row.key_name, row.model, row.upstream_name, row.tags) == ("dev", "qwen", "gpu-1", ["prod"])
    assert (row.status, row.ended_at, row.usage_source) == (None, None, "unknown")
    assert UsageHour.objects.get().errors == 1


def test_the_count_of_lost_calls_outlives_their_process(
    journal: Journal, make_recorder: Callable[..., Recorder], directory: Path
) -> None:
    journal.ended(an_entry())
    journal._lost.add(3)
    journal.close()
    recorder = make_recorder()
    recorder.run_once()
    assert journal_status(directory).lost == 3
    recorder._clock = lambda: time.time() + 8 * 86_400
    recorder.run_once()
    assert journal_status(directory).lost == 0


def test_a_recorder_that_knows_nothing_counts_nothing_twice(
    journal: Journal, make_recorder: Callable[..., Recorder], directory: Path
) -> None:
    for _ in range(20):
        journal.ended(an_entry())
    first = make_recorder()
    first.run_once()
    first.close()
    (directory / "recorder.json").unlink()
    assert make_recorder().run_once() == 0
    assert UsageHour.objects.get().calls == RequestLog.objects.count() == 20


def test_pruned_rows_do_not_come_back_after_a_restart(journal: Journal, make_recorder: Callable[..., Recorder]) -> None:
    call = an_entry()
    journal.admitted(call)
    journal.ended(an_entry())
    first = make_recorder()
    first.run_once()
    first.close()
    RequestLog.objects.all().delete()
    second = make_recorder()
    assert second.run_once() == 0
    journal.close()
    assert (second.run_once(), outcomes()) == (1, {"lost": 1})


def test_progress_that_fits_no_line_is_not_believed(journal: Journal, recorder: Recorder, directory: Path) -> None:
    journal.ended(an_entry())
    (directory / "recorder.json").write_text(
        json.dumps({"offsets": {segments_in(directory)[0].file_name: 9}, "quarantined": 0})
    )
    assert recorder.run_once() == 1


def test_only_one_recorder_is_at_work(journal: Journal, make_recorder: Callable[..., Recorder]) -> None:
    journal.ended(an_entry())
    first, second = make_recorder(), make_recorder()
    assert (first.run_once(), second.run_once()) == (1, 0)
    journal.ended(an_entry())
    first.close()
    assert second.run_once() == 1


def test_a_removed_directory_is_followed(journal: Journal, recorder: Recorder, directory: Path) -> None:
    recorder.run_once()
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    journal.ended(an_entry())
    assert recorder.run_once() == 1


def test_an_unfinished_line_waits_for_its_end(journal: Journal, recorder: Recorder, directory: Path) -> None:
    journal.ended(an_entry())
    path = segment_path(directory)
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    assert recorder.run_once() == 0
    path.write_bytes(whole)
    assert recorder.run_once() == 1


def test_the_unfinished_line_of_a_dead_process_is_quarantined(
    journal: Journal, recorder: Recorder, directory: Path
) -> None:
    journal.ended(an_entry())
    with segment_path(directory).open("ab") as file:
        file.write(b'["e","torn')
    journal.close()
    assert recorder.run_once() == 1
    assert json.loads((directory / "quarantine.jsonl").read_text())["line"] == '["e","torn'
    assert journal_status(directory).quarantined == 1


def test_a_torn_line_in_the_middle_damages_no_other(journal: Journal, recorder: Recorder, directory: Path) -> None:
    journal.ended(an_entry())
    with segment_path(directory).open("ab") as file:
        file.write(b'["e","torn')
    journal.ended(an_entry(tags=["e", "x"]))
    with segment_path(directory).open("ab") as file:
        file.write(b"nonsense\n\n")
    journal.ended(an_entry())
    assert recorder.run_once() == 3
    assert journal_status(directory).quarantined == 1


def test_a_line_without_end_does_not_stop_the_recorder(
    journal: Journal, recorder: Recorder, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_reader, "_BLOCK_BYTES", 3_000)
    journal.ended(an_entry())
    with segment_path(directory).open("ab") as file:
        file.write(b"x" * 10_000 + b"\n")
    journal.ended(an_entry())
    assert recorder.run_once() == 2


def test_a_row_that_the_database_refuses_is_quarantined(journal: Journal, recorder: Recorder, directory: Path) -> None:
    journal.ended(an_entry())
    journal.ended(an_entry() | {"outcome": None, "model": "the bad one"})
    journal.ended(an_entry())
    assert recorder.run_once() == 2
    kept = json.loads((directory / "quarantine.jsonl").read_text())
    assert json.loads(kept["line"])["model"] == "the bad one"
    assert "IntegrityError" in kept["reason"]


def test_a_quarantine_that_was_taken_away_is_counted_from_nothing(
    journal: Journal, recorder: Recorder, directory: Path
) -> None:
    for expected in (1, 1):
        journal.ended({"call_id": "x"})
        recorder.run_once()
        assert journal_status(directory).quarantined == expected
        (directory / "quarantine.jsonl").unlink()
        assert journal_status(directory).quarantined == 0


def test_the_quarantine_is_bounded(
    journal: Journal, recorder: Recorder, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.account.recorder._MOST_QUARANTINED_BYTES", 1)
    for _ in range(3):
        journal.ended({"call_id": "x"})
    recorder.run_once()
    assert len((directory / "quarantine.jsonl").read_text().splitlines()) == 1
    assert journal_status(directory).quarantined == 3


def test_keys_are_touched(journal: Journal, make_recorder: Callable[..., Recorder]) -> None:
    key, _ = VirtualKey.objects.issue(name="used")
    journal.ended(an_entry(key_id=key.pk))
    journal.ended(an_entry(key_id=None))
    make_recorder(clock=lambda: NOON).run_once()
    key.refresh_from_db()
    assert key.last_used_at is not None
    assert key.last_used_at.timestamp() == NOON


def test_of_a_rotated_key_only_the_secret_that_was_used_is_touched(
    journal: Journal, make_recorder: Callable[..., Recorder]
) -> None:
    key, _ = VirtualKey.objects.issue(name="rotated")
    key.rotate(timedelta(hours=1))
    old, new = key.secrets.order_by("pk")
    journal.ended(an_entry(key_id=key.pk, secret_id=old.pk))
    make_recorder(clock=lambda: NOON).run_once()
    old.refresh_from_db()
    new.refresh_from_db()
    assert old.last_used_at is not None
    assert old.last_used_at.timestamp() == NOON
    assert new.last_used_at is None


KILLED = """
import sys
from pathlib import Path
from gateway.account.journal import Journal
from tests.support.entries import an_entry

journal = Journal(Path(sys.argv[1]), segment_bytes=50_000)
for _ in range(500):
    entry = an_entry()
    journal.admitted(entry)
    journal.ended(entry)
for _ in range(7):
    journal.admitted(an_entry())
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.sockets
def test_kill_9_loses_no_row(recorder: Recorder, directory: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        recorder.run_once()
        assert outcomes() == {"completed": 500}
        child.send_signal(signal.SIGKILL)
    recorder.run_once()
    assert outcomes() == {"completed": 500, "lost": 7}
    assert segments_in(directory) == []


@pytest.mark.django_db(transaction=True)
def test_with_the_database_away_nothing_is_lost(journal: Journal, recorder: Recorder, settings: object) -> None:
    journal.ended(an_entry())
    with database_away():
        with pytest.raises(OperationalError):
            recorder.run_once()
        journal.ended(an_entry())
        assert recorder.pending() > 0
    assert (recorder.run_once(), recorder.pending()) == (2, 0)


class database_away:  # noqa: N801 - reads as a clause
    """PostgreSQL under a port where nobody listens; SQLite locked by a writer."""

    def __enter__(self) -> None:
        connection.close()
        self.before = dict(connection.settings_dict)
        if connection.vendor == "sqlite":
            connection.ensure_connection()
            connection.connection.execute("PRAGMA busy_timeout = 10")
            connection.close = lambda: None  # type: ignore[method-assign]
            self.locker = sqlite3.connect(self.before["NAME"], uri=True)
            self.locker.execute("BEGIN IMMEDIATE")
        else:
            connection.settings_dict |= {"HOST": "127.0.0.1", "PORT": 9}

    def __exit__(self, *error: object) -> None:
        if connection.vendor == "sqlite":
            self.locker.rollback()
            self.locker.close()
            del connection.close
        connection.settings_dict.update(self.before)


class Broken(Recorder):
    """Fails a few times."""

    failures = 3

    def run_once(self) -> int:
        if self.failures:
            self.failures -= 1
            raise OperationalError("away")
        return super().run_once()


@pytest.mark.django_db(transaction=True)
def test_the_loop_outlives_failures_and_records_the_last_line(
    journal: Journal, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.account.recorder.INTERVAL_SECONDS", 0.01)
    recorder, stop = Broken(directory, pruner=Pruner(36_500)), threading.Event()
    thread = threading.Thread(target=recorder.run, args=[stop])
    thread.start()
    while recorder.failures:
        time.sleep(0.01)
    journal.ended(an_entry())
    stop.set()
    thread.join()
    assert RequestLog.objects.count() == 1


def test_waiting_doubles_up_to_ten_seconds(directory: Path) -> None:
    recorder, waits = Broken(directory), [0.0]
    recorder.failures = 8
    for _ in range(7):
        waits.append(recorder._turn(waits[-1]))
    assert waits[1:] == [1, 2, 4, 8, 10, 10, 10]
    recorder.close()


def test_a_busy_recorder_does_not_wait(journal: Journal, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.account.recorder.MOST_ROWS_AT_ONCE", 5)
    assert recorder._turn(0.5) == 0.5
    for _ in range(6):
        journal.ended(an_entry())
    assert recorder._turn(0.5) == 0.0


def test_a_full_disk_does_not_stop_the_recorder(journal: Journal, recorder: Recorder, directory: Path) -> None:
    (directory / ".recorder.json.draft").mkdir(parents=True)
    journal.ended(an_entry())
    assert recorder.run_once() == 1
    (directory / ".recorder.json.draft").rmdir()
    recorder.run_once()
    assert recorder.pending() == 0
