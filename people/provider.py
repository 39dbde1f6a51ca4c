"""What the OpenID provider says of itself: its endpoints, read once an hour from its discovery document."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from dataclasses import dataclass

from django.conf import settings

SECONDS = 5
KEPT_SECONDS = 3600
AWAY_SECONDS = 5
"""How long it is not asked again after it did not answer: the control plane has few threads to wait in."""
MOST_BYTES = 1_000_000
NAMES = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")


class ProviderAway(Exception):
    """The provider cannot be reached, or does not say what it has to. The text says which."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Its endpoints. `userinfo` may be empty."""

    issuer: str
    authorization: str
    token: str
    keys: str
    userinfo: str = ""


_known: dict[str, tuple[float, Provider]] = {}
_away: dict[str, tuple[float, str]] = {}
_lock = threading.Lock()


def provider() -> Provider:
    """The one in the settings. Raises ProviderAway."""
    issuer = settings.OIDC_ISSUER
    with _lock:
        at, known = _known.get(issuer, (0.0, None))
        if known is None or time.monotonic() - at > KEPT_SECONDS:
            known = _discovered_unless_away(issuer)
            _known[issuer] = time.monotonic(), known
        return known


def forget() -> None:
    """Reads it anew the next time."""
    _known.clear()
    _away.clear()


def _discovered_unless_away(issuer: str) -> Provider:
    since, why = _away.get(issuer, (0.0, ""))
    if why and time.monotonic() - since < AWAY_SECONDS:
        raise ProviderAway(why)
    try:
        return _discovered(issuer)
    except ProviderAway as error:
        _away[issuer] = time.monotonic(), str(error)
        raise


def _discovered(issuer: str) -> Provider:
    try:
        with urllib.request.urlopen(f"{issuer}/.well-known/openid-configuration", timeout=SECONDS) as answer:  # noqa: S310 - http(s): see the settings
            said = json.loads(answer.read(MOST_BYTES))
        issuer_there, authorization, token, keys = (str(said[name]) for name in NAMES)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ProviderAway(f"{issuer} does not answer with an OpenID configuration ({type(error).__name__})") from error
    if issuer_there.rstrip("/") != issuer:
        raise ProviderAway(f"{issuer} says that it is {issuer_there[:200]}")
    return Provider(issuer_there, authorization, token, keys, str(said.get("userinfo_endpoint") or ""))
