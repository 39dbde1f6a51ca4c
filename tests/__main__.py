"""Runs the whole suite on SQLite and on PostgreSQL, and holds the coverage of the first against the goal.

On two cores: one lane for the tests in our own process, on one database after the other, and for each database one for
the tests with real processes, which wait for half of their time. `SUITE_IN_TURN=1` makes it one lane, on a machine that
has other work. What a run prints comes after what those before it print. Measured is what the tests in our own process
reach on SQLite: a gateway that is traced takes three times as long to start, and many are started.
"""

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import IO, NamedTuple

PYTEST = ["-m", "pytest", *sys.argv[1:]]
QUICK, PROCESSES = [*PYTEST, "--part", "quick"], [*PYTEST, "--part", "processes"]
SQLITE = {"TEST_DATABASE": "sqlite", "TEST_DATABASE_URL": ""}
POSTGRESQL = {"TEST_DATABASE": "postgresql"}
NOTHING = 5
"""pytest.ExitCode.NO_TESTS_COLLECTED"""


class Run(NamedTuple):
    """Some of the tests, on a database."""

    title: str
    arguments: list[str]
    environment: dict[str, str]


ON_SQLITE = Run("SQLite", ["-m", "coverage", "run", *QUICK], SQLITE)
ON_SQLITE_WITH_PROCESSES = Run("SQLite, with real processes", PROCESSES, SQLITE)
ON_POSTGRESQL = Run("PostgreSQL", QUICK, POSTGRESQL)
ON_POSTGRESQL_WITH_PROCESSES = Run("PostgreSQL, with real processes", PROCESSES, POSTGRESQL)


def lanes() -> list[list[Run]]:
    """The runs; those of a lane come one after the other. On a server that stands already two would be in each other's
    way; an embedded one has each for itself."""
    if os.environ.get("SUITE_IN_TURN"):
        return [[ON_SQLITE, ON_SQLITE_WITH_PROCESSES, ON_POSTGRESQL, ON_POSTGRESQL_WITH_PROCESSES]]
    if os.environ.get("TEST_DATABASE_URL"):
        return [[ON_SQLITE], [ON_SQLITE_WITH_PROCESSES], [ON_POSTGRESQL, ON_POSTGRESQL_WITH_PROCESSES]]
    return [[ON_SQLITE, ON_POSTGRESQL], [ON_SQLITE_WITH_PROCESSES], [ON_POSTGRESQL_WITH_PROCESSES]]


def start(
    arguments: list[str], environment: dict[str, str], output: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=output)


def to_the_end(run: Run, output: IO[bytes]) -> int:
    """The status of a run."""
    return start(run.arguments, run.environment, output).wait()


def coverage(*arguments: str) -> int:
    """The status of one of its commands."""
    return start(["-m", "coverage", *arguments], {}).wait()


def first_failure(statuses: list[int]) -> int:
    """The status of the first that failed, else 0. Some may have had nothing to do, where tests were named."""
    ran = [status for status in statuses if status != NOTHING]
    return next((status for status in ran if status), 0) if ran else NOTHING


def follow(run: Future[int], output: IO[bytes]) -> int:
    """Prints what a run has written and what it goes on to write, until it ends; its status."""
    at, ended = 0, False
    while not ended:
        ended = run.done()
        while piece := os.pread(output.fileno(), 65_536, at):  # the run writes where the file's own position is
            at += len(piece)
            sys.stdout.buffer.write(piece)
        sys.stdout.flush()
        if not ended:
            time.sleep(0.2)
    return run.result()


def suites() -> int:
    """The status of the first run that fails; 0 when all pass."""
    started: list[tuple[str, Future[int], IO[bytes]]] = []
    with ExitStack() as stack:
        for runs in lanes():
            lane = ThreadPoolExecutor(1)
            for run in runs:
                file = stack.enter_context(tempfile.TemporaryFile())
                started.append((run.title, lane.submit(to_the_end, run, file), file))
            stack.callback(lane.shutdown, cancel_futures=True)
        statuses = []
        for title, future, output in started:
            print("==", title, flush=True)
            statuses.append(follow(future, output))
    return first_failure(statuses)


def main() -> None:
    """Ends with the status of what fails first."""
    sys.exit(coverage("erase") or suites() or coverage("combine", "-q") or coverage("report"))


if __name__ == "__main__":
    main()
