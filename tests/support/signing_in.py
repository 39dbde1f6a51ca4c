"""What tests of single sign-on have in common, whichever provider they are about."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from people import provider
from people.roles import AUDITOR, KEY_MANAGER, OWNER

START, CALLBACK = "/admin/oidc/start/", "/admin/oidc/callback/"
REDIRECT = f"http://testserver{CALLBACK}"
NOT_COMPLETED = "The sign-in was not completed"


def trust(settings: Any, issuer: str, client: str, secret: str) -> None:
    """Lets people in whom this issuer knows and who are in one of three groups."""
    settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = issuer, client, secret
    settings.OIDC_ROLES = [("gpu-admins", OWNER), ("leads", KEY_MANAGER), ("finance", AUDITOR)]
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend", "people.oidc.OpenIDBackend"]
    provider.forget()


def words_after(answer: HttpResponse, browser: Client) -> str:
    """What the log-in page says to somebody who was sent back to it."""
    assert answer.headers["Location"] == reverse("admin:login")
    return browser.get(answer.headers["Location"]).content.decode()
