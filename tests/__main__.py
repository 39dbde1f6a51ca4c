"""Runs the whole suite on SQLite and on PostgreSQL, and holds the coverage of the first against the goal.

Three runs beside each other, for two cores: half of the time of a test with real processes is waiting.
`SUITE_IN_TURN=1` runs one after the other, on a machine that has other work. What the second and the third print comes
after what the first does. Measured is what the tests in our own process reach on SQLite: a gateway that is traced takes
three times as long to start, and many are started.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from typing import IO

PYTEST = ["-m", "pytest", *sys.argv[1:]]
SQLITE = {"TEST_DATABASE": "sqlite", "TEST_DATABASE_URL": ""}
POSTGRESQL = {"TEST_DATABASE": "postgresql"}
RUNS = {
    "SQLite": (["-m", "coverage", "run", *PYTEST, "--part", "quick"], SQLITE),
    "SQLite, with real processes": ([*PYTEST, "--part", "processes"], SQLITE),
    "PostgreSQL": (PYTEST, POSTGRESQL),
}
NOTHING = 5
"""pytest.ExitCode.NO_TESTS_COLLECTED"""


def start(
    arguments: list[str], environment: dict[str, str], output: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=output)


def coverage(*arguments: str) -> int:
    """The status of one of its commands."""
    return start(["-m", "coverage", *arguments], {}).wait()


def first_failure(statuses: list[int]) -> int:
    """The status of the first that failed, else 0. Some may have had nothing to do, where tests were named."""
    ran = [status for status in statuses if status != NOTHING]
    return next((status for status in ran if status), 0) if ran else NOTHING


def follow(run: subprocess.Popen[bytes], output: IO[bytes]) -> int:
    """Prints what a run has written and what it goes on to write, until it ends; its status."""
    at, ended = 0, False
    while not ended:
        ended = run.poll() is not None
        while piece := os.pread(output.fileno(), 65_536, at):  # the run writes where the file's own position is
            at += len(piece)
            sys.stdout.buffer.write(piece)
        sys.stdout.flush()
        if not ended:
            time.sleep(0.2)
    return run.returncode


def in_turn() -> list[int]:
    """The statuses of the runs, one after the other."""
    statuses = []
    for title, (arguments, environment) in RUNS.items():
        print("==", title, flush=True)
        statuses.append(start(arguments, environment).wait())
    return statuses


def beside_each_other() -> list[int]:
    """The statuses of the runs, all at once."""
    statuses = []
    with contextlib.ExitStack() as files:
        started = {}
        for title, (arguments, environment) in RUNS.items():
            output = files.enter_context(tempfile.TemporaryFile())
            started[title] = start(arguments, environment, output), output
        for title, (run, output) in started.items():
            print("==", title, flush=True)
            statuses.append(follow(run, output))
    return statuses


def suites() -> int:
    """The status of the first run that fails; 0 when all pass."""
    return first_failure(in_turn() if os.environ.get("SUITE_IN_TURN") else beside_each_other())


def main() -> None:
    """Ends with the status of what fails first."""
    sys.exit(coverage("erase") or suites() or coverage("combine", "-q") or coverage("report"))


if __name__ == "__main__":
    main()
