"""Single sign-on with a real OpenID provider, django-oauth-toolkit, in a process of its own."""

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from people.models import Identity
from people.roles import AUDITOR, KEY_MANAGER, OWNER
from tests.support.identity_provider import CLIENT, SECRET, Person, running
from tests.support.signing_in import CALLBACK, NOT_COMPLETED, REDIRECT, START, trust, words_after

pytestmark = [pytest.mark.sockets, pytest.mark.django_db]
NO_ROLE = "have no role here"


@pytest.fixture(scope="module")
def server():
    with running(redirect=REDIRECT) as provider:
        yield provider


@pytest.fixture
def provider(server, settings):
    trust(settings, server.issuer, CLIENT, SECRET)
    server.knows("ada", groups=["gpu-admins"])
    return server


def start(browser, **query):
    """Where the gateway sends the browser."""
    return browser.get(START, query).headers["Location"]


def sign_in(browser, **query):
    """The answer to the browser's return."""
    return browser.get(Person().agrees(start(browser, **query)))


def query_of(address):
    return dict(parse_qsl(urlsplit(address).query))


def altered(address, **values):
    """The address with other values in its query."""
    return urlunsplit(urlsplit(address)._replace(query=urlencode({**query_of(address), **values})))


def test_a_person_signs_in_and_has_the_roles_of_their_groups(provider, client):
    answer = sign_in(client)

    assert answer.headers["Location"] == reverse("admin:index")
    ada = User.objects.get()
    assert (ada.username, ada.email, ada.is_staff, ada.is_superuser) == ("ada@example.com",) * 2 + (True, False)
    assert [role.name for role in ada.groups.all()] == [OWNER]
    assert not ada.has_usable_password()
    assert client.get(reverse("admin:index")).status_code == 200


def test_what_is_asked_for_is_what_the_standards_ask_for(provider, client):
    asked = query_of(start(client))

    assert asked["response_type"] == "code"
    assert asked["scope"] == "openid email profile"
    assert asked["code_challenge_method"] == "S256"
    assert (len(asked["nonce"]), len(asked["state"])) >= (32, 32)


def test_a_person_goes_where_they_wanted_to(provider, client):
    assert sign_in(client, next="/admin/keys/virtualkey/").headers["Location"] == "/admin/keys/virtualkey/"


def test_nobody_is_led_to_another_site(provider, client):
    assert sign_in(client, next="https://evil.example/").headers["Location"] == reverse("admin:index")


def test_the_second_sign_in_finds_the_same_person_whatever_their_address(provider, client):
    sign_in(client)
    provider.knows("ada", groups=["gpu-admins"], email="ada@elsewhere.example")

    sign_in(Client())

    assert [person.email for person in User.objects.all()] == ["ada@elsewhere.example"]


def test_roles_follow_the_groups_at_each_sign_in(provider, client):
    sign_in(client)
    provider.knows("ada", groups=["leads", "finance", "others"])

    sign_in(Client())

    assert {role.name for role in User.objects.get().groups.all()} == {KEY_MANAGER, AUDITOR}


def test_who_has_no_role_does_not_come_in(provider, client):
    provider.knows("ada", groups=["others"])

    assert NO_ROLE in words_after(sign_in(client), client)
    assert not User.objects.exists()


def test_who_lost_the_last_role_is_out_everywhere(provider, client):
    sign_in(client)
    provider.knows("ada", groups=[])

    sign_in(Client())

    assert not User.objects.get().groups.exists()
    assert client.get(reverse("admin:index")).status_code == 302


def test_who_is_disabled_here_does_not_come_in(provider, client):
    sign_in(client)
    User.objects.update(is_active=False)

    assert client.get(reverse("admin:index")).status_code == 302
    again = Client()
    assert "switched off" in words_after(sign_in(again), again)


def test_who_is_disabled_at_the_provider_does_not_come_back(provider, client):
    provider.knows("ada", groups=["gpu-admins"], is_active=False)

    assert Person().agrees(start(client)) is None


def test_a_local_person_of_the_same_name_is_somebody_else(provider, client):
    admin = User.objects.create(username="ada@example.com", email="ada@example.com", is_staff=True, is_superuser=True)

    sign_in(client)

    other = Identity.objects.get().user
    assert (other.pk == admin.pk, other.username) == (False, "ada@example.com-2")
    assert not other.is_superuser


def test_an_address_that_nobody_verified_names_nobody(provider, client):
    provider.knows("ada", groups=["gpu-admins"], email_verified=False)

    sign_in(client)

    assert User.objects.get().username == "ada"


@pytest.mark.parametrize("verified", [True, False])
def test_roles_by_address_are_for_verified_ones(provider, client, settings, verified):
    settings.OIDC_GROUPS_CLAIM, settings.OIDC_ROLES = "email", [("ada@example.com", AUDITOR)]
    provider.knows("ada", email_verified=verified)

    sign_in(client)

    assert User.objects.exists() is verified


def test_groups_may_stand_inside_of_another_claim(provider, client, settings):
    settings.OIDC_GROUPS_CLAIM = "realm_access.roles"
    provider.knows("ada", realm_access={"roles": ["finance"]})

    sign_in(client)

    assert [role.name for role in User.objects.get().groups.all()] == [AUDITOR]


def test_groups_may_come_from_the_user_information(provider, client):
    provider.knows("ada", groups=["finance"], groups_in="userinfo")

    sign_in(client)

    assert [role.name for role in User.objects.get().groups.all()] == [AUDITOR]


def test_an_id_token_for_another_sign_in_is_refused(provider, client):
    address = altered(start(client), nonce="of another sign-in, as long as ours are")

    assert NOT_COMPLETED in words_after(client.get(Person().agrees(address)), client)
    assert not User.objects.exists()


def test_an_answer_with_another_state_is_refused(provider, client):
    address = altered(start(client), state="of another sign-in, as long as ours are")

    assert NOT_COMPLETED in words_after(client.get(Person().agrees(address)), client)
    assert not User.objects.exists()


def test_an_answer_to_nobodys_question_is_refused(provider, client):
    back = Person().agrees(start(Client()))

    assert NOT_COMPLETED in words_after(client.get(back), client)


def test_a_way_back_is_good_for_once(provider, client):
    back = Person().agrees(start(client))
    client.get(back)
    client.post(reverse("admin:logout"))

    assert NOT_COMPLETED in words_after(client.get(back), client)


def test_a_code_is_worth_nothing_without_its_verifier(provider, client, caplog):
    mine, others = (query_of(Person().agrees(start(client))) for _ in range(2))

    answer = client.get(CALLBACK, {"code": mine["code"], "state": others["state"]})

    assert NOT_COMPLETED in words_after(answer, client)
    assert "status: 400" in caplog.text


def test_a_wrong_secret_is_told_calmly(provider, client, settings, caplog):
    settings.OIDC_CLIENT_SECRET = "of yesterday"

    assert NOT_COMPLETED in words_after(sign_in(client), client)
    assert "status: 401" in caplog.text
    assert "of yesterday" not in caplog.text


def test_the_provider_sends_nobody_to_an_address_that_it_was_not_told(provider, client, settings):
    settings.PUBLIC_URL = "https://another.example"

    assert Person().agrees(start(client)) is None


def test_who_says_no_at_the_provider_is_back_at_the_log_in_page(provider, client):
    back = Person().declines(start(client))

    assert query_of(back)["error"] == "access_denied"
    assert NOT_COMPLETED in words_after(client.get(back), client)


def test_a_link_from_elsewhere_ends_no_session(provider, client):
    sign_in(client)

    client.get(CALLBACK, {"error": "access_denied", "state": "made up"})

    assert client.get(reverse("admin:index")).status_code == 200


def test_the_log_in_page_offers_both_ways(provider, client, settings):
    settings.OIDC_NAME = "Example SSO"

    words = client.get(reverse("admin:login"), {"next": "/admin/keys/"}).content.decode()

    assert 'href="/admin/oidc/start/?next=%2Fadmin%2Fkeys%2F"' in words
    assert "Sign in with Example SSO" in words
    assert 'type="password"' in words


def test_there_is_no_single_sign_on_where_it_is_not_set(client):
    assert "Sign in with" not in client.get(reverse("admin:login")).content.decode()
    assert [client.get(path).status_code for path in (START, CALLBACK)] == [404, 404]


def test_sessions_end_when_single_sign_on_is_switched_off(provider, client, settings):
    sign_in(client)
    settings.OIDC_ISSUER = ""

    assert client.get(reverse("admin:index")).status_code == 302


def test_roles_that_do_not_exist_give_nothing(provider, client, settings):
    settings.OIDC_ROLES = [("gpu-admins", "No such role")]

    sign_in(client)

    assert not User.objects.get().groups.exists()
    assert Group.objects.filter(name="No such role").count() == 0
