"""Credentials, encrypted at rest and never shown."""

import pytest
from django.core import serializers
from django.core.exceptions import ValidationError
from django.db import connection
from django.forms import PasswordInput, modelform_factory
from pytest_django import Settings

from tests.upstreams.test_crypto import new_key
from upstreams.errors import CredentialUnreadable
from upstreams.fields import Credential
from upstreams.models import Upstream


def make(credential: str = "swordfish") -> Upstream:
    Upstream.objects.create(name="one", url="http://one", credential=credential)
    return Upstream.objects.get(name="one")


def column() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT credential FROM upstreams_upstream")
        return str(cursor.fetchone()[0])


@pytest.mark.django_db
def test_a_credential_is_revealed_as_it_was_given() -> None:
    assert make().credential.reveal() == "swordfish"


@pytest.mark.django_db
def test_the_database_holds_no_plain_text() -> None:
    make()
    assert "swordfish" not in column()


@pytest.mark.django_db
def test_an_empty_credential_stays_empty() -> None:
    assert not make("").credential
    assert column() == ""


@pytest.mark.django_db
def test_nothing_that_prints_a_row_shows_the_credential() -> None:
    upstream = make()
    dump = serializers.serialize("json", [upstream])
    for shown in (repr(upstream), str(upstream.credential), f"{upstream.__dict__}", dump):
        assert "swordfish" not in shown


def test_assigned_text_is_encrypted_at_once() -> None:
    upstream = Upstream(credential="swordfish")
    assert repr(upstream.credential) == "<Credential: set>"
    assert "swordfish" not in str(upstream.__dict__)


def test_none_is_an_empty_credential() -> None:
    assert repr(Upstream(credential=None).credential) == "<Credential: empty>"
    assert str(Credential()) == ""


def test_white_space_around_a_pasted_credential_is_dropped() -> None:
    assert Credential(" swordfish\n").reveal() == "swordfish"


@pytest.mark.parametrize("text", ["two words", "line\nbreak", "schlüssel", 4097 * "x"])
def test_a_credential_that_no_header_can_carry_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="ASCII"):
        Credential(text).check()


@pytest.mark.django_db
def test_a_row_under_foreign_keys_loads_and_only_its_use_fails(settings: Settings) -> None:
    make()
    settings.ENCRYPTION_KEYS = [new_key()]
    credential = Upstream.objects.get().credential
    assert credential
    with pytest.raises(CredentialUnreadable):
        credential.reveal()


@pytest.mark.django_db
def test_saving_a_row_under_foreign_keys_keeps_its_credential(settings: Settings) -> None:
    make()
    right, settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS, [new_key()]
    upstream = Upstream.objects.get()
    upstream.name = "renamed"
    upstream.save()
    settings.ENCRYPTION_KEYS = right
    assert Upstream.objects.get().credential.reveal() == "swordfish"


@pytest.mark.django_db
def test_a_form_never_renders_the_credential() -> None:
    form = modelform_factory(Upstream, fields=["credential"])(instance=make())
    assert isinstance(form.fields["credential"].widget, PasswordInput)
    assert "swordfish" not in form.as_p()
    assert "value" not in form.as_p()
