"""Runs the tests that need no socket and no process, on SQLite: a share for each core, beside each other.

What a share prints comes when it has ended; arguments are passed to pytest.
"""

import contextlib
import gc
import os
import sys
import tempfile
from pathlib import Path

from tests.__main__ import SQLITE, first_failure, start

# One timer for each test costs a second; a test that hangs is found with pytest alone.
QUICK = ["--part", "quick", "-m", "not sockets", "-o", "faulthandler_timeout=0", "--randomly-dont-reset-seed"]


def run_share(arguments: list[str]) -> None:
    """Ends this process, which is over before it is worth while to collect or to give back what it has used."""
    import pytest

    gc.disable()
    with tempfile.TemporaryDirectory(prefix="vgw-tests-") as directory:
        status = pytest.main([*QUICK, f"--basetemp={directory}/tmp", *arguments])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def how_many(arguments: list[str]) -> int:
    """Shares: one for each core; only one where files are named, which would run in each."""
    if any(argument.startswith("tests/") and ".py" in argument for argument in arguments):
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main(arguments: list[str]) -> int:
    """The status of the first share that fails; 0 when all pass."""
    from tests.planning import plan, remember  # not in a share: pytest imports its plugins itself

    cores, statuses = how_many(arguments), []
    with contextlib.ExitStack() as files:
        folder = files.enter_context(tempfile.TemporaryDirectory(prefix="vgw-tests-"))
        plan(Path(folder), cores)
        outputs = [files.enter_context(tempfile.TemporaryFile()) for _ in range(cores)]
        shares = [
            start(["-m", "tests.quick", f"--share={number}", f"--shares={folder}", *arguments], SQLITE, output)
            for number, output in enumerate(outputs, start=1)
        ]
        for share, output in zip(shares, outputs, strict=True):
            statuses.append(share.wait())
            output.seek(0)
            sys.stdout.write(output.read().decode("utf-8", "replace"))
            sys.stdout.flush()
        remember(Path(folder))
    return first_failure(statuses)


if __name__ == "__main__":
    if any(argument.startswith("--share=") for argument in sys.argv):
        run_share(sys.argv[1:])
    sys.exit(main(sys.argv[1:]))
