"""Runs the whole suite on SQLite and on PostgreSQL, and holds the coverage of the first against the goal.

Both run at once, a process for each of two cores; `SUITE_IN_TURN=1` runs one after the other, on a machine that has
other work. What the run on PostgreSQL prints comes after the other's. Measured is what the tests in our own process
reach on SQLite: a gateway that is traced takes three times as long to start, and some hundred are started.
"""

import os
import subprocess
import sys
import tempfile
from typing import IO

PYTEST = ["-m", "pytest", *sys.argv[1:]]
SQLITE = {"TEST_DATABASE": "sqlite", "TEST_DATABASE_URL": ""}
POSTGRESQL = {"TEST_DATABASE": "postgresql"}
QUICK = ["-m", "coverage", "run", *PYTEST, "--part", "quick"]
WITH_PROCESSES = [*PYTEST, "--part", "processes"]
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


def on_sqlite() -> int:
    """The status of the first part that fails."""
    return first_failure([start(part, SQLITE).wait() for part in (QUICK, WITH_PROCESSES)])


def suites() -> int:
    """The status of the first suite that fails; 0 when both pass."""
    if os.environ.get("SUITE_IN_TURN"):
        print("== SQLite", flush=True)
        status = on_sqlite()
        print("== PostgreSQL", flush=True)
        return status or start(PYTEST, POSTGRESQL).wait()
    with tempfile.TemporaryFile() as output:
        beside = start(PYTEST, POSTGRESQL, output)
        print("== SQLite (PostgreSQL beside it)", flush=True)
        status = on_sqlite()
        print("== PostgreSQL", flush=True)
        status = status or beside.wait()
        beside.wait()
        output.seek(0)
        sys.stdout.write(output.read().decode("utf-8", "replace"))
        sys.stdout.flush()
    return status


def main() -> None:
    """Ends with the status of what fails first."""
    sys.exit(coverage("erase") or suites() or coverage("combine", "-q") or coverage("report"))


if __name__ == "__main__":
    main()
