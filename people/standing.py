"""Ends the sessions of those who lost a role, or may not sign in by that way any more.

Permissions are looked up with every request, so that a role that is lost grants nothing from that moment on. The
session ends too: what a page shows already, and what a script goes on asking for, should not outlive the role.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import auth, messages
from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest, HttpResponseBase

from people.models import TeamManager

logger = logging.getLogger(__name__)

STANDING = "standing"


class StandingMiddleware:
    """Compares what a person was when they signed in with what they are."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if settings.SESSION_COOKIE_NAME in request.COOKIES and request.user.is_authenticated:
            lost = set(request.session.get(STANDING, ())) - set(standing(request.user))
            if lost:
                logger.warning("The session of %s ended: a role was taken away.", request.user.get_username())
                auth.logout(request)
                messages.warning(request, "Your roles have changed: please sign in again.")
        return self.get_response(request)


def standing(person: Any) -> list[str]:
    """What a person is: flags, roles and teams, each of which can be taken away."""
    flags = [name for name in ("is_staff", "is_superuser") if getattr(person, name)]
    # Asked with every page: of the tables that tell, without a join.
    memberships = auth.get_user_model().groups.through._default_manager.filter(user_id=person.pk)
    roles = [f"role:{pk}" for pk in memberships.values_list("group_id", flat=True)]
    teams = TeamManager.objects.filter(user_id=person.pk).values_list("team_id", flat=True)
    return flags + roles + [f"team:{team}" for team in teams]


def _remember(sender: Any, request: HttpRequest | None, user: Any, **_: Any) -> None:
    if request is not None and hasattr(request, "session"):
        request.session[STANDING] = standing(user)


def connect() -> None:
    """Called once, when the app is ready."""
    user_logged_in.connect(_remember, dispatch_uid="standing")
