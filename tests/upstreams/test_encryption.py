"""The canary and the rotation of encryption keys."""

from io import StringIO

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from pytest_django import Settings

from tests.upstreams.test_crypto import new_key
from upstreams.encryption import check_canary
from upstreams.models import EncryptionCanary, Upstream

pytestmark = pytest.mark.django_db


def rotate() -> str:
    out = StringIO()
    call_command("rotate_encryption", stdout=out)
    return out.getvalue()


def make(name: str, credential: str) -> Upstream:
    return Upstream.objects.create(name=name, url=f"http://{name}", credential=credential)


def test_the_first_start_makes_a_canary() -> None:
    check_canary()
    assert str(EncryptionCanary.objects.get()) == "canary"


def test_the_same_keys_fit_again() -> None:
    check_canary()
    check_canary()


def test_an_added_newest_key_fits(settings: Settings) -> None:
    check_canary()
    settings.ENCRYPTION_KEYS = [new_key(), *settings.ENCRYPTION_KEYS]
    check_canary()


def test_other_keys_do_not_fit(settings: Settings) -> None:
    check_canary()
    settings.ENCRYPTION_KEYS = [new_key()]
    with pytest.raises(ImproperlyConfigured, match="GATEWAY_ENCRYPTION_KEYS does not fit this database: add"):
        check_canary()


def test_after_a_rotation_the_newest_key_is_enough(settings: Settings) -> None:
    make("one", "swordfish")
    make("two", "")
    check_canary()
    newest = new_key()
    settings.ENCRYPTION_KEYS = [newest, *settings.ENCRYPTION_KEYS]
    assert rotate() == "Encrypted 1 credential and the canary again.\n"
    settings.ENCRYPTION_KEYS = [newest]
    check_canary()
    assert Upstream.objects.get(name="one").credential.reveal() == "swordfish"


def test_a_rotation_says_how_many_credentials_it_encrypted() -> None:
    assert "Encrypted 0 credentials" in rotate()


def test_a_rotation_that_meets_an_unreadable_credential_changes_nothing(settings: Settings) -> None:
    first, second = make("a", "swordfish"), settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = [new_key()]
    make("b", "marlin")
    settings.ENCRYPTION_KEYS = [new_key(), *second]
    with pytest.raises(CommandError, match=r"credential of b .* Nothing was changed"):
        rotate()
    assert Upstream.objects.get(name="a").credential.stored == first.credential.stored


def test_a_rotation_with_keys_of_another_database_is_refused(settings: Settings) -> None:
    check_canary()
    settings.ENCRYPTION_KEYS = [new_key()]
    with pytest.raises(CommandError, match="does not fit"):
        rotate()
