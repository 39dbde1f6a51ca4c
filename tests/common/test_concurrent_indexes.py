"""Indexes of the request log are built while calls are written, and what failed half-way is finished the next time."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, NotSupportedError, connection, transaction
from django.db.migrations import AddIndex, RemoveIndex
from django.db.migrations.loader import MigrationLoader
from django.test.utils import CaptureQueriesContext

from common.concurrent_indexes import AddIndexConcurrently, RemoveIndexConcurrently
from gateway.account.log_store import LogStore
from tests.support.databases import on_postgresql
from tests.support.entries import an_entry

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "request_log_key_name"
LARGE = {"requestlog", "requestfacet"}
RELEASED = 7  # the last migration that may have built one within a transaction
postgresql = pytest.mark.skipif(not on_postgresql(), reason="PostgreSQL's own")


@pytest.fixture(scope="module")
def loader() -> MigrationLoader:
    return MigrationLoader(None)


@pytest.fixture
def after(loader: MigrationLoader) -> Any:
    return loader.project_state(("gateway", "0014_log_explorer_indexes"))


@pytest.fixture
def operation(loader: MigrationLoader) -> Any:
    """The one that builds the index of the names of keys."""
    operations = loader.get_migration("gateway", "0014_log_explorer_indexes").operations
    return next(one for one in operations if isinstance(one, AddIndexConcurrently) and one.index.name == NAME)


def run(operation: Any, state: Any, *, backwards: bool = False) -> list[str]:
    """What it told the database about indexes."""
    act = operation.database_backwards if backwards else operation.database_forwards
    with CaptureQueriesContext(connection) as queries, connection.schema_editor(atomic=False) as editor:
        act("gateway", editor, state, state)
    return [query["sql"] for query in queries if "INDEX" in query["sql"]]


def stands() -> bool:
    with connection.cursor() as cursor:
        return NAME in connection.introspection.get_constraints(cursor, "gateway_requestlog")


def test_it_is_dropped_and_built_and_either_can_be_done_again(operation: Any, after: Any) -> None:
    run(operation, after, backwards=True)
    assert not stands()
    assert run(operation, after, backwards=True) == []
    (built,) = run(operation, after)
    assert stands()
    assert run(operation, after) == []
    assert ("CONCURRENTLY" in built) is on_postgresql()


def test_an_index_that_is_not_needed_any_more_goes_the_same_way(after: Any) -> None:
    removal = RemoveIndexConcurrently("requestlog", NAME)
    (dropped,) = run(removal, after)
    assert not stands()
    assert run(removal, after) == []
    run(removal, after, backwards=True)
    assert stands()
    assert ("CONCURRENTLY" in dropped) is on_postgresql()


@postgresql
def test_what_a_failed_attempt_left_behind_is_built_anew(operation: Any, after: Any) -> None:
    LogStore().store([an_entry(), an_entry()], pytest.fail)
    run(operation, after, backwards=True)
    with connection.cursor() as cursor, pytest.raises(IntegrityError):
        cursor.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {NAME} ON gateway_requestlog (method)")
    assert stands()  # though nothing can be found by it
    dropped, built = run(operation, after)
    assert (dropped.split()[0], built.split()[0]) == ("DROP", "CREATE")
    assert run(operation, after) == []


@postgresql
def test_within_a_transaction_it_is_refused(operation: Any, after: Any) -> None:
    with transaction.atomic(), pytest.raises(NotSupportedError, match="atomic = False"):
        run(operation, after)


def test_no_migration_builds_an_index_of_a_large_table_in_a_transaction(loader: MigrationLoader) -> None:
    for (app, name), migration in loader.disk_migrations.items():
        if app != "gateway" or int(name[:4]) <= RELEASED:
            continue
        for operation in migration.operations:
            if getattr(operation, "model_name", "") in LARGE:
                concurrent = isinstance(operation, AddIndexConcurrently | RemoveIndexConcurrently)
                assert concurrent or not isinstance(operation, AddIndex | RemoveIndex), (name, operation.describe())
                assert not concurrent or migration.atomic is False, name
