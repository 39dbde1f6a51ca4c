"""Single sign-on with a real OpenID provider on loopback."""

import time
import urllib.request
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from people import provider as provider_module
from people.models import Identity
from people.roles import AUDITOR, KEY_MANAGER, OWNER
from tests.support.openid_provider import CLIENT, SECRET, running

pytestmark = pytest.mark.django_db
START, CALLBACK = "/admin/oidc/start/", "/admin/oidc/callback/"
NO_ROLE = "have no role here"
NOT_COMPLETED = "The sign-in was not completed"


@pytest.fixture(scope="module")
def server():
    with running() as provider:
        yield provider


@pytest.fixture
def provider(server, settings):
    settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = server.issuer, CLIENT, SECRET
    settings.OIDC_ROLES = [("gpu-admins", OWNER), ("leads", KEY_MANAGER), ("finance", AUDITOR)]
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend", "people.oidc.OpenIDBackend"]
    server.claims = {"sub": "ada-1", "groups": ["gpu-admins"], "email": "ada@example.com", "email_verified": True}
    server.userinfo, server.lies, server.key, server.algorithm = {}, {}, "ours", "RS256"
    server.is_broken = False
    provider_module.forget()
    return server


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


def way_back(address):
    """What the provider makes of the browser's visit."""
    try:
        urllib.request.build_opener(_NoRedirects).open(address, timeout=5)
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.headers["Location"]


def sign_in(browser, **query):
    """The answer to the browser's return."""
    start = browser.get(START, query)
    return browser.get(way_back(start.headers["Location"]))


def words_after(answer, browser):
    assert answer.headers["Location"] == reverse("admin:login")
    return browser.get(answer.headers["Location"]).content.decode()


def test_a_person_signs_in_and_has_the_roles_of_their_groups(provider, client):
    answer = sign_in(client)

    assert answer.headers["Location"] == reverse("admin:index")
    ada = User.objects.get()
    assert (ada.username, ada.email, ada.is_staff, ada.is_superuser) == ("ada@example.com",) * 2 + (True, False)
    assert [role.name for role in ada.groups.all()] == [OWNER]
    assert not ada.has_usable_password()
    assert client.get(reverse("admin:index")).status_code == 200


def test_a_person_goes_where_they_wanted_to(provider, client):
    assert sign_in(client, next="/admin/keys/virtualkey/").headers["Location"] == "/admin/keys/virtualkey/"


def test_nobody_is_led_to_another_site(provider, client):
    assert sign_in(client, next="https://evil.example/").headers["Location"] == reverse("admin:index")


def test_the_second_sign_in_finds_the_same_person_whatever_their_address(provider, client):
    sign_in(client)
    provider.claims["email"] = "ada@elsewhere.example"

    sign_in(Client())

    assert [person.email for person in User.objects.all()] == ["ada@elsewhere.example"]


def test_roles_follow_the_groups_at_each_sign_in(provider, client):
    sign_in(client)
    provider.claims["groups"] = ["leads", "finance", "others"]

    sign_in(Client())

    assert {role.name for role in User.objects.get().groups.all()} == {KEY_MANAGER, AUDITOR}


def test_who_has_no_role_does_not_come_in(provider, client):
    provider.claims["groups"] = ["others"]

    assert NO_ROLE in words_after(sign_in(client), client)
    assert not User.objects.exists()


def test_who_lost_the_last_role_is_out_everywhere(provider, client):
    sign_in(client)
    provider.claims["groups"] = []

    sign_in(Client())

    assert not User.objects.get().groups.exists()
    assert client.get(reverse("admin:index")).status_code == 302


def test_a_disabled_person_does_not_come_in(provider, client):
    sign_in(client)
    User.objects.update(is_active=False)

    assert client.get(reverse("admin:index")).status_code == 302
    again = Client()
    assert "switched off" in words_after(sign_in(again), again)


def test_a_local_person_of_the_same_name_is_somebody_else(provider, client):
    admin = User.objects.create_superuser("ada@example.com", "ada@example.com", "a local password")

    sign_in(client)

    other = Identity.objects.get().user
    assert (other.pk == admin.pk, other.username) == (False, "ada@example.com-2")
    assert not other.is_superuser


def test_an_address_that_nobody_verified_names_nobody(provider, client):
    provider.claims |= {"email_verified": False, "preferred_username": "ada"}

    sign_in(client)

    assert User.objects.get().username == "ada"


@pytest.mark.parametrize("verified", [True, False])
def test_roles_by_address_are_for_verified_ones(provider, client, settings, verified):
    settings.OIDC_GROUPS_CLAIM, settings.OIDC_ROLES = "email", [("ada@example.com", AUDITOR)]
    provider.claims["email_verified"] = verified

    sign_in(client)

    assert User.objects.exists() is verified


def test_groups_may_stand_inside_of_another_claim(provider, client, settings):
    settings.OIDC_GROUPS_CLAIM = "realm_access.roles"
    provider.claims["realm_access"] = {"roles": ["finance"]}

    sign_in(client)

    assert [role.name for role in User.objects.get().groups.all()] == [AUDITOR]


@pytest.mark.parametrize("subject", ["ada-1", "somebody else"])
def test_groups_may_come_from_the_user_information_of_the_same_person(provider, client, subject):
    del provider.claims["groups"]
    provider.userinfo = {"sub": subject, "groups": ["finance"]}

    sign_in(client)

    assert User.objects.exists() is (subject == "ada-1")


LIES = {
    "another issuer": {"iss": "https://evil.example"},
    "another client": {"aud": "somebody else"},
    "several clients": {"aud": [CLIENT, "other"], "azp": "other"},
    "over": {"exp": int(time.time()) - 3600},
    "made tomorrow": {"iat": int(time.time()) + 86_400},
    "another sign-in": {"nonce": "of another one"},
    "no nonce": {"nonce": None},
    "no end": {"exp": None},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_an_id_token_that_is_not_for_this_sign_in_is_refused(provider, client, lie):
    provider.lies = lie

    assert NOT_COMPLETED in words_after(sign_in(client), client)
    assert not User.objects.exists()


@pytest.mark.parametrize(("key", "algorithm"), [("another", "RS256"), ("ours", "HS256"), ("ours", "none")])
def test_an_id_token_that_the_provider_did_not_sign_is_refused(provider, client, key, algorithm):
    provider.key, provider.algorithm = key, algorithm

    assert NOT_COMPLETED in words_after(sign_in(client), client)
    assert not User.objects.exists()


def test_an_answer_to_nobodys_question_is_refused(provider, client):
    start = Client().get(START)

    back = way_back(start.headers["Location"])

    assert NOT_COMPLETED in words_after(client.get(back), client)


def test_a_way_back_is_good_for_once(provider, client):
    back = way_back(client.get(START).headers["Location"])
    client.get(back)
    client.post(reverse("admin:logout"))

    assert NOT_COMPLETED in words_after(client.get(back), client)


def test_a_code_is_worth_nothing_without_its_verifier(provider, client):
    mine, others = (parse_qs(urlsplit(way_back(client.get(START).headers["Location"])).query) for _ in range(2))

    answer = client.get(CALLBACK, {"code": mine["code"][0], "state": others["state"][0]})

    assert NOT_COMPLETED in words_after(answer, client)


def test_a_wrong_secret_is_told_calmly(provider, client, settings, caplog):
    settings.OIDC_CLIENT_SECRET = "of yesterday"

    assert NOT_COMPLETED in words_after(sign_in(client), client)
    assert "status: 401" in caplog.text
    assert "of yesterday" not in caplog.text


def test_who_says_no_at_the_provider_is_back_at_the_log_in_page(provider, client):
    asked = parse_qs(urlsplit(client.get(START).headers["Location"]).query)

    answer = client.get(CALLBACK, {"error": "access_denied", "state": asked["state"][0]})

    assert NOT_COMPLETED in words_after(answer, client)


def test_a_link_from_elsewhere_ends_no_session(provider, client):
    sign_in(client)

    client.get(CALLBACK, {"error": "access_denied", "state": "made up"})

    assert client.get(reverse("admin:index")).status_code == 200


def test_a_provider_that_is_away_is_told_calmly(provider, client):
    provider.is_broken = True

    assert "does not answer" in words_after(client.get(START), client)


def test_a_provider_that_is_away_is_not_waited_for_each_time(provider, client, monkeypatch):
    provider.is_broken, asked = True, []
    discovered = provider_module._discovered
    monkeypatch.setattr(provider_module, "_discovered", lambda issuer: asked.append(issuer) or discovered(issuer))

    pages = [words_after(client.get(START), client) for _ in range(3)]

    assert all("does not answer" in page for page in pages)
    assert len(asked) == 1
    provider.is_broken = False
    monkeypatch.setattr(provider_module, "AWAY_SECONDS", 0)
    assert client.get(START).headers["Location"].startswith(provider.issuer)


def test_a_provider_under_another_name_is_not_believed(provider, client, settings):
    settings.OIDC_ISSUER = provider.issuer.replace("127.0.0.1", "localhost")

    assert "does not answer" in words_after(client.get(START), client)


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
