"""What the gateway makes for itself at the first start, secrets above all, as files that only their owner can read."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable
from pathlib import Path


def private_directory(path: Path) -> Path:
    """Makes the directory (mode 0700 when new) and returns it. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def private_file(path: Path) -> None:
    """Makes the file (mode 0600) when it is missing. Raises OSError."""
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def read_or_create(path: Path, make: Callable[[], str]) -> str:
    """Returns the file's text, making the file (mode 0600) when there is none.

    Several processes may start at once: each writes a file of its own and links it to the name, which only one
    can do; all read what that one wrote. Raises OSError.
    """
    if not path.exists():
        private_directory(path.parent)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(make() + "\n")
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink()
    return path.read_text().strip()


def take_lock(path: Path) -> int | None:
    """Locks the file, made when missing, until the descriptor that is returned is closed; None if it is taken.
    Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
