"""How much of a body the relay takes for the control plane, by what the head shows."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from django.conf import settings as django_settings
from django.urls import URLPattern, URLResolver
from pytest_django import Settings

from gateway import urls
from gateway.handover_head import MAX_BYTES, STRANGERS_BYTES, Allowance, allowance, wants_key
from gateway.handover_room import Sender
from keys import crypto
from keys.errors import KeyMalformed, KeyMissing, KeyUnknown
from keys.identity import ANONYMOUS, Identity
from people import proof

SECRET = crypto.generate()
HOLDER = replace(ANONYMOUS, key_id=1)
OPEN = ("/admin/", "/me/", "/api/", "/healthz", "/health/", "/readyz")


class Known(dict[str, Identity]):
    """A directory of what is in it."""

    is_loaded = True

    def find(self, digest: str) -> Identity | None:
        return self.get(digest)


def _allowed(path: str, key: str = "", cookie: str = "", known: Identity = HOLDER) -> Allowance:
    environ = {"HTTP_AUTHORIZATION": f"Bearer {key}" if key else "", "HTTP_COOKIE": cookie}
    return allowance(path, environ, Known({crypto.digest(SECRET): known}), lambda: None)


def _paths(patterns: urls.Routes, before: str = "/") -> list[str]:
    found = []
    for entry in patterns:
        here = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            found += _paths(entry.url_patterns, here)
        else:
            assert isinstance(entry, URLPattern)
            found.append(here)
    return found


def test_every_path_of_the_control_plane_that_wants_a_key_is_known_as_such() -> None:
    paths = _paths(urls.control())
    assert len(paths) > 100
    for path in paths:
        assert wants_key(path) == (path != "/" and not path.startswith(OPEN)), path


@pytest.mark.parametrize(
    ("key", "refusal"),
    [("", KeyMissing), ("not-a-key", KeyMalformed), (crypto.generate(), KeyUnknown)],
    ids=["none", "malformed", "unknown"],
)
def test_without_a_key_that_anybody_knows_nothing_is_taken(key: str, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        _allowed("/key/generate", key, cookie=f"{django_settings.SESSION_COOKIE_NAME}=x")


def test_who_shows_a_usable_key_is_known_and_may_send_much() -> None:
    for key in (SECRET, django_settings.MASTER_KEY):
        assert _allowed("/key/generate", key) == (MAX_BYTES, Sender.HOLDER)


@pytest.mark.parametrize("known", [replace(HOLDER, blocked=True), replace(HOLDER, expires_at=time.time() - 1)])
def test_a_key_that_memory_takes_for_unusable_is_left_to_the_control_plane(known: Identity) -> None:
    assert _allowed("/key/info", SECRET, known=known) == (STRANGERS_BYTES, Sender.STRANGER)


def test_where_no_key_is_needed_nobody_may_send_much_without_one(settings: Settings) -> None:
    settings.REQUIRE_KEYS = False
    assert _allowed("/key/generate") == (STRANGERS_BYTES, Sender.STRANGER)


@pytest.mark.parametrize("path", ["/admin/login/", "/me/", "/nowhere"])
def test_pages_take_much_of_who_seems_signed_in_and_know_nobody(path: str) -> None:
    name = django_settings.SESSION_COOKIE_NAME
    for given in (_allowed(path), _allowed(path, SECRET, cookie=f"x{name}=1; other={name}=")):
        assert given == (STRANGERS_BYTES, Sender.STRANGER)
    assert _allowed(path, cookie=f"csrftoken=1; {name}=2") == (MAX_BYTES, Sender.STRANGER)


def test_who_has_signed_in_is_known_by_what_was_signed_for_this_session(settings: Settings) -> None:
    name, signed = django_settings.SESSION_COOKIE_NAME, proof.made("session")
    cookie = f"{name}=session; {proof.COOKIE}={signed}"
    assert _allowed("/admin/", cookie=cookie) == (MAX_BYTES, Sender.PERSON)
    for other in (f"{name}=other; {proof.COOKIE}={signed}", f"{name}=session; {proof.COOKIE}=x", f"{cookie}x"):
        assert _allowed("/admin/", cookie=other) == (MAX_BYTES, Sender.STRANGER)
    assert _allowed("/admin/", cookie=f"{proof.COOKIE}={signed}") == (STRANGERS_BYTES, Sender.STRANGER)
    settings.SESSION_COOKIE_AGE = -1
    assert _allowed("/admin/", cookie=cookie) == (MAX_BYTES, Sender.STRANGER)
