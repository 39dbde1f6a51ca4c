"""A migrated SQLite database that runs of the tests keep for the next one: to migrate one takes a second.

It is kept in pytest's cache, for as long as no file of a migration changes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sqlite3
from pathlib import Path
from typing import Any

import django
from django.apps import apps
from django.db import connection
from django.db.backends.sqlite3.creation import DatabaseCreation

from common import concurrent_indexes

KEPT = Path(__file__).parents[2] / ".pytest_cache" / "migrated"
_create = DatabaseCreation._create_test_db
_open: list[sqlite3.Connection] = []


def begin_with_what_is_kept() -> None:
    """From now on Django finds the tables when it comes to migrate the test database; what is left it does as ever."""
    DatabaseCreation._create_test_db = _created


def keep() -> None:
    """The test database as it is, for the next run."""
    if connection.vendor != "sqlite" or (file := _file()).exists():
        return
    KEPT.mkdir(parents=True, exist_ok=True)
    for old in KEPT.glob("*.sqlite3"):
        old.unlink(missing_ok=True)
    unfinished = file.with_suffix(f".{os.getpid()}")
    with sqlite3.connect(unfinished) as copy:
        connection.connection.backup(copy)
    copy.close()
    unfinished.replace(file)


def _created(creation: Any, *args: Any, **kwargs: Any) -> str:
    name: str = _create(creation, *args, **kwargs)
    if creation.is_in_memory_db(name) and (file := _file()).exists():
        database = sqlite3.connect(name, uri=True)
        _open.append(database)  # what is in memory ends with the last connection
        with sqlite3.connect(file) as kept:
            kept.backup(database)
        kept.close()
    return name


def _file() -> Path:
    digest = hashlib.sha256(f"{django.__version__} {sqlite3.sqlite_version}".encode())
    digest.update(Path(concurrent_indexes.__file__).read_bytes())
    for app in apps.get_app_configs():
        spec = importlib.util.find_spec(f"{app.name}.migrations") if app.models_module else None
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for path in sorted(Path(folder).glob("*.py")):
                digest.update(path.read_bytes())
    return KEPT / f"{digest.hexdigest()[:24]}.sqlite3"
