"""Programs that people paste, run as they are: in a shell and in Python."""

from __future__ import annotations

import contextlib
import io
import subprocess


def shell(command: str) -> str:
    """What the command prints. AssertionError when any part of it fails, or curl gets an error."""
    strict = command.replace("curl ", "curl --silent --show-error --fail-with-body --noproxy '*' ")
    done = subprocess.run(["bash", "-euc", strict], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python(program: str) -> str:
    """What the program prints, run in this process."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, "snippet", "exec"), {})
    return printed.getvalue()
