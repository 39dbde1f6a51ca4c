"""What the settings leave open, in our own words, the same on every page."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command

from gateway.doctor import BAD, GOOD, QUIET, WARNING, Finding, in_short
from gateway.loose_settings import loose_settings, settings_look
from tests.gateway.test_checks import PRODUCTION
from tests.support.people import signed_in

PLAIN = "Keys, passwords and the admin's cookies cross the network in plain text."


@pytest.fixture
def production(settings):
    for name, value in PRODUCTION.items():
        setattr(settings, name, value)
    return settings


def test_settings_that_are_fit_for_production_are_good(production):
    assert loose_settings() == []
    assert [finding.kind for finding in settings_look()] == [GOOD]


def test_plain_http_is_one_finding_with_one_remedy(production):
    production.PUBLIC_URL, production.SECURE_SSL_REDIRECT = "", False
    production.SESSION_COOKIE_SECURE, production.CSRF_COOKIE_SECURE = False, False
    (finding,) = loose_settings()
    assert (finding.kind, finding.text, finding.code) == (QUIET, PLAIN, "gateway.W002")
    assert finding.remedy == "Put TLS in front, and set GATEWAY_PUBLIC_URL to its https address."


def test_what_was_loosened_on_purpose_comes_before_what_is_for_a_trial(production):
    production.ALLOWED_HOSTS, production.REQUIRE_KEYS = ["*"], False
    assert [(finding.kind, finding.code) for finding in loose_settings()] == [
        (WARNING, "gateway.W003"),
        (QUIET, "gateway.W001"),
    ]


def test_what_cannot_work_is_bad(production):
    production.EMBEDDED, production.RELAY_WORKERS = True, 2
    assert (BAD, "gateway.E001") in [(finding.kind, finding.code) for finding in settings_look()]


@pytest.mark.parametrize(
    ("kinds", "sentence"),
    [
        ([GOOD], "Everything that was looked at is well."),
        ([GOOD, QUIET], "Everything works; 1 setting is for a trial and not for production."),
        ([BAD], "1 thing needs a look."),
        ([BAD, WARNING, QUIET, QUIET], "2 things need a look. 2 settings are for a trial and not for production."),
    ],
)
def test_all_of_it_in_a_sentence(kinds, sentence):
    assert in_short([Finding("One", kind, "It is so.") for kind in kinds]) == sentence


@pytest.mark.django_db
def test_the_page_the_command_and_home_say_the_same(production):
    production.PUBLIC_URL, production.ALLOWED_HOSTS = "", ["testserver"]
    out, admin = io.StringIO(), signed_in()
    with pytest.raises(SystemExit):  # no relay worker reports here
        call_command("doctor", stdout=out)
    pages = [admin.get(path).content.decode().replace("&#x27;", "'") for path in ("/admin/settings/", "/admin/")]
    for text in (out.getvalue(), *pages):
        assert PLAIN in text
        assert "set GATEWAY_PUBLIC_URL to its https address" in text
        assert "SECURE_" not in text
