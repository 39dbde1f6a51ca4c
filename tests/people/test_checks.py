"""The system checks of the ways to sign in."""

import pytest

from gateway.environment import Environment
from people.checks import check_deployment, check_single_sign_on, check_ways
from people.roles import OWNER


def ids(found) -> set[str]:
    return {one.id for one in found}


@pytest.fixture
def sso(settings):
    settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = "https://sso", "gateway", "secret"
    settings.OIDC_ROLES, settings.PUBLIC_URL, settings.PASSWORD_SIGN_IN = [("admins", OWNER)], "https://gw", False
    return settings


def test_a_good_configuration_passes(sso):
    assert [*check_ways(), *check_single_sign_on(), *check_deployment()] == []


def test_the_usual_configuration_passes():
    assert [*check_ways(), *check_single_sign_on(), *check_deployment()] == []


def test_there_must_be_a_way_in(settings):
    settings.PASSWORD_SIGN_IN = False

    assert ids(check_ways()) == {"people.E001"}


@pytest.mark.parametrize("name", ["OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET", "OIDC_ROLES"])
def test_single_sign_on_needs_all_of_it(sso, name):
    setattr(sso, name, "")

    assert [one.id for one in check_single_sign_on()] == ["people.E002"]
    assert f"GATEWAY_{name} is not set." in check_single_sign_on()[0].msg


def test_single_sign_on_asks_for_an_id_token(sso):
    sso.OIDC_SCOPES = "email"

    assert ids(check_single_sign_on()) == {"people.E003"}


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("OIDC_ISSUER", "http://sso", "people.W001"),
        ("PUBLIC_URL", "", "people.W002"),
        ("SESSION_HOURS", 25, "people.W003"),
        ("OIDC_ROLES", [("admins", "Onwer")], "people.W004"),
        ("PASSWORD_SIGN_IN", True, "people.W005"),
    ],
)
def test_weak_settings_are_told(sso, name, value, code):
    setattr(sso, name, value)

    assert ids(check_deployment()) == {code}


def test_roles_are_read_as_pairs():
    env = Environment({"ROLES": "gpu-admins=Owner, cn=a=Key manager"})

    assert env.pairs("ROLES") == [("gpu-admins", "Owner"), ("cn=a", "Key manager")]


@pytest.mark.parametrize("text", ["Owner", "=Owner", "admins="])
def test_a_role_without_a_group_is_refused(text):
    with pytest.raises(Exception, match="ROLES must be a list such as group=Role, separated by commas"):
        Environment({"ROLES": text}).pairs("ROLES")
