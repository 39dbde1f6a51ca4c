import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.account import journal as journal_module
from gateway.account.entry import ADMITTED_FIELDS
from gateway.account.journal import Journal, JournalStatus, journal_status
from gateway.account.journal_files import (
    ADMITTED,
    ENDED,
    Progress,
    living,
    lost_calls,
    processes_in,
    read_line,
    segments_in,
)
from gateway.serving.local_files import take_lock
from tests.support.entries import NOON, an_entry


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(directory: Path) -> Iterator[Journal]:
    journal = Journal(directory, segment_bytes=2_000)
    yield journal
    journal.close()


def lines_in(directory: Path) -> list[bytes]:
    return [
        line
        for segment in segments_in(directory)
        for line in (directory / segment.file_name).read_bytes().splitlines(keepends=True)
    ]


def test_it_works(journal: Journal, directory: Path) -> None:
    entry = an_entry()
    journal.admitted(entry)
    journal.ended(entry)
    (first, admission), (second, end) = map(read_line, lines_in(directory))
    assert (first, second) == (ADMITTED, ENDED)
    assert admission == {name: entry[name] for name in ADMITTED_FIELDS}
    assert end == entry


def test_nothing_is_made_before_the_first_call(journal: Journal, directory: Path) -> None:
    assert not directory.exists()
    assert journal_status(directory) == JournalStatus()


def test_a_full_segment_is_followed_by_another(journal: Journal, directory: Path) -> None:
    for _ in range(20):
        journal.ended(an_entry())
    assert [segment.number for segment in segments_in(directory)] == list(range(1, len(segments_in(directory)) + 1))
    assert len(lines_in(directory)) == 20


def test_only_the_owner_may_read_it(journal: Journal, directory: Path) -> None:
    journal.ended(an_entry())
    assert directory.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in directory.glob("*.jsonl"))


def test_the_owner_lives_until_it_closes(journal: Journal, directory: Path) -> None:
    journal.ended(an_entry())
    (process,) = processes_in(directory)
    assert living(directory, process)
    journal.close()
    assert not living(directory, process)


def test_a_lone_surrogate_is_written(journal: Journal, directory: Path) -> None:
    journal.ended({"call_id": "1", "model": "\ud800\0"})
    assert read_line(lines_in(directory)[0])[1]["model"] == "\ud800\0"


class Unwritable:
    """What no JSON has, and no text either."""

    def __str__(self) -> str:
        raise ValueError("This has no text.")


def test_an_entry_that_cannot_be_written_is_counted(journal: Journal, directory: Path) -> None:
    journal.ended(an_entry())
    journal.ended(an_entry(tags=[]) | {"model": Unwritable()})
    assert journal_status(directory).lost == journal.lost == 1
    assert len(lines_in(directory)) == 1


def test_the_backlog_is_what_was_not_recorded(journal: Journal, directory: Path) -> None:
    journal.ended(an_entry())
    one = len(lines_in(directory)[0])
    journal.ended(an_entry(at=NOON + 9))
    Progress({segments_in(directory)[0].file_name: one}).save(directory)
    status = journal_status(directory)
    assert (status.backlog_bytes, status.oldest) == (len(lines_in(directory)[1]), NOON + 9)


def test_a_backlog_that_cannot_be_read_has_no_age(journal: Journal, directory: Path) -> None:
    journal.ended(an_entry())
    (directory / segments_in(directory)[0].file_name).write_bytes(b"torn")
    assert journal_status(directory) == JournalStatus(backlog_bytes=4)


def test_a_removed_directory_is_made_again(journal: Journal, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_CHECK_SECONDS", 0.0)
    journal.ended(an_entry())
    shutil.rmtree(directory)
    journal.ended(an_entry())
    assert len(lines_in(directory)) == 1
    assert journal_status(directory).lost == 1


def test_a_directory_that_cannot_be_made_loses_calls_until_it_can(directory: Path, caplog: object) -> None:
    directory.write_text("a file in its place")
    journal = Journal(directory)
    for _ in range(3):
        journal.ended(an_entry())
    assert journal.lost == 3
    directory.unlink()
    journal.ended(an_entry())
    assert (journal.lost, journal_status(directory).lost, len(lines_in(directory))) == (0, 0, 4)
    journal.close()


def test_the_end_of_a_call_makes_good_for_its_admission(directory: Path) -> None:
    directory.write_text("a file in its place")
    journal, entry = Journal(directory), an_entry()
    journal.admitted(entry)
    assert journal.lost == 1
    directory.unlink()
    journal.ended(entry)
    assert (journal.lost, len(lines_in(directory))) == (0, 1)
    journal.close()


def test_a_call_is_counted_once(directory: Path) -> None:
    directory.write_text("a file in its place")
    journal, entry = Journal(directory), an_entry()
    journal.admitted(entry)
    journal.ended(entry)
    assert journal.lost == 1


def test_only_so_many_lines_wait_for_the_disk(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_MOST_UNWRITTEN", 2)
    directory.write_text("a file in its place")
    journal = Journal(directory)
    for _ in range(5):
        journal.ended(an_entry())
    directory.unlink()
    journal.ended(an_entry())
    assert (journal.lost, len(lines_in(directory))) == (3, 3)
    journal.close()


@contextlib.contextmanager
def full_disk(journal: Journal) -> Iterator[None]:
    """While it lasts, the open segment takes no line, and has room again afterwards."""
    segment = journal._files._segment  # type: ignore[union-attr]
    kept, full = os.dup(segment), os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, segment)
    yield
    if journal._files is not None and journal._files._segment == segment:
        os.dup2(kept, segment)
    os.close(kept)
    os.close(full)


def test_a_full_disk_is_counted_where_others_see_it(journal: Journal, directory: Path) -> None:
    journal.ended(an_entry())
    with full_disk(journal):
        journal.ended(an_entry())
        assert journal_status(directory).lost == 1
        journal.ended(an_entry())  # to a new segment
    assert (journal_status(directory).lost, len(lines_in(directory))) == (0, 3)


def test_a_disk_that_is_full_from_the_first_call_on_is_counted_where_others_see_it(
    journal: Journal, directory: Path
) -> None:
    journal.open()
    with full_disk(journal):
        journal.admitted(entry := an_entry())
        journal.ended(entry)
        assert (journal_status(directory).lost, lines_in(directory)) == (1, [])


def test_what_waits_for_the_disk_is_written_without_another_call(
    journal: Journal, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "_REWRITTEN_AT_ONCE", 2)
    journal.open()
    with full_disk(journal):
        for _ in range(3):
            journal.ended(an_entry())
        assert not journal.catch_up()
    assert [journal.catch_up(), journal.catch_up()] == [True, False]
    assert (journal_status(directory).lost, len(lines_in(directory))) == (0, 3)


def test_what_waits_for_the_disk_is_written_at_the_end(
    journal: Journal, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal.open()
    with full_disk(journal):
        journal.ended(an_entry())
    journal.close()
    assert (journal_status(directory).lost, len(lines_in(directory))) == (0, 1)
    assert "no row" not in caplog.text


def test_what_is_lost_at_the_end_is_said_and_stays_counted(
    journal: Journal, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal.open()
    with full_disk(journal):
        journal.ended(an_entry())
        journal.close()
    assert journal_status(directory).lost == 1
    assert "will have no row: 1" in caplog.text


def test_a_journal_that_could_not_begin_begins_later(directory: Path) -> None:
    directory.write_text("a file in its place")
    journal = Journal(directory)
    journal.open()
    journal.admitted(an_entry())
    assert (journal.catch_up(), journal.lost) == (False, 1)
    directory.unlink()
    assert not journal.catch_up()
    assert (journal_status(directory).lost, len(segments_in(directory))) == (1, 1)
    journal.close()


FULL_DISK = """
import resource, sys
from pathlib import Path
from gateway.account.journal import Journal, journal_status
from tests.support.entries import an_entry

directory = Path(sys.argv[1])
journal = Journal(directory)
journal.ended(an_entry())
size = next(directory.glob("*.jsonl")).stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size * 3 // 2, resource.RLIM_INFINITY))
for _ in range(4):
    journal.ended(an_entry())
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
for _ in range(7):
    journal.ended(an_entry())
print(journal_status(directory).lost)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


def run(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script, *map(str, args)], capture_output=True, text=True, check=False)


@pytest.mark.sockets
def test_a_line_that_is_cut_short_damages_no_other(directory: Path) -> None:
    done = run(FULL_DISK, directory)
    whole = [read_line(line) for line in lines_in(directory)]
    assert int(done.stdout) >= 7, done.stderr
    assert len(whole) + int(done.stdout) == 12


FORK = """
import os, sys
from pathlib import Path
from gateway.account.journal import Journal
from tests.support.entries import an_entry

journal = Journal(Path(sys.argv[1]))
journal.ended(an_entry())
if os.fork() == 0:
    journal.ended(an_entry())
    os._exit(0)
os.wait()
"""


@pytest.mark.sockets
def test_a_forked_child_writes_a_journal_of_its_own(directory: Path) -> None:
    run(FORK, directory)
    assert len(processes_in(directory)) == len(lines_in(directory)) == 2


def test_what_is_forgotten_in_a_child_is_not_given_up_by_the_parent(journal: Journal, directory: Path) -> None:
    journal.ended(an_entry())
    journal_module._forget_in_child()
    journal.ended(an_entry())
    assert len(processes_in(directory)) == 2


def test_a_status_that_cannot_be_made_is_made_later(journal: Journal, directory: Path) -> None:
    journal.ended(an_entry())
    status = directory / "later" / "x.status"
    journal._lost.show_in(status)
    assert lost_calls(status) == 0
    status.parent.mkdir()
    journal._lost.add(2)
    assert lost_calls(status) == 2


def test_a_status_for_which_there_was_no_room_is_made_without_another_loss(journal: Journal, directory: Path) -> None:
    journal.open()
    status = directory / "later" / "x.status"
    journal._lost.show_in(status)
    journal._lost.add(2)
    status.parent.mkdir()
    journal.catch_up()
    assert lost_calls(status) == 2


def test_a_piece_that_cannot_be_cut_off_ends_its_segment(
    journal: Journal, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.ended(an_entry())
    read_only = os.open(directory / segments_in(directory)[0].file_name, os.O_RDONLY)
    files = journal._files
    assert files is not None
    os.dup2(read_only, files._segment)
    os.close(read_only)
    files._take_back(10)
    journal.ended(an_entry())
    assert [segment.number for segment in segments_in(directory)] == [1, 2]


def test_a_journal_that_cannot_begin_leaves_no_lock(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(files: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(journal_module._Files, "_start_segment", refuse)
    journal = Journal(directory)
    journal.ended(an_entry())
    assert (journal.lost, list(directory.iterdir())) == (1, [])


@pytest.mark.parametrize("step", ["fcntl.flock", "pathlib.Path.rename"])
def test_a_lock_that_cannot_be_had_leaves_nothing_open(
    directory: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(step, refuse)
    journal = Journal(directory)
    before = len(list(Path("/proc/self/fd").iterdir()))
    journal.catch_up()
    assert (len(list(Path("/proc/self/fd").iterdir())), list(directory.iterdir())) == (before, [])


def test_a_lock_is_taken_once(tmp_path: Path) -> None:
    first = take_lock(tmp_path / "some.lock")
    assert first is not None
    assert take_lock(tmp_path / "some.lock") is None
    os.close(first)


def test_progress_survives_only_when_it_is_whole(tmp_path: Path) -> None:
    Progress({"a.1.jsonl": 5}, 2).save(tmp_path)
    assert Progress.load(tmp_path) == Progress({"a.1.jsonl": 5}, 2)
    (tmp_path / "recorder.json").write_text("[]")
    assert Progress.load(tmp_path) == Progress()


@pytest.mark.parametrize("line", [b"{}", b"[]", b'["x", "1"]', b'["e"]', b'["e", 7]', b"nonsense", b"\xff"])
def test_what_is_no_line_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        read_line(line)


def test_a_line_of_an_older_release_lacks_the_newer_fields() -> None:
    assert read_line(b'["e", "1", "req"]') == (ENDED, {"call_id": "1", "request_id": "req"})
