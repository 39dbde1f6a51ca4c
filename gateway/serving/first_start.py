"""What must stand before the planes start: the tables, the encryption canary, an admin, the upstream of the
environment. Safe when several nodes start at once: one does it, the others wait.
"""

from __future__ import annotations

import contextlib
import fcntl
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection
from django.db.utils import DatabaseError, InterfaceError

from gateway.serving.local_files import private_directory, private_file
from upstreams.encryption import check_canary
from upstreams.environment_upstream import sync_environment_upstream

_LOCK_NUMBER = 0x7667_7773  # of PostgreSQL's advisory lock: any number that nobody else takes
_ASK_AGAIN_SECONDS = 0.5
CONNECT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class FirstStart:
    """What the terminal shows. `password` only when the admin was made just now and nobody gave one."""

    username: str
    password: str | None


def make_directories() -> None:
    """Makes what the relay needs in the data directory, before it is imported. Raises ImproperlyConfigured."""
    try:
        for name in ("journal", "spool"):
            private_directory(settings.DATA_DIR / name)
    except OSError as error:
        raise ImproperlyConfigured(
            f"GATEWAY_DATA_DIR is {settings.DATA_DIR}, where nothing can be kept: {error.strerror}."
        ) from error


def prepare() -> FirstStart:
    """Brings database and data directory to where they must be. Raises ImproperlyConfigured."""
    make_directories()
    name = str(settings.DATABASES["default"]["NAME"])
    if settings.EMBEDDED and not name.startswith("file:"):  # a URI is for a database in memory
        with contextlib.suppress(OSError):  # SQLite, which opens it next, says better what is wrong
            private_file(Path(name))  # sessions and password hashes are in it
    try:
        _reach_database()
        with _alone():
            call_command("migrate", verbosity=0, interactive=False)
            check_canary()
            sync_environment_upstream()
            return _ensure_admin()
    except (DatabaseError, InterfaceError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ImproperlyConfigured(f"The database of DATABASE_URL cannot be used: {reason}") from error


def _reach_database() -> None:
    """Connects once without the pool, which tells of every cause only that it has waited in vain."""
    if settings.EMBEDDED:
        return
    alone = connection.copy()
    options = alone.settings_dict["OPTIONS"]
    options.pop("pool", None)
    options.setdefault("connect_timeout", CONNECT_SECONDS)
    try:
        alone.ensure_connection()
    finally:
        alone.close()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Only one process at a time is inside: by a file lock beside SQLite, by an advisory lock in PostgreSQL."""
    if settings.EMBEDDED:
        with (settings.DATA_DIR / "start.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with connection.cursor() as cursor:
        # Who waits asks again and again: a statement that waited for the lock would be a transaction that lasts, for
        # whose end an index that is built concurrently waits, which would be a deadlock.
        while not _got_lock(cursor):
            time.sleep(_ASK_AGAIN_SECONDS)
        try:
            cursor.execute("SET statement_timeout = 0")  # an index of a large table takes its time
            yield
        finally:
            with contextlib.suppress(DatabaseError, InterfaceError):  # the lock ended with the connection
                cursor.execute("RESET statement_timeout")
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK_NUMBER])


def _got_lock(cursor: Any) -> bool:
    cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK_NUMBER])
    return bool(cursor.fetchone()[0])


def _ensure_admin() -> FirstStart:
    users = get_user_model()._default_manager
    existing = users.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if existing is not None:
        return FirstStart(existing.get_username(), None)
    password = settings.ADMIN_PASSWORD or secrets.token_urlsafe(18)
    users.create_superuser(username=settings.ADMIN_USERNAME, email="", password=password)
    return FirstStart(settings.ADMIN_USERNAME, None if settings.ADMIN_PASSWORD else password)
