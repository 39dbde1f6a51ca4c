"""Who manages a team, on the team's page: for everybody who sees the page, with a form for who may change it.

What may be changed here is what may be changed on the page of the person: somebody's teams are part of what they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse

from common.admin import log_changes
from gateway.admin_pages.people import is_within
from keys.models import Team
from keys.scope import visible_teams
from people.models import TeamManager
from people.roles import SEEING_KEYS

MOST_SUGGESTED = 200


@dataclass(frozen=True, slots=True)
class Manager:
    """Somebody who manages the team; `url` is that of their page, empty for who may not see it."""

    pk: int
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Managers:
    """What the page shows. `suggested` are names of people who do not manage it yet; None where none may be added."""

    listed: tuple[Manager, ...]
    suggested: tuple[str, ...] | None
    may_remove: bool


def managers_of(request: HttpRequest, team: Team) -> Managers:
    """The managers of the team; three queries."""
    rows = TeamManager.objects.filter(team_id=team.team_id).select_related("user").order_by("user__username")
    people = [row.user for row in rows]
    suggested = tuple(_others(people)) if may_add(request.user) else None
    return Managers(tuple(_listed(request, people)), suggested, may_remove(request.user))


def may_add(user: Any) -> bool:
    """Whether this person may say who manages a team."""
    return bool(_may_change(user) and user.has_perm("people.add_teammanager"))


def may_remove(user: Any) -> bool:
    """Whether this person may say who manages it no more."""
    return bool(_may_change(user) and user.has_perm("people.delete_teammanager"))


def add(request: HttpRequest, team: Team, name: str) -> Any | None:
    """Makes the person of this name a manager. None where there is no such person, or who may do more than the viewer.

    Raises PermissionDenied.
    """
    if not may_add(request.user):
        raise PermissionDenied
    person = get_user_model()._default_manager.filter(username=name).first()
    if person is None or not is_within(request.user, person):
        return None
    with transaction.atomic():
        _, is_new = TeamManager.objects.get_or_create(user=person, team_id=team.team_id)
        if is_new:
            log_changes(request, [team], f"Manager added: {name}.")
            log_changes(request, [person], f"Manages the team {team}.")
    return person


def remove(request: HttpRequest, team: Team, pk: int) -> Any | None:
    """Takes the team away from a person. None where they do not manage it, or may do more than the viewer.

    Raises PermissionDenied.
    """
    if not may_remove(request.user):
        raise PermissionDenied
    row = TeamManager.objects.filter(team_id=team.team_id, user_id=pk).select_related("user").first()
    if row is None or not is_within(request.user, row.user):
        return None
    with transaction.atomic():
        row.delete()
        log_changes(request, [team], f"Manager removed: {row.user}.")
        log_changes(request, [row.user], f"Does not manage the team {team} any more.")
    return row.user


def sees_keys(person: Any) -> bool:
    """Whether a role of theirs shows them the keys of their teams: else managing a team is of no use to them."""
    return bool(person.has_perm(SEEING_KEYS[0]) and person.is_staff)


def _listed(request: HttpRequest, people: list[Any]) -> Iterator[Manager]:
    may_see = request.user.has_perm("auth.view_user")
    for person in people:
        url = reverse("admin:auth_user_change", args=[person.pk]) if may_see else ""
        yield Manager(person.pk, person.get_username(), url)


def _others(people: list[Any]) -> Iterator[str]:
    staff = get_user_model()._default_manager.filter(is_active=True, is_staff=True)
    rows = staff.exclude(pk__in=[one.pk for one in people]).order_by("username")
    yield from rows.values_list("username", flat=True)[:MOST_SUGGESTED]


def _may_change(user: Any) -> bool:
    return bool(user.has_perm("auth.change_user") and visible_teams(user) is None)
