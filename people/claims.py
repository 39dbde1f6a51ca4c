"""What an ID token says of somebody's groups and name, and which roles follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings


def claimed(claims: Mapping[str, Any]) -> list[str] | None:
    """The values of the claim that roles follow from; None where it is missing. `a.b` is b inside of a."""
    found: Any = claims
    name = settings.OIDC_GROUPS_CLAIM
    if name in claims:
        found = claims[name]
    else:
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if name == "email" and claims.get("email_verified") is not True:
        return None  # anybody may have typed it
    if isinstance(found, str):
        return [found]
    return [str(one) for one in found] if isinstance(found, list) else None


def roles_of(claims: Mapping[str, Any]) -> set[str]:
    """The roles that the settings give for these claims."""
    groups = set(claimed(claims) or ())
    return {role for group, role in settings.OIDC_ROLES if group in groups}


def names_in(claims: Mapping[str, Any]) -> str | None:
    """What to call somebody."""
    if claims.get("email") and claims.get("email_verified") is True:
        return str(claims["email"])
    return claims.get("preferred_username") or claims.get("email")
