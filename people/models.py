"""Who manages which team, how people sign in. Knows teams by their ids only, as keys and calls do."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import (
    CASCADE,
    BooleanField,
    CharField,
    DateTimeField,
    ForeignKey,
    Index,
    Model,
    UniqueConstraint,
)
from django.utils import timezone

LONGEST_TEAM_ID = 64


class TeamManager(Model):
    """A person who sees, and may change as far as their role allows, one team's keys and calls."""

    user: ForeignKey[Any, Any] = ForeignKey(settings.AUTH_USER_MODEL, on_delete=CASCADE, related_name="managed_teams")
    team_id = CharField("team", max_length=LONGEST_TEAM_ID, db_index=True)
    added_at = DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "managed team"
        constraints = [UniqueConstraint(fields=["user", "team_id"], name="one_row_per_manager_and_team")]
        permissions = [("view_every_team", "Can see the keys and calls of every team")]

    def __str__(self) -> str:
        return self.team_id


class SignInAttempt(Model):
    """An attempt to sign in with a password. Of the name and the address only keyed digests are kept: what is typed
    as a name is sometimes a password."""

    at = DateTimeField(default=timezone.now)
    name = CharField(max_length=64)
    address = CharField(max_length=64)
    succeeded = BooleanField(default=False)

    class Meta:
        indexes = [Index(fields=["name", "at"]), Index(fields=["address", "at"]), Index(fields=["at"])]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S}"


class Identity(Model):
    """Who a person is at the OpenID provider: the two claims that never change hands."""

    user: ForeignKey[Any, Any] = ForeignKey(settings.AUTH_USER_MODEL, on_delete=CASCADE, related_name="identities")
    issuer = CharField(max_length=255)
    subject = CharField(max_length=255)

    class Meta:
        verbose_name_plural = "identities"
        constraints = [UniqueConstraint(fields=["issuer", "subject"], name="one_person_per_subject")]

    def __str__(self) -> str:
        return f"{self.subject} at {self.issuer}"
