"""People who are signed in to the admin."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from people.models import TeamManager


def signed_in(*permissions: str, name: str = "ada", teams: Iterable[str] | None = None) -> Client:
    """A browser of somebody with these permissions ("keys.view_virtualkey"), or with all when none is named.

    They see every team, or the `teams` that they manage.
    """
    users = get_user_model()._default_manager
    user = users.create(username=name, is_staff=True, is_superuser=not permissions)
    if permissions and teams is None:
        permissions = (*permissions, "people.view_every_team")
    for team_id in teams or ():
        TeamManager.objects.create(user=user, team_id=team_id)
    for permission in permissions:
        app, _, codename = permission.partition(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    client = Client()
    client.force_login(user)
    return client
