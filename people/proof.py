"""A cookie by which a process without the sessions' table knows that somebody is signed in: the session's key, signed.

It lets nobody in. Whoever has signed in keeps it until it is as old as a session may become, also when the session has
ended meanwhile, so it may decide only whose share of something is used. Knows neither a table nor a request.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner

COOKIE = "vgw_signed_in"


def made(session_key: str) -> str:
    """The cookie's value for this session from now on."""
    return _signer().sign(session_key).removeprefix(f"{session_key}:")


def is_shown(cookies: Mapping[str, str]) -> bool:
    """Whether the session that the cookies name was somebody's who had signed in."""
    session_key, value = cookies.get(settings.SESSION_COOKIE_NAME), cookies.get(COOKIE)
    if not session_key or not value:
        return False
    try:
        _signer().unsign(f"{session_key}:{value}", max_age=settings.SESSION_COOKIE_AGE)
    except BadSignature:
        return False
    return True


def _signer() -> TimestampSigner:
    return TimestampSigner(salt="people.proof")
