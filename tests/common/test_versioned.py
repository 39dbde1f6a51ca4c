"""Tests of common.versioned, on the tables of keys."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings
from django.db import connection, transaction

from keys.models import KeysVersion, VirtualKey


@pytest.mark.django_db(transaction=True)
def test_a_version_is_only_bumped_inside_a_transaction():
    with pytest.raises(transaction.TransactionManagementError):
        KeysVersion.bump()


@pytest.mark.django_db
def test_an_emptied_database_starts_again():
    KeysVersion.objects.all().delete()
    assert KeysVersion.current() == 0
    assert KeysVersion.bump() == KeysVersion.current() == 1


@pytest.mark.django_db(transaction=True)
def test_a_version_is_not_given_out_when_its_transaction_fails():
    VirtualKey.objects.issue(name="a")
    before = KeysVersion.current()
    with transaction.atomic():
        VirtualKey.objects.update(blocked=True)
        transaction.set_rollback(True)
    assert KeysVersion.current() == before


@pytest.mark.skipif(settings.EMBEDDED, reason="needs TEST_DATABASE=postgresql")
@pytest.mark.django_db(transaction=True)
def test_simultaneous_writers_get_versions_of_their_own():
    def write(_):
        try:
            return VirtualKey.objects.issue()[0].version
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(write, range(16)))
    assert len(set(versions)) == 16
