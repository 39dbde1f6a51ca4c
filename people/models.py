"""Who manages which team. Knows teams by their ids only, as keys and calls do."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import CASCADE, CharField, DateTimeField, ForeignKey, Model, UniqueConstraint
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
