"""System checks of the ways to sign in. Errors end the start; warnings are for `manage.py check --deploy`."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - their names

from people.roles import ROLES

LONGEST_GOOD_SESSION = 24
NEEDED = "Single sign-on needs it: see docs/sign-in.md."


def register_all() -> None:
    """Called once, when the app is ready."""
    register(check_ways)
    register(check_single_sign_on)
    register(check_deployment, Tags.security, deploy=True)


def check_ways(**kwargs: Any) -> list[CheckMessage]:
    """There must be one way in."""
    if settings.PASSWORD_SIGN_IN or settings.OIDC_ISSUER:
        return []
    words = "Nobody can sign in: passwords are switched off, and there is no single sign-on."
    return [Error(words, hint="Set GATEWAY_OIDC_ISSUER, or GATEWAY_PASSWORD_SIGN_IN=true.", id="people.E001")]


def check_single_sign_on(**kwargs: Any) -> list[CheckMessage]:
    """What single sign-on cannot do without."""
    if not settings.OIDC_ISSUER:
        return []
    missing = [name for name in ("CLIENT_ID", "CLIENT_SECRET", "ROLES") if not getattr(settings, f"OIDC_{name}")]
    found: list[CheckMessage] = [
        Error(f"GATEWAY_OIDC_{name} is not set.", hint=NEEDED, id="people.E002") for name in missing
    ]
    if "openid" not in settings.OIDC_SCOPES.split():
        hint = "Add openid to GATEWAY_OIDC_SCOPES, or leave the setting out."
        found.append(Error("GATEWAY_OIDC_SCOPES has no openid.", hint=hint, id="people.E003"))
    return found


def check_deployment(**kwargs: Any) -> list[CheckMessage]:
    """What is fine for a trial and not for production."""
    is_used, roles = bool(settings.OIDC_ISSUER), {role for _, role in settings.OIDC_ROLES}
    own = sorted(roles - set(ROLES))
    found = {
        "people.W001": (
            is_used and settings.OIDC_ISSUER.startswith("http://"),
            "Single sign-on trusts whoever answers at an http address.",
            "Set GATEWAY_OIDC_ISSUER to an https address.",
        ),
        "people.W002": (
            is_used and not settings.PUBLIC_URL,
            "Where single sign-on sends people back to follows from the host name that they asked for.",
            "Set GATEWAY_PUBLIC_URL.",
        ),
        "people.W003": (
            settings.SESSION_HOURS > LONGEST_GOOD_SESSION,
            f"A session lasts {settings.SESSION_HOURS} hours.",
            f"Set GATEWAY_SESSION_HOURS to {LONGEST_GOOD_SESSION} or less.",
        ),
        "people.W004": (
            bool(own),
            f"GATEWAY_OIDC_ROLES names roles that are not built in: {', '.join(own)}.",
            "Make sure that groups of these names exist; until then they give nothing.",
        ),
        "people.W005": (
            is_used and settings.PASSWORD_SIGN_IN,
            "Passwords still sign in beside single sign-on, past whatever the provider asks for.",
            "Set GATEWAY_PASSWORD_SIGN_IN=false once single sign-on works.",
        ),
    }
    return [Warning(text, hint=hint, id=code) for code, (is_so, text, hint) in found.items() if is_so]
