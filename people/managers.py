"""Takes the managers of a deleted team away: a later team of the same id is another one."""

from __future__ import annotations

from typing import Any

from people.models import TeamManager


def team_deleted(instance: Any, using: str, **_: Any) -> None:
    """Called once for each team that is deleted, in its transaction."""
    TeamManager.objects.using(using).filter(team_id=instance.team_id).delete()
