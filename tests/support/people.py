"""People who are signed in to the admin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.test import Client
from django.test.client import ClientHandler
from django.utils import timezone
from django.utils.crypto import get_random_string

from people.models import TeamManager
from people.standing import STANDING, standing


def signed_in(*permissions: str, name: str = "ada", teams: Iterable[str] | None = None) -> Client:
    """A browser of somebody with these permissions ("keys.view_virtualkey"), or with all when none is named.

    They see every team, or the `teams` that they manage.
    """
    users = get_user_model()._default_manager
    user = users.create(username=name, is_staff=True, is_superuser=not permissions, last_login=timezone.now())
    if permissions and teams is None:
        permissions = (*permissions, "people.view_every_team")
    for team_id in teams or ():
        TeamManager.objects.create(user=user, team_id=team_id)
    if permissions:
        user.user_permissions.set(_named(permissions))
    return browser_of(user)


def browser_of(user: Any) -> Client:
    """Has what signing in leaves; `Client.force_login` does all that signing in takes, in three times as long."""
    kept = {
        SESSION_KEY: str(user.pk),
        BACKEND_SESSION_KEY: settings.AUTHENTICATION_BACKENDS[0],
        HASH_SESSION_KEY: user.get_session_auth_hash(),
        STANDING: standing(user),
    }
    session = Session.objects.create(
        session_key=get_random_string(32),
        session_data=Session.objects.encode(kept),
        expire_date=timezone.now() + timedelta(seconds=settings.SESSION_COOKIE_AGE),
    )
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
    return client


def undrawn(browser: Client) -> Client:
    """A browser of the same person whose pages are not drawn: for tests of what a view does, and not of what it shows.

    What a page was to show is in the response's `context_data`; its content is empty.
    """
    client = Client()
    client.cookies = browser.cookies
    client.handler = _Undrawn(enforce_csrf_checks=False)
    return client


class _Undrawn(ClientHandler):
    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async)
        self._template_response_middleware.append(self._emptied)

    def _emptied(self, request: Any, response: Any) -> Any:
        response.content = b""  # which counts as drawn
        return response


def _named(names: Sequence[str]) -> list[Permission]:
    wanted = {tuple(name.split(".", 1)) for name in names}
    known = Permission.objects.filter(codename__in=[codename for _, codename in wanted]).select_related("content_type")
    found = [one for one in known if (one.content_type.app_label, one.codename) in wanted]
    assert len(found) == len(wanted), f"Not all of these are permissions: {names}"
    return found
