"""Writes into the log who signed in and out, and who could not. A name that nobody has is not written: it may be a
password that was typed into the wrong field."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out

logger = logging.getLogger("people.sign_in")


def signed_in(sender: Any, user: Any, **_: Any) -> None:
    """Into the log."""
    way = "single sign-on" if getattr(user, "backend", "").startswith("people.oidc") else "password"
    logger.info("%s signed in by %s.", user.get_username(), way)


def signed_out(sender: Any, user: Any, **_: Any) -> None:
    """Into the log."""
    if user is not None:
        logger.info("%s signed out.", user.get_username())


def refused(name: str, address: str, reason: str) -> None:
    """Somebody could not sign in with a password."""
    known = get_user_model()._default_manager.filter(username=name).exists()
    logger.warning("A sign-in as %s from %s was refused: %s.", name if known else "nobody we know", address, reason)


def connect() -> None:
    """Called once, when the app is ready."""
    user_logged_in.connect(signed_in, dispatch_uid="diary")
    user_logged_out.connect(signed_out, dispatch_uid="diary")
