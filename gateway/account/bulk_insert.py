"""`INSERT` of many rows in one statement, written out, since Django's `bulk_create` neither says which rows were new
nor adds to those that stand. For the request log and its roll-ups, on SQLite and PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from django.db import connections, models, router

# Values of these very types go to both databases as they are; asking the field costs twenty times as much.
_PLAIN: list[tuple[type[models.Field[Any, Any]], type]] = [
    (models.BooleanField, bool),
    (models.IntegerField, int),
    (models.FloatField, float),
    (models.CharField, str),
]


class BulkInsert:
    """Inserts rows of some of a model's columns; `suffix` is what follows the values (`ON CONFLICT …`)."""

    def __init__(self, model: type[models.Model], columns: Sequence[str], suffix: str) -> None:
        self._model = model
        fields: list[Any] = [model._meta.get_field(name) for name in columns]
        self._fields = [(field, _plain_type(field)) for field in fields]
        self._start = f"INSERT INTO {model._meta.db_table} ({', '.join(columns)})"
        self._row = f"({', '.join(['%s'] * len(columns))})"
        self._suffix = suffix

    def execute(self, rows: Sequence[Iterable[Any]]) -> list[Any]:
        """Inserts the rows, each in the order of the columns, and returns the first column of what the statement
        returns. Raises what the database raises, and ValueError or TypeError when a value does not fit its field.
        """
        connection = connections[router.db_for_write(self._model)]
        prepared = [
            [
                value if value is None or type(value) is plain else _prepared(field, value, connection)
                for (field, plain), value in zip(self._fields, row, strict=True)
            ]
            for row in rows
        ]
        written = self._as_columns if connection.vendor == "postgresql" else self._as_rows
        values, parameters = written(prepared, connection)
        with connection.cursor() as cursor:
            cursor.execute(f"{self._start} {values} {self._suffix}", parameters)
            return [row[0] for row in cursor.fetchall()] if cursor.description else []

    def _as_rows(self, rows: list[list[Any]], connection: Any) -> tuple[str, list[Any]]:
        return f"VALUES {', '.join([self._row] * len(rows))}", list(chain.from_iterable(rows))

    def _as_columns(self, rows: list[list[Any]], connection: Any) -> tuple[str, list[Any]]:
        """One array for each column: to find twenty thousand placeholders in a text takes psycopg longer than all else
        that it does here."""
        arrays = ", ".join(f"%s::{_element(field, connection)}[]" for field, _ in self._fields)
        columns = [list(column) for column in zip(*rows, strict=True)]
        return f"SELECT * FROM unnest({arrays})", columns  # noqa: S608 - our own names


def _plain_type(field: Any) -> type | None:
    return next((plain for kind, plain in _PLAIN if isinstance(field, kind)), None)


def _prepared(field: Any, value: Any, connection: Any) -> Any:
    found = field.get_db_prep_save(value, connection)
    return str(found) if isinstance(found, str) else found  # an array takes no members of an enumeration among texts


def _element(field: Any, connection: Any) -> str:
    """The column's type without its length: a cast to a length cuts what is too long, which is to be refused."""
    name: str = field.db_type(connection)
    return name.partition("(")[0]
