"""The form of the admin's log-in page: slowed down for who guesses, and gone where passwords are switched off."""

from __future__ import annotations

import math
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any

from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from gateway.client_address import origin
from people import diary, throttle

WRONG = "The name or the password is wrong, or this person does not use the admin."
NO_PASSWORDS = "Signing in with a password is switched off here."
THIS_MACHINE = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


class SignInForm(AdminAuthenticationForm):
    """Says the same, after the same time, of a wrong name, a wrong password and a person without access."""

    error_messages = AdminAuthenticationForm.error_messages | {"invalid_login": WRONG}

    def clean(self) -> dict[str, Any]:
        if not settings.PASSWORD_SIGN_IN:
            raise ValidationError(NO_PASSWORDS)
        name, request = self.cleaned_data.get("username"), self.request
        if not name or request is None:
            return super().clean()
        address = address_of_person(request)
        attempt = throttle.begin(name, address)
        if attempt.wait is not None:
            diary.refused(name, address, "there were too many attempts")
            raise ValidationError(f"Too many attempts. Please wait {in_minutes(attempt.wait)} and try again.")
        try:
            found: dict[str, Any] = super().clean()
        except ValidationError:
            diary.refused(name, address, "the name or the password is wrong, or there is no access")
            raise
        attempt.succeed()
        return found


def in_minutes(wait: timedelta) -> str:
    """How long to wait, in words."""
    minutes = max(1, math.ceil(wait.total_seconds() / 60))
    return f"{minutes} minutes" if minutes > 1 else "a minute"


def address_of_person(request: HttpRequest) -> str:
    """From where somebody signs in. The relay, which hands requests over, comes by a socket or from this machine."""
    peer = str(request.META.get("REMOTE_ADDR") or "127.0.0.1")
    return origin({**request.META, "REMOTE_ADDR": peer}, [*THIS_MACHINE, *settings.TRUSTED_PROXIES]).address


def is_first(request: HttpRequest) -> bool:
    """Whether to say where the generated password is: nobody has signed in yet, and who asks is at this machine.

    A stranger need not learn that nobody was here.
    """
    if not settings.EMBEDDED or not settings.PASSWORD_SIGN_IN or settings.ADMIN_PASSWORD:
        return False
    address = ip_address(address_of_person(request))
    if not any(address in network for network in THIS_MACHINE):
        return False
    return not get_user_model()._default_manager.filter(last_login__isnull=False).exists()


def ways_in(request: HttpRequest) -> dict[str, Any]:
    """What the log-in page offers."""
    return {
        "is_first": is_first(request),
        "password_sign_in": settings.PASSWORD_SIGN_IN,
        "single_sign_on": settings.OIDC_NAME if settings.OIDC_ISSUER else "",
    }
