"""Signing in with a password: slowed down for who guesses, the same words for every failure, ended with a lost role."""

import logging
from datetime import timedelta

import pytest
from django.conf import settings as in_force
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from gateway.admin_pages.sign_in import in_minutes
from people import proof, throttle
from people.models import SignInAttempt, TeamManager
from people.roles import AUDITOR, OPERATOR
from tests.support.people import undrawn

pytestmark = pytest.mark.django_db
LOGIN, HOME = "/admin/login/", "/admin/password_change/"
RIGHT, WRONG = "a long password", "another password"
REFUSED = "The name or the password is wrong, or this person does not use the admin."
WAIT = "Too many attempts. Please wait"
STRANGER = "203.0.113.9"


@pytest.fixture(autouse=True)
def _quick_passwords(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", password=RIGHT, is_staff=True)


def attempt(name: str, password: str, address: str = "198.51.100.7", **extra: str):
    sent = {"username": name, "password": password, "next": HOME}
    return Client().post(LOGIN, sent, REMOTE_ADDR=address, **extra)


def came_in(answer) -> bool:
    return answer.status_code == 302


def fail(times: int, name: str = "ada", address: str = "198.51.100.7") -> None:
    """What so many attempts leave, without the pages that they bring."""
    for _ in range(times):
        throttle.begin(name, address)


def told(name: str = "ada", **where: str) -> str:
    """The page after an attempt with a wrong password."""
    return attempt(name, WRONG, **where).content.decode()


def test_the_right_password_signs_in(ada):
    assert came_in(attempt("ada", RIGHT))


def test_every_refusal_says_the_same(ada):
    User.objects.create_user("off", password=RIGHT, is_staff=True, is_active=False)
    User.objects.create_user("reader", password=RIGHT)
    tries = [("ada", WRONG), ("nobody", WRONG), ("off", RIGHT), ("reader", RIGHT)]

    pages = [attempt(name, password) for name, password in tries]

    assert {page.status_code for page in pages} == {200}
    assert all(REFUSED in page.content.decode() for page in pages)


def test_a_name_that_nobody_has_takes_as_long_as_one_that_somebody_has(ada, monkeypatch):
    hashed = []
    monkeypatch.setattr("django.contrib.auth.hashers.MD5PasswordHasher.encode", _counting(hashed))

    numbers = []
    for name in ("ada", "nobody"):
        hashed.clear()
        attempt(name, WRONG)
        numbers.append(len(hashed))

    assert numbers == [1, 1]


def _counting(hashed):
    from django.contrib.auth.hashers import MD5PasswordHasher

    encode = MD5PasswordHasher.encode
    return lambda self, *args, **kwargs: hashed.append(1) or encode(self, *args, **kwargs)


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_who_guesses_waits_whether_there_is_such_a_name_or_not(ada, name):
    assert all(REFUSED in told(name) for _ in range(5))

    assert f"{WAIT} 15 minutes" in told(name)


def test_the_right_password_is_not_looked_at_meanwhile(ada):
    fail(5)

    assert not came_in(attempt("ada", RIGHT))


def test_after_the_wait_one_comes_in(ada, time_machine):
    time_machine.move_to("2026-05-04 12:00:00+00:00", tick=False)
    fail(5)
    fail(3)
    time_machine.shift(timedelta(minutes=15, seconds=1))

    assert came_in(attempt("ada", RIGHT))


def test_an_address_that_tries_many_names_waits(ada):
    for number in range(throttle.MOST_BY_ADDRESS):
        fail(1, f"name-{number}")

    assert WAIT in told()
    assert came_in(attempt("ada", RIGHT, address="192.0.2.1"))


def test_the_addresses_of_one_ipv6_network_are_one():
    tries = [throttle.begin("ada", f"2001:db8:1:2::{number:x}") for number in range(1, 8)]

    assert [one.wait is None for one in tries] == [True] * 5 + [False] * 2
    assert throttle.begin("ada", "2001:db8:1:3::1").wait is None


def test_an_ipv4_address_is_one_of_its_own_however_it_is_written():
    tries = [throttle.begin("ada", address) for address in ("203.0.113.9", "::ffff:203.0.113.9") * 3]

    assert [one.wait is None for one in tries] == [True] * 5 + [False]
    assert throttle.begin("ada", "203.0.113.10").wait is None


def test_many_addresses_that_try_one_name_wait_for_minutes(ada, time_machine):
    time_machine.move_to("2026-05-04 12:00:00+00:00", tick=False)
    for number in range(throttle.MOST_BY_NAME):
        fail(1, address=f"203.0.113.{number}")

    assert f"{WAIT} 5 minutes" in told(address="192.0.2.1")
    time_machine.shift(throttle.NAME_WINDOW + timedelta(seconds=1))
    assert came_in(attempt("ada", RIGHT, address="192.0.2.1"))


def test_no_stranger_locks_out_who_signed_in_from_their_address_before(ada):
    attempt("ada", RIGHT)
    for number in range(throttle.MOST_BY_NAME):
        fail(1, address=f"203.0.113.{number}")

    assert came_in(attempt("ada", RIGHT))


def test_success_forgives_earlier_mistakes(ada):
    fail(4)
    attempt("ada", RIGHT)
    fail(3)

    assert REFUSED in told()


def test_attempts_at_the_same_time_are_counted_before_their_passwords_are_looked_at():
    attempts = [throttle.begin("ada", STRANGER) for _ in range(8)]

    assert [one.wait is None for one in attempts] == [True] * 5 + [False] * 3


def test_refused_attempts_do_not_prolong_the_wait(ada):
    fail(9)

    assert SignInAttempt.objects.count() == 5


def test_old_attempts_are_forgotten(ada, time_machine):
    time_machine.move_to("2026-05-04 12:00:00+00:00", tick=False)
    attempt("ada", RIGHT)
    time_machine.shift(throttle.KNOWN_FOR + timedelta(seconds=1))
    attempt("ben", WRONG)

    assert SignInAttempt.objects.count() == 1


def test_names_and_addresses_are_not_kept_in_plain(ada):
    attempt("my password by mistake", WRONG, address=STRANGER)

    row = SignInAttempt.objects.get()
    assert len(row.name) == len(row.address) == 64
    assert row.name != row.address


FORWARDED = {"HTTP_X_FORWARDED_FOR": "192.0.2.55"}


@pytest.mark.parametrize(
    ("peer", "proxies", "is_believed"),
    [("", [], True), ("127.0.0.1", [], True), ("10.0.0.5", ["10.0.0.0/8"], True), ("203.0.113.1", [], False)],
)
def test_the_address_is_the_one_that_trusted_proxies_tell(ada, settings, monkeypatch, peer, proxies, is_believed):
    from ipaddress import ip_network

    monkeypatch.setattr(throttle, "MOST_BY_ADDRESS", 2)
    settings.TRUSTED_PROXIES = [ip_network(one) for one in proxies]
    for name in ("one", "two"):
        attempt(name, WRONG, address=peer, **FORWARDED)

    assert (WAIT in told(address="192.0.2.55")) is is_believed


def test_the_log_tells_who_came_and_who_did_not(ada, caplog):
    caplog.set_level(logging.INFO, "people.sign_in")
    client = Client()

    attempt("ada", WRONG, address=STRANGER)
    attempt("hunter2", WRONG, address=STRANGER)
    client.post(LOGIN, {"username": "ada", "password": RIGHT, "next": HOME})
    client.post(reverse("admin:logout"))

    told = caplog.text
    assert f"A sign-in as ada from {STRANGER} was refused" in told
    assert f"A sign-in as nobody we know from {STRANGER} was refused" in told
    assert "ada signed in by password." in told
    assert "ada signed out." in told
    assert not any(secret in told for secret in ("hunter2", WRONG, RIGHT))


def test_passwords_can_be_switched_off(ada, settings):
    client = Client()
    client.force_login(ada)
    settings.PASSWORD_SIGN_IN, settings.AUTHENTICATION_BACKENDS = False, ["people.oidc.OpenIDBackend"]

    assert 'type="password"' not in Client().get(LOGIN).content.decode()
    assert not came_in(attempt("ada", RIGHT))
    assert client.get(HOME).status_code == 302


@pytest.fixture
def session(ada) -> Client:
    ada.groups.set(Group.objects.filter(name__in=[AUDITOR, OPERATOR]))
    TeamManager.objects.create(user=ada, team_id="red")
    client = Client()
    client.force_login(ada)
    assert undrawn(client).get(HOME).status_code == 200
    return client


LOSSES = {
    "is disabled": lambda ada: User.objects.update(is_active=False),
    "is no staff any more": lambda ada: User.objects.update(is_staff=False),
    "loses a role": lambda ada: ada.groups.remove(Group.objects.get(name=OPERATOR)),
    "loses a role that is deleted": lambda ada: Group.objects.get(name=OPERATOR).delete(),
    "loses a team": lambda ada: TeamManager.objects.all().delete(),
    "gets another password": lambda ada: (ada.set_password(WRONG), ada.save()),
    "is deleted": lambda ada: ada.delete(),
}


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)
def test_a_session_ends_when_a_person(session, ada, lose):
    lose(ada)

    assert session.get(HOME).status_code == 302


def test_a_session_does_not_come_back_with_a_person_who_is_enabled_again(session, ada):
    User.objects.update(is_active=False)
    assert session.get(HOME).status_code == 302
    User.objects.update(is_active=True)

    assert session.get(HOME).status_code == 302


def test_who_is_disabled_has_no_session_left(session, ada):
    other = Client()
    other.force_login(User.objects.create_superuser("bob"))
    ada.is_active = False
    ada.save()
    ada.is_active = True
    ada.save()

    assert session.get(HOME).status_code == 302
    assert undrawn(other).get(HOME).status_code == 200


def test_who_was_disabled_before_costs_no_search_through_the_sessions(ada):
    ada.is_active = False
    for asked_of_sessions in (True, False):
        with CaptureQueriesContext(connection) as asked:
            ada.save()
        assert ("django_session" in str(asked.captured_queries)) is asked_of_sessions


def test_a_session_that_ended_with_a_role_says_so(session, ada):
    ada.groups.clear()

    assert "Your roles have changed" in session.get(HOME, follow=True).content.decode()


def test_a_session_goes_on_when_a_person_gains_a_role(session, ada):
    ada.groups.add(Group.objects.create(name="More"))

    assert session.get(HOME).status_code == 200


@pytest.mark.parametrize("name", [in_force.SESSION_COOKIE_NAME, proof.COOKIE])
def test_the_cookies_of_a_session_are_for_the_gateway_only(ada, settings, name):
    settings.SESSION_COOKIE_SECURE = True

    cookie = attempt("ada", RIGHT).cookies[name]

    assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == (True, True, "Lax")
    assert cookie["max-age"] == 12 * 3600


def test_a_cookie_proves_who_is_signed_in_while_they_are(ada, session):
    cookies = {name: one.value for name, one in session.cookies.items()}
    assert proof.is_shown(cookies)
    assert proof.COOKIE not in session.get(HOME).cookies  # it is given once

    left = session.post(reverse("admin:logout"))

    assert left.cookies[proof.COOKIE]["max-age"] == 0
    assert proof.COOKIE not in Client().get(LOGIN).cookies
    assert proof.COOKIE not in attempt("ada", WRONG).cookies


def test_the_log_in_page_sends_its_form_nowhere_else(ada, settings):
    settings.OIDC_ISSUER = "https://sso.example.com"

    answer = Client().get(LOGIN)

    assert "form-action 'self'" in answer.headers["Content-Security-Policy"]
    assert "sso.example.com" not in answer.content.decode()


@pytest.mark.parametrize(("seconds", "words"), [(1, "a minute"), (60, "a minute"), (61, "2 minutes")])
def test_a_wait_is_told_in_minutes(seconds, words):
    assert in_minutes(timedelta(seconds=seconds)) == words


FIRST = "Nobody has signed in yet. The gateway printed the name and the password in the terminal"


@pytest.fixture
def fresh(settings) -> User:
    settings.EMBEDDED, settings.ADMIN_PASSWORD = True, ""
    return User.objects.create_superuser("admin", password=RIGHT)


def login_page(address: str = "127.0.0.1", **headers: str) -> str:
    return Client().get(LOGIN, REMOTE_ADDR=address, **headers).content.decode()


def test_the_page_says_where_the_first_password_is(fresh):
    assert FIRST in login_page()
    assert "admin" not in login_page().split(FIRST)[1].split("</p>")[0]

    attempt("admin", RIGHT)

    assert FIRST not in login_page()


@pytest.mark.parametrize("where", [{"address": STRANGER}, {"HTTP_X_FORWARDED_FOR": STRANGER}])
def test_a_stranger_does_not_learn_that_nobody_was_here(fresh, where):
    assert FIRST not in login_page(**where)


@pytest.mark.parametrize(("name", "value"), [("EMBEDDED", False), ("ADMIN_PASSWORD", "x"), ("PASSWORD_SIGN_IN", False)])
def test_nor_is_it_said_where_no_password_was_printed(fresh, settings, name, value):
    setattr(settings, name, value)

    assert FIRST not in login_page()
