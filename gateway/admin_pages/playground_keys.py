"""Keys for the playground: an ordinary virtual key of whoever tries a model, for a quarter of an hour and little else.

It is shown to the page that asked, which keeps it in its memory alone. It is in the history, with its calls in the
request log and, for who asks for it, in the list of keys; team limits hold for it as for any other key.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import ADDITION, DELETION, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from keys.identity import INFERENCE
from keys.models import Team, VirtualKey
from keys.scope import visible_teams
from keys.validation import PLAYGROUND

MINUTES = 15
MOST_AT_ONCE = 5
LIMITS: dict[str, Any] = {
    "rpm_limit": 30,
    "max_parallel_requests": 2,
    "max_budget": Decimal(1),
    "endpoint_classes": [INFERENCE],
    "metadata": {"tags": ["playground"]},
}


def usual(keys: QuerySet[VirtualKey]) -> QuerySet[VirtualKey]:
    """Without those of the playground."""
    return keys.exclude(name__startswith=PLAYGROUND)


class PlaygroundFilter(admin.SimpleListFilter):
    """Keys that nobody issued: they come and go with whoever tries a model, so they are left out unless asked for."""

    title = "playground"
    parameter_name = "playground"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("with", "Shown too"), ("only", "Only these")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        first, *others = super().choices(changelist)
        yield {**first, "display": "Left out"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[VirtualKey]) -> QuerySet[VirtualKey]:
        if self.value() == "with":
            return queryset
        return queryset.filter(name__startswith=PLAYGROUND) if self.value() == "only" else usual(queryset)


class PlaygroundRefused(Exception):
    """Somebody may not have a key for the playground now: a sentence."""


def issue(user: Any, team_id: str) -> tuple[VirtualKey, str]:
    """A key of the person's, in a team or in none (""). Raises PlaygroundRefused with a sentence."""
    _check_team(user, team_id)
    prefix = f"{PLAYGROUND}{user.get_username()[:150]} "
    mine = VirtualKey.objects.filter(name__startswith=prefix, created_by=user.get_username())
    _clear(user, mine)
    if mine.count() >= MOST_AT_ONCE:
        raise PlaygroundRefused(
            f"You have {MOST_AT_ONCE} keys for the playground already: they last {MINUTES} minutes."
        )
    key, plain = VirtualKey.objects.issue(
        name=f"{prefix}{secrets.token_hex(4)}",
        team_id=team_id or None,
        created_by=user.get_username(),
        expires_at=timezone.now() + timedelta(minutes=MINUTES),
        **LIMITS,
    )
    _note(user, [key], ADDITION, f"Made for the playground; it expires after {MINUTES} minutes.")
    return key, plain


def _check_team(user: Any, team_id: str) -> None:
    visible = visible_teams(user)
    if visible is not None and team_id not in visible:
        raise PlaygroundRefused("Choose one of the teams that you manage: its limits hold for the key.")
    if team_id and not Team.objects.filter(team_id=team_id).exists():
        raise PlaygroundRefused("There is no such team.")


def _clear(user: Any, mine: Any) -> None:
    """Earlier keys of the person's whose time is over."""
    over = list(mine.filter(expires_at__lte=timezone.now()))
    if over:
        _note(user, over, DELETION, "The playground's key was deleted after its time.")
        mine.filter(pk__in=[key.pk for key in over]).delete()


def _note(user: Any, keys: list[VirtualKey], flag: int, message: str) -> None:
    LogEntry.objects.log_actions(user.pk, keys, flag, message)
