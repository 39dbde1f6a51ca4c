"""Who is calling: from headers to an Identity, or a refusal with one sentence.

Asks a directory (the registry's memory in the relay, the database in the control plane), and never a table itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from hmac import compare_digest

from django.conf import settings
from django.db import Error as DatabaseError

from keys import crypto
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
from keys.registry import Directory

Look = Callable[[], object]

_HEADERS = (
    ("x-litellm-api-key", "HTTP_X_LITELLM_API_KEY"),
    ("Authorization", "HTTP_AUTHORIZATION"),
    ("api-key", "HTTP_API_KEY"),
    ("x-api-key", "HTTP_X_API_KEY"),
)


def presented_key(environ: Mapping[str, str]) -> str | None:
    """The key among a WSGI environ's headers, by LiteLLM's precedence; None when there is none.

    `x-litellm-api-key`, `Authorization: Bearer`, `api-key`, `x-api-key`; an empty header counts as absent. Raises
    AuthorizationMalformed when all there is is an Authorization header of another scheme.
    """
    authorization = environ.get("HTTP_AUTHORIZATION", "").strip()
    bearer = _without_bearer(authorization)
    is_bearer = bearer != authorization or authorization.lower() == "bearer"
    key = (
        _without_bearer(environ.get("HTTP_X_LITELLM_API_KEY", "").strip())
        or (bearer if is_bearer and bearer.lower() != "bearer" else "")
        or environ.get("HTTP_API_KEY", "").strip()
        or environ.get("HTTP_X_API_KEY", "").strip()
    )
    if not key and authorization and not is_bearer:
        raise AuthorizationMalformed
    return key or None


def presenting_header(environ: Mapping[str, str]) -> str:
    """The name of the header whose key counts, "" without any; a scheme is not looked at."""
    for name, variable in _HEADERS:  # no generator: this is done for each call
        if environ.get(variable):
            return name
    return ""


def _without_bearer(value: str) -> str:
    return value[7:].strip() if value[:7].lower() == "bearer " else value


def authenticate(environ: Mapping[str, str], directory: Directory, now: float, look: Look) -> Identity:
    """Who calls, from a WSGI environ, and may: `recognise`, then `check_usable`. `now` is in unix seconds."""
    identity = recognise(environ, directory, look)
    check_usable(identity, now)
    return identity


def recognise(environ: Mapping[str, str], directory: Directory, look: Look) -> Identity:
    """Who calls, from a WSGI environ; a blocked or expired key too, so that its refusal can be accounted for."""
    try:
        secret = presented_key(environ)
    except AuthorizationMalformed:
        if settings.REQUIRE_KEYS:
            raise
        secret = None
    return holder_of(secret, directory, look)


def check_usable(identity: Identity, now: float) -> None:
    """Raises KeyBlocked or KeyExpired. `now` is in unix seconds."""
    if identity.blocked:
        raise KeyBlocked
    if identity.expires_at is not None and identity.expires_at <= now:
        raise KeyExpired(masked=identity.masked, expired_at=identity.expires_at, now=now)
    if identity.secret_expires_at is not None and identity.secret_expires_at <= now:
        raise KeyExpired(masked=identity.masked, expired_at=identity.secret_expires_at, now=now, is_replaced=True)


def holder_of(secret: str | None, directory: Directory, look: Look) -> Identity:
    """Whose secret this is.

    `look` is called once when a well-formed key is not known; it brings the directory up to date, or raises
    django.db.Error. Raises AuthenticationRefused and DatabaseAway. Where keys are not required, a caller without a
    known key is ANONYMOUS; a known key keeps its own rules, refusals included.
    """
    try:
        return _known(secret, directory, look)
    except (KeyMissing, KeyMalformed, KeyUnknown):
        if settings.REQUIRE_KEYS:
            raise
        return ANONYMOUS


def _known(secret: str | None, directory: Directory, look: Look) -> Identity:
    if not secret:
        raise KeyMissing
    digest = crypto.digest(secret)
    if compare_digest(digest, _master_digest(settings.MASTER_KEY)):
        return MASTER
    if not secret.startswith("sk-"):
        raise KeyMalformed
    if not crypto.is_well_formed(secret):
        raise KeyUnknown
    return _find(digest, directory, look)


@lru_cache(1)
def _master_digest(master_key: str) -> str:
    return crypto.digest(master_key)


def _find(digest: str, directory: Directory, look: Look) -> Identity:
    try:
        identity = directory.find(digest)
        if identity is None:
            look()
            identity = directory.find(digest)
    except DatabaseError as error:
        if settings.REQUIRE_KEYS or not directory.is_loaded:
            raise DatabaseAway from error
        raise KeyUnknown from error  # keyless: what memory does not know is anonymous, and calls go on
    if identity is None:
        raise KeyUnknown
    return identity
