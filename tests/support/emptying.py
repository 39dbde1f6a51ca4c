"""Empties the database after a test that commits, as Django's flush does, in a fraction of its time.

Django's lets each app make its content types and permissions anew, and us our roles. Here these stay for as long as
they are what migrations or the last real flush left; all else goes, what migrations wrote included.
"""

from __future__ import annotations

from typing import Any

from django.core.management.color import no_style
from django.db import connections
from django.test import TransactionTestCase

from upstreams.apps import keep_version_row

STAYING = ("django_content_type", "auth_permission", "auth_group", "auth_group_permissions")
Rows = list[list[tuple[Any, ...]]]
_flush = TransactionTestCase._fixture_teardown
_flushed: dict[str, Rows] = {}


def empty_quickly() -> None:
    """From now on, in this process."""
    TransactionTestCase._fixture_teardown = _emptied


def remember_as_migrated() -> None:
    """A flush would leave the rows that stay as `migrate` did, which has just ended."""
    _flushed.update({alias: _rows(alias) for alias in connections})


def _emptied(case: Any) -> None:
    aliases = case._databases_names(include_mirrors=False)
    if case.available_apps is None and all(_flushed.get(alias) == _rows(alias) for alias in aliases):
        for alias in aliases:
            _empty(alias)
    else:
        _flush(case)
        _flushed.update({alias: _rows(alias) for alias in aliases})


def _rows(alias: str) -> Rows:
    """All rows of the tables that stay."""
    found = []
    with connections[alias].cursor() as cursor:
        for table in STAYING:
            cursor.execute(f"SELECT * FROM {table} ORDER BY id")
            found.append(cursor.fetchall())
    return found


def _empty(alias: str) -> None:
    database = connections[alias]
    tables = database.introspection.django_table_names(only_existing=True, include_views=False)
    going = [table for table in tables if table not in STAYING]
    database.ops.execute_sql_flush(database.ops.sql_flush(no_style(), going))
    keep_version_row(using=alias)
