"""Single sign-on with a provider that lies or fails, which none of the real ones would do for a test."""

import time
import urllib.request

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from people import provider as provider_module
from tests.support.lying_provider import CLIENT, SECRET, running
from tests.support.patience import PATIENCE
from tests.support.signing_in import NOT_COMPLETED, START, trust, words_after

pytestmark = [pytest.mark.sockets, pytest.mark.django_db]


@pytest.fixture(scope="module")
def server():
    with running() as provider:
        yield provider


@pytest.fixture
def provider(server, settings):
    trust(settings, server.issuer, CLIENT, SECRET)
    server.claims = {"sub": "ada-1", "groups": ["gpu-admins"], "email": "ada@example.com", "email_verified": True}
    server.userinfo, server.lies, server.key, server.algorithm = {}, {}, "ours", "RS256"
    server.is_broken = False
    return server


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


def way_back(address):
    """What the provider makes of the browser's visit."""
    try:
        urllib.request.build_opener(_NoRedirects).open(address, timeout=PATIENCE)
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.headers["Location"]


def sign_in(browser, **query):
    """The answer to the browser's return."""
    start = browser.get(START, query)
    return browser.get(way_back(start.headers["Location"]))


def test_a_provider_that_does_not_lie_is_believed(provider, client):
    assert sign_in(client).headers["Location"] == reverse("admin:index")


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


@pytest.mark.parametrize("subject", ["ada-1", "somebody else"])
def test_user_information_is_believed_of_the_same_person_only(provider, client, subject):
    del provider.claims["groups"]
    provider.userinfo = {"sub": subject, "groups": ["finance"]}

    sign_in(client)

    assert User.objects.exists() is (subject == "ada-1")


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
