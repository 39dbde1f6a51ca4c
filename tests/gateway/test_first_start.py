"""What must stand before the planes start."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection
from pytest_django import Settings

from gateway.serving import first_start
from gateway.serving.first_start import make_directories, prepare
from tests.support.databases import on_postgresql
from tests.support.threads import Thread

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def quick_hasher(settings: Settings) -> None:
    """What a password is hashed with is Django's business, and takes a third of a second each time."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def test_an_admin_is_made_with_a_password_that_is_shown_once() -> None:
    start = prepare()
    user = get_user_model().objects.get()
    assert (start.username, user.get_username(), user.is_superuser) == ("admin", "admin", True)
    assert start.password is not None
    assert user.check_password(start.password)
    assert prepare().password is None


def test_a_password_that_was_given_is_not_shown(settings: Settings) -> None:
    settings.ADMIN_USERNAME, settings.ADMIN_PASSWORD = "root", "a-password-of-their-own"
    start = prepare()
    assert (start.username, start.password) == ("root", None)
    assert get_user_model().objects.get().check_password("a-password-of-their-own")


def test_an_admin_that_is_there_is_left_alone() -> None:
    get_user_model().objects.create_superuser("somebody", password="x")
    assert prepare().username == "somebody"


def test_a_database_that_cannot_be_used_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OperationalError("connection refused\nmore\nlines")

    monkeypatch.setattr(first_start, "call_command", fail)
    with pytest.raises(ImproperlyConfigured, match=r"^The database of DATABASE_URL cannot be used: .*refused$"):
        prepare()


def test_a_data_directory_that_cannot_be_used_is_one_sentence(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings.DATA_DIR = tmp_path / "file"
    with pytest.raises(ImproperlyConfigured, match=r"^GATEWAY_DATA_DIR is .*, where nothing can be kept: "):
        make_directories()


@pytest.mark.skipif(not on_postgresql(), reason="SQLite has a lock in a file")
def test_who_waits_keeps_no_index_from_being_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_start, "_ASK_AGAIN_SECONDS", 0.05)
    entered = threading.Event()

    def second_node() -> None:
        with first_start._alone():
            entered.set()
        connection.close()

    with first_start._alone(), connection.cursor() as cursor:
        thread = Thread(second_node)
        while not asked_for_the_lock():
            time.sleep(0.01)
        cursor.execute("CREATE INDEX CONCURRENTLY tried_out ON gateway_requestlog (route)")
        cursor.execute("DROP INDEX CONCURRENTLY tried_out")
        assert not entered.is_set()
    thread.join()
    assert entered.is_set()


def asked_for_the_lock() -> bool:
    """Whether another session has asked for PostgreSQL's advisory lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_%%advisory_lock%%'"
            " AND pid <> pg_backend_pid() AND datname = current_database()"
        )
        return cursor.fetchone() is not None
