"""Tests of keys.authentication: where a key may be, and why one is refused."""

import pytest
from django.db import OperationalError

from keys import crypto
from keys.authentication import authenticate, check_usable, holder_of, presented_key
from keys.errors import (
    AuthorizationMalformed,
    DatabaseAway,
    KeyBlocked,
    KeyExpired,
    KeyMalformed,
    KeyMissing,
    KeyUnknown,
)
from keys.identity import ANONYMOUS, MASTER, Identity

MASTER_KEY = "sk-master-for-the-tests-only-0123456789"
SECRET = crypto.generate()
NOW = 1_800_000_000.0


class Directory:
    """Keys by digest, as authentication sees them, which notes what it is asked."""

    def __init__(self, *, is_loaded=True, later=None, **identities):
        self.is_loaded, self.asked, self.looks = is_loaded, 0, 0
        self._later, self._identities = later, identities

    def find(self, digest):
        self.asked += 1
        return self._identities.get(digest)

    def look(self):
        self.looks += 1
        if isinstance(self._later, Exception):
            raise self._later
        self._identities.update(self._later or {})


def knowing(**fields):
    identity = Identity(key_id=1, name=None, masked=crypto.redact(SECRET), **fields)
    return Directory(**{crypto.digest(SECRET): identity})


def ask(secret, directory):
    identity = holder_of(secret, directory, directory.look)
    check_usable(identity, NOW)
    return identity


# --- Where the key may be


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, None),
        ({"AUTHORIZATION": "Bearer sk-a"}, "sk-a"),
        ({"AUTHORIZATION": "bearer   sk-a "}, "sk-a"),
        ({"AUTHORIZATION": "Bearer"}, None),
        ({"AUTHORIZATION": "Bearer  "}, None),
        ({"AUTHORIZATION": ""}, None),
        ({"X_LITELLM_API_KEY": "sk-a"}, "sk-a"),
        ({"X_LITELLM_API_KEY": "Bearer sk-a"}, "sk-a"),
        ({"API_KEY": "sk-a"}, "sk-a"),
        ({"X_API_KEY": "sk-a"}, "sk-a"),
        ({"X_LITELLM_API_KEY": "sk-a", "AUTHORIZATION": "Bearer sk-b"}, "sk-a"),
        ({"AUTHORIZATION": "Bearer sk-a", "API_KEY": "sk-b"}, "sk-a"),
        ({"API_KEY": "sk-a", "X_API_KEY": "sk-b"}, "sk-a"),
        ({"X_LITELLM_API_KEY": "", "X_API_KEY": "sk-b"}, "sk-b"),
        ({"AUTHORIZATION": "Basic dXNlcg==", "X_API_KEY": "sk-b"}, "sk-b"),
    ],
)
def test_the_first_filled_place_wins(headers, key):
    assert presented_key({f"HTTP_{name}": value for name, value in headers.items()}) == key


@pytest.mark.parametrize("value", ["sk-a", "Basic dXNlcg==", "Bearersk-a"])
def test_an_authorization_of_another_scheme_is_malformed(value):
    with pytest.raises(AuthorizationMalformed):
        presented_key({"HTTP_AUTHORIZATION": value})


# --- Who it is


def test_a_known_key_works_without_a_look():
    directory = knowing()
    assert ask(SECRET, directory).key_id == 1
    assert directory.looks == 0


def test_the_master_key_works_without_the_directory():
    directory = Directory()
    assert ask(MASTER_KEY, directory) is MASTER
    assert directory.asked == 0


def test_a_weak_master_key_works_too(settings):
    settings.MASTER_KEY = "short"
    assert ask("short", Directory()) is MASTER


def test_a_new_key_costs_one_look():
    identity = Identity(key_id=2, name=None)
    directory = Directory(later={crypto.digest(SECRET): identity})
    assert ask(SECRET, directory) is identity
    assert directory.looks == 1


def test_an_unknown_key_costs_one_look_and_is_refused():
    directory = Directory()
    with pytest.raises(KeyUnknown):
        ask(SECRET, directory)
    assert directory.looks == 1


@pytest.mark.parametrize(
    "secret", [SECRET[:-1], SECRET + "0", "sk-vgw-", "sk-short"], ids=["cut", "longer", "prefix", "short"]
)
def test_a_typo_is_refused_without_any_look_up_and_reads_like_an_unknown_key(secret):
    directory = Directory()
    with pytest.raises(KeyUnknown) as refusal:
        ask(secret, directory)
    assert (directory.asked, directory.looks) == (0, 0)
    assert refusal.value.body() == KeyUnknown().body()


@pytest.mark.parametrize(("secret", "refusal"), [(None, KeyMissing), ("", KeyMissing), ("hunter2", KeyMalformed)])
def test_what_is_no_key_is_refused_without_echo(secret, refusal):
    with pytest.raises(refusal) as caught:
        ask(secret, Directory())
    assert "hunter2" not in caught.value.message


def test_a_blocked_key_is_refused():
    with pytest.raises(KeyBlocked):
        ask(SECRET, knowing(blocked=True))


@pytest.mark.parametrize("fields", [{"expires_at": NOW}, {"secret_expires_at": NOW - 1}])
def test_an_expired_key_or_secret_is_refused_under_its_masked_name(fields):
    with pytest.raises(KeyExpired, match="Key Expiry time 2027-01-15") as refusal:
        ask(SECRET, knowing(**fields))
    assert refusal.value.param == crypto.redact(SECRET)


def test_a_key_works_until_its_last_moment():
    assert ask(SECRET, knowing(expires_at=NOW + 0.1, secret_expires_at=NOW + 0.1))


def test_without_the_database_a_known_key_works_and_another_is_503():
    assert ask(SECRET, knowing())
    with pytest.raises(DatabaseAway) as refusal:
        ask(SECRET, Directory(later=OperationalError("away")))
    assert (refusal.value.status_code, refusal.value.type) == (503, "no_db_connection")


# --- Where keys are not required


@pytest.fixture
def keyless(settings):
    settings.REQUIRE_KEYS = False


@pytest.mark.usefixtures("keyless")
@pytest.mark.parametrize("secret", [None, "anything", "sk-short", SECRET], ids=["none", "anything", "short", "whole"])
def test_keyless_callers_without_a_known_key_are_anonymous(secret):
    assert ask(secret, Directory()) is ANONYMOUS


@pytest.mark.usefixtures("keyless")
def test_a_known_key_keeps_its_refusals():
    with pytest.raises(KeyBlocked):
        ask(SECRET, knowing(blocked=True))


@pytest.mark.usefixtures("keyless")
def test_the_master_key_is_still_the_master_key():
    assert ask(MASTER_KEY, Directory()) is MASTER


@pytest.mark.usefixtures("keyless")
def test_without_the_database_an_unknown_key_is_anonymous_only_once_keys_were_loaded():
    away = OperationalError("away")
    assert ask(SECRET, Directory(later=away)) is ANONYMOUS
    with pytest.raises(DatabaseAway):
        ask(SECRET, Directory(later=away, is_loaded=False))


def test_an_authorization_of_another_scheme_is_refused_only_where_keys_are_required(settings):
    environ = {"HTTP_AUTHORIZATION": "Basic dXNlcg=="}
    with pytest.raises(AuthorizationMalformed):
        authenticate(environ, Directory(), NOW, lambda: None)
    settings.REQUIRE_KEYS = False
    assert authenticate(environ, Directory(), NOW, lambda: None) is ANONYMOUS
