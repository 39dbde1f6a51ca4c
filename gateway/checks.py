"""System checks: what cannot work is an error at every start, what production should tighten is a deploy check.

Each has a stable id and says its remedy.
"""

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Tags, register

LEAST_SECRET_KEY, LEAST_CHARACTERS = 50, 5
"""Django's own bounds (security.W009)."""


def register_all() -> None:
    """Called once, when the app is ready."""
    register(check_workers)
    register(check_redis)
    register(check_deployment, Tags.security, deploy=True)


def check_workers(**kwargs: Any) -> list[CheckMessage]:
    """The counters of limits stand in the one relay worker's memory when the database is SQLite."""
    if settings.EMBEDDED and settings.RELAY_WORKERS > 1:
        return [
            checks.Error(
                f"WEB_CONCURRENCY is {settings.RELAY_WORKERS}, but with SQLite there can be one relay worker only.",
                hint="Set WEB_CONCURRENCY=1, or DATABASE_URL to a PostgreSQL database.",
                id="gateway.E001",
            )
        ]
    return []


def check_redis(**kwargs: Any) -> list[CheckMessage]:
    """Redis counts limits for several processes; with SQLite there is one, whose memory counts."""
    if settings.EMBEDDED and settings.REDIS_URL:
        return [
            checks.Error(
                "REDIS_URL is set, but with SQLite limits are counted in the relay's memory.",
                hint="Take REDIS_URL away, or set DATABASE_URL to a PostgreSQL database.",
                id="gateway.E002",
            )
        ]
    return []


def check_deployment(**kwargs: Any) -> list[CheckMessage]:
    """What is fine for a trial and not for production."""
    found = {
        "gateway.W001": (
            "*" in settings.ALLOWED_HOSTS,
            "The admin answers to any host name.",
            "Set ALLOWED_HOSTS to the gateway's own names.",
        ),
        "gateway.W002": (
            not settings.PUBLIC_URL.startswith("https://"),
            "Keys, passwords and the admin's cookies cross the network in plain text.",
            "Put TLS in front, and set GATEWAY_PUBLIC_URL to its https address.",
        ),
        "gateway.W003": (
            not settings.REQUIRE_KEYS,
            "Anyone who reaches the gateway may use its upstreams.",
            "Set GATEWAY_REQUIRE_KEYS=true and issue keys.",
        ),
        "gateway.W004": (
            settings.ALLOW_WEAK_MASTER_KEY,
            "A weak master key is allowed.",
            "Take GATEWAY_ALLOW_WEAK_MASTER_KEY away and set a strong GATEWAY_MASTER_KEY.",
        ),
        "gateway.W006": (
            settings.PUBLIC_URL.startswith("https://") and not settings.TRUSTED_PROXIES,
            "A TLS proxy on another machine is not believed when it says https: the admin would redirect for ever.",
            "Set GATEWAY_TRUSTED_PROXIES to the proxy's address.",
        ),
        "gateway.W007": (
            len(settings.SECRET_KEY) < LEAST_SECRET_KEY or len(set(settings.SECRET_KEY)) < LEAST_CHARACTERS,
            "Whoever guesses SECRET_KEY, which is short or hardly varied, can make sessions of the admin.",
            "Set SECRET_KEY to 50 random characters; everybody then signs in anew.",
        ),
        "gateway.W005": (
            settings.EMBEDDED,
            "The embedded SQLite serves one machine with one relay worker.",
            "Set DATABASE_URL to a PostgreSQL database to run several.",
        ),
    }
    return [checks.Warning(text, hint=hint, id=code) for code, (is_so, text, hint) in found.items() if is_so]
