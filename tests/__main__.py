"""Runs the whole suite on SQLite and on PostgreSQL, and holds the coverage of the first against the goal.

Both run at once, each in two processes, since they mostly wait for sockets; `SUITE_IN_TURN=1` runs one after the
other, on a machine that has other work. What the run on PostgreSQL prints comes after the other's. That one is not
measured: it would take a half longer, and what only it reaches is little.
"""

import os
import subprocess
import sys
import tempfile
from typing import IO

WORKERS = ["-n", "2", "--dist", "loadfile"]  # a file's gateways are started once
PYTEST = ["-m", "pytest", *WORKERS, *sys.argv[1:]]
MEASURED = ["-m", "coverage", "run", *PYTEST]
SUITES = {
    "SQLite": (MEASURED, {"TEST_DATABASE": "sqlite", "TEST_DATABASE_URL": ""}),
    "PostgreSQL": (PYTEST, {"TEST_DATABASE": "postgresql"}),
}


def start(name: str, output: IO[bytes] | None) -> subprocess.Popen[bytes]:
    arguments, environment = SUITES[name]
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=output)


def run(command: list[str]) -> None:
    """Ends the whole run with the command's status when it fails."""
    status = subprocess.run(command, check=False).returncode
    if status:
        sys.exit(status)


def suites() -> int:
    """The status of the first suite that fails; 0 when both pass."""
    if os.environ.get("SUITE_IN_TURN"):
        statuses = []
        for name in SUITES:
            print(f"== {name}", flush=True)
            statuses.append(start(name, None).wait())
        return next((status for status in statuses if status), 0)
    with tempfile.TemporaryFile() as output:
        beside = start("PostgreSQL", output)
        print("== SQLite (PostgreSQL beside it)", flush=True)
        status = start("SQLite", None).wait()
        print("== PostgreSQL", flush=True)
        status = beside.wait() or status
        output.seek(0)
        sys.stdout.write(output.read().decode("utf-8", "replace"))
        sys.stdout.flush()
    return status


def main() -> None:
    run([sys.executable, "-m", "coverage", "erase"])
    if status := suites():
        sys.exit(status)
    run([sys.executable, "-m", "coverage", "combine", "-q"])
    run([sys.executable, "-m", "coverage", "report"])


if __name__ == "__main__":
    main()
