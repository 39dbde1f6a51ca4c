"""Indexes of large tables, built and dropped by a migration while calls go on being written.

For migrations with `atomic = False`. On PostgreSQL an index that is built within a transaction keeps everybody from
writing into its table until it is done, for minutes with ten million rows; SQLite has one writer at a time anyway.
Such a migration may end in the middle, so each operation does only what is left to do when it is run again.
"""

from __future__ import annotations

from typing import Any

from django.db import NotSupportedError
from django.db.migrations import AddIndex, RemoveIndex
from django.db.models import Index

_IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"


class AddIndexConcurrently(AddIndex):
    """As Django's operation for PostgreSQL, and on SQLite too. An index that stands is taken as it is; what a failed
    attempt has left behind, an index that is not valid, is dropped first."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        _build(self, schema_editor, to_state.apps.get_model(app_label, self.model_name), self.index)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        _drop(self, schema_editor, from_state.apps.get_model(app_label, self.model_name), self.index)


class RemoveIndexConcurrently(RemoveIndex):
    """Likewise; an index that is gone already is no error."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        index = from_state.models[app_label, self.model_name_lower].get_index_by_name(self.name)
        _drop(self, schema_editor, from_state.apps.get_model(app_label, self.model_name), index)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        index = to_state.models[app_label, self.model_name_lower].get_index_by_name(self.name)
        _build(self, schema_editor, to_state.apps.get_model(app_label, self.model_name), index)


def _build(operation: AddIndex | RemoveIndex, schema_editor: Any, model: Any, index: Index) -> None:
    if not operation.allow_migrate_model(schema_editor.connection.alias, model):
        return
    options = _options(schema_editor)
    is_valid = _is_valid(schema_editor, model, index.name)
    if is_valid is False:
        schema_editor.remove_index(model, index, **options)
    if not is_valid:
        schema_editor.add_index(model, index, **options)


def _drop(operation: AddIndex | RemoveIndex, schema_editor: Any, model: Any, index: Index) -> None:
    may = operation.allow_migrate_model(schema_editor.connection.alias, model)
    if may and (schema_editor.collect_sql or _is_valid(schema_editor, model, index.name) is not None):
        schema_editor.remove_index(model, index, **_options(schema_editor))


def _options(schema_editor: Any) -> dict[str, bool]:
    """Raises NotSupportedError in a transaction of PostgreSQL, in which no index can be built concurrently."""
    if schema_editor.connection.vendor != "postgresql":
        return {}
    if schema_editor.connection.in_atomic_block:
        raise NotSupportedError("An index is built concurrently outside of transactions: set atomic = False.")
    return {"concurrently": True}


def _is_valid(schema_editor: Any, model: Any, name: str) -> bool | None:
    """Whether the index can be used; None where there is none (or SQL is only to be shown)."""
    if schema_editor.collect_sql:
        return None
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_IS_VALID, [connection.ops.quote_name(name)])
            found = cursor.fetchone()
            return None if found is None else bool(found[0])
        return True if name in connection.introspection.get_constraints(cursor, model._meta.db_table) else None
