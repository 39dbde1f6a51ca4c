"""Ends the sessions of those who were disabled, lost a role, or may not sign in by that way any more.

Permissions are looked up with every request, so that a role that is lost grants nothing from that moment on. The
session ends too: what a page shows already, and what a script goes on asking for, should not outlive the role. Who was
disabled and is enabled again signs in anew: a cookie that was stolen must not come back to life.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from django.conf import settings
from django.contrib import auth, messages
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.models.signals import post_save, pre_save
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from people import proof
from people.models import TeamManager

logger = logging.getLogger(__name__)

STANDING = "standing"


class StandingMiddleware:
    """Compares what a person was when they signed in with what they are."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if settings.SESSION_COOKIE_NAME in request.COOKIES:
            if not request.user.is_authenticated:
                _end_of_nobody(request)
            elif set(request.session.get(STANDING, ())) - set(standing(request.user)):
                logger.warning("The session of %s ended: a role was taken away.", request.user.get_username())
                auth.logout(request)
                messages.warning(request, "Your roles have changed: please sign in again.")
        response = self.get_response(request)
        _keep_proof(request, response)
        return response


def _keep_proof(request: HttpRequest, response: HttpResponseBase) -> None:
    """Gives who is signed in the cookie that says so where sessions cannot be looked up, and takes it back."""
    if settings.SESSION_COOKIE_NAME not in request.COOKIES and not request.session.modified:
        return  # a session that nobody has is not looked at, which would mark the answer as one person's
    session = request.session
    if auth.SESSION_KEY in session and session.session_key:
        if not proof.is_shown({**request.COOKIES, settings.SESSION_COOKIE_NAME: session.session_key}):
            response.set_cookie(
                proof.COOKIE,
                proof.made(session.session_key),
                max_age=settings.SESSION_COOKIE_AGE,
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                samesite="Lax",
            )
    elif proof.COOKIE in request.COOKIES:
        response.delete_cookie(proof.COOKIE, samesite="Lax")


def _end_of_nobody(request: HttpRequest) -> None:
    """A session that names a person who may not sign in any more ends, also if they may again one day."""
    if auth.SESSION_KEY in request.session:
        logger.warning("The session of person %s ended: they may not sign in.", request.session[auth.SESSION_KEY])
        request.session.flush()


def standing(person: Any) -> list[str]:
    """What a person is: flags, roles and teams, each of which can be taken away."""
    flags = [name for name in ("is_staff", "is_superuser") if getattr(person, name)]
    with connection.cursor() as cursor:
        cursor.execute(_roles_and_teams(), {"person": person.pk})
        found = cursor.fetchall()
    return flags + [f"role:{role}" if team is None else f"team:{team}" for role, team in found]


@cache
def _roles_and_teams() -> str:
    """Asked with every page: in one question for both, of the tables that tell, without a join."""
    roles, teams = auth.get_user_model().groups.through._meta.db_table, TeamManager._meta.db_table
    return (
        f"SELECT group_id, NULL AS team_id FROM {roles} WHERE user_id = %(person)s "  # noqa: S608 names of tables
        f"UNION ALL SELECT NULL, team_id FROM {teams} WHERE user_id = %(person)s"
    )


def _remember(sender: Any, request: HttpRequest | None, user: Any, **_: Any) -> None:
    if request is not None and hasattr(request, "session"):
        request.session[STANDING] = standing(user)


def end_sessions(person: Any) -> int:
    """Ends what sessions a person has, also those that nobody asks with; returns how many."""
    ended = 0
    for session in Session.objects.filter(expire_date__gt=timezone.now()).iterator():
        if session.get_decoded().get(auth.SESSION_KEY) == str(person.pk):
            session.delete()
            ended += 1
    return ended


def _note_whether_disabled(sender: Any, instance: Any, **_: Any) -> None:
    """Asked before the save, when the row still tells; the search through all sessions is for this one moment."""
    instance._is_being_disabled = (
        not instance.is_active and sender._default_manager.filter(pk=instance.pk, is_active=True).exists()
    )


def _end_of_the_disabled(sender: Any, instance: Any, **_: Any) -> None:
    if instance._is_being_disabled and (ended := end_sessions(instance)):
        logger.warning("%d sessions of %s ended: the account was disabled.", ended, instance.get_username())


def connect() -> None:
    """Called once, when the app is ready."""
    person = settings.AUTH_USER_MODEL
    pre_save.connect(_note_whether_disabled, sender=person, dispatch_uid="who is being disabled")
    post_save.connect(_end_of_the_disabled, sender=person, dispatch_uid="sessions of the disabled")
    user_logged_in.connect(_remember, dispatch_uid="standing")
