"""The upstream that the environment names."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from tests.upstreams.test_crypto import new_key
from upstreams.environment_upstream import sync_environment_upstream
from upstreams.models import Upstream, UpstreamsVersion

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _environment(settings: Settings) -> None:
    settings.UPSTREAM_BASE, settings.UPSTREAM_CREDENTIAL = "http://my-vllm:8000/v1", "swordfish"


def sync() -> Upstream:
    assert sync_environment_upstream()
    return Upstream.objects.get(source="environment")


def test_the_first_start_makes_it_the_default() -> None:
    upstream = sync()
    assert (upstream.name, upstream.url, upstream.is_default) == ("environment", "http://my-vllm:8000", True)
    assert upstream.credential.reveal() == "swordfish"


def test_a_second_start_changes_nothing() -> None:
    sync()
    version = UpstreamsVersion.current()
    sync()
    assert UpstreamsVersion.current() == version


def test_a_new_url_moves_it(settings: Settings) -> None:
    first = sync()
    settings.UPSTREAM_BASE = "http://other"
    second = sync()
    assert (second.pk, second.url, second.credential.reveal()) == (first.pk, "http://other", "swordfish")


def test_a_new_url_without_credential_clears_the_old_one(settings: Settings) -> None:
    sync()
    settings.UPSTREAM_BASE, settings.UPSTREAM_CREDENTIAL = "http://other", ""
    assert not sync().credential


def test_a_new_credential_replaces_the_old_one(settings: Settings) -> None:
    sync()
    settings.UPSTREAM_CREDENTIAL = "marlin"
    assert sync().credential.reveal() == "marlin"


def test_a_credential_from_the_admin_stays_while_the_environment_has_none(settings: Settings) -> None:
    settings.UPSTREAM_CREDENTIAL = ""
    upstream = sync()
    upstream.credential = "marlin"
    upstream.save()
    assert sync().credential.reveal() == "marlin"


def test_an_unreadable_credential_is_written_again(settings: Settings) -> None:
    sync()
    settings.ENCRYPTION_KEYS = [new_key()]
    assert sync().credential.reveal() == "swordfish"


def test_the_state_that_the_admin_chose_stays() -> None:
    upstream = sync()
    upstream.state = "disabled"
    upstream.save()
    assert sync().state == "disabled"


def test_another_default_stays_the_default() -> None:
    Upstream.objects.create(name="mine", url="http://mine")
    assert not sync().is_default


def test_it_becomes_the_default_again_when_there_is_none() -> None:
    Upstream.objects.create(name="mine", url="http://mine")
    sync()
    Upstream.objects.filter(name="mine").delete()
    assert sync().is_default


def test_an_upstream_of_the_admin_with_the_same_url_is_used_as_it_is() -> None:
    mine = Upstream.objects.create(name="mine", url="http://my-vllm:8000", credential="marlin")
    assert sync_environment_upstream() is None
    assert list(Upstream.objects.all()) == [mine]
    assert Upstream.objects.get().credential.reveal() == "marlin"


def test_a_name_that_is_taken_gets_a_number() -> None:
    Upstream.objects.create(name="environment", url="http://mine")
    assert sync().name == "environment 2"


def test_without_the_variable_it_stays_as_one_of_the_admins(settings: Settings) -> None:
    sync()
    settings.UPSTREAM_BASE = ""
    assert sync_environment_upstream() is None
    assert Upstream.objects.get().source == "admin"


def test_a_start_without_the_variable_bumps_no_version(settings: Settings) -> None:
    settings.UPSTREAM_BASE = ""
    version = UpstreamsVersion.current()
    sync_environment_upstream()
    assert UpstreamsVersion.current() == version


@pytest.mark.parametrize(
    ("url", "credential", "variable"),
    [
        ("http://user:pw@host", "", "VLLM_API_BASE"),
        ("http://host", "two words", "HOSTED_VLLM_API_KEY_FILE"),
        ("", "two\nlines", "HOSTED_VLLM_API_KEY_FILE"),  # it would go to the fallback
    ],
)
def test_what_cannot_be_used_is_one_sentence_that_names_it(
    settings: Settings, url: str, credential: str, variable: str
) -> None:
    settings.UPSTREAM_VARIABLES = ("VLLM_API_BASE", "HOSTED_VLLM_API_KEY_FILE")
    settings.UPSTREAM_BASE, settings.UPSTREAM_CREDENTIAL = url, credential
    with pytest.raises(ImproperlyConfigured, match=f"^{variable} cannot be used. "):
        sync_environment_upstream()
