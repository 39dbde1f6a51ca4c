"""Runs the whole suite on SQLite, then on PostgreSQL, and holds the coverage of both together against the goal."""

import os
import subprocess
import sys

PYTEST = [sys.executable, "-m", "coverage", "run", "-m", "pytest", *sys.argv[1:]]


def run(command: list[str], **environment: str) -> None:
    """Ends the whole run with the command's status when it fails."""
    status = subprocess.run(command, env={**os.environ, **environment}, check=False).returncode
    if status:
        sys.exit(status)


def main() -> None:
    run([sys.executable, "-m", "coverage", "erase"])
    print("== SQLite", flush=True)
    run(PYTEST, TEST_DATABASE="sqlite", TEST_DATABASE_URL="")
    print("== PostgreSQL", flush=True)
    run(PYTEST, TEST_DATABASE="postgresql")
    run([sys.executable, "-m", "coverage", "combine", "-q"])
    run([sys.executable, "-m", "coverage", "report"])


if __name__ == "__main__":
    main()
