"""Which teams' keys and calls a person may see. Every query of the admin's pages for keys, calls, usage and spend goes
through here, so that who manages one team learns nothing of another."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from keys.identity import MANAGEMENT

EVERY_TEAM = "people.view_every_team"
_REMEMBERED = "_visible_teams"

Row = TypeVar("Row", bound=Model)


def visible_teams(user: Any) -> frozenset[str] | None:
    """The ids of the teams whose rows the person may see; None stands for everything, rows of no team included.

    Who has not the permission for every team sees the teams that they manage, and nothing where they manage none.
    The teams are remembered with the object `user`, as Django remembers its permissions: a page asks several times.
    """
    if user.has_perm(EVERY_TEAM):
        return None
    if not user.is_active or user.pk is None:
        return frozenset()
    teams: frozenset[str] | None = getattr(user, _REMEMBERED, None)
    if teams is None:
        teams = frozenset(user.managed_teams.values_list("team_id", flat=True))
        setattr(user, _REMEMBERED, teams)
    return teams


def scoped(rows: QuerySet[Row], user: Any, column: str = "team_id") -> QuerySet[Row]:
    """Those of the rows that the person may see. `column` names the team of a row."""
    teams = visible_teams(user)
    return rows if teams is None else rows.filter(**{f"{column}__in": teams})


def scoped_keys(keys: QuerySet[Row], user: Any) -> QuerySet[Row]:
    """Those of the virtual keys that the person may see. Keys of type management reach beyond every team, whatever
    team they name: who sees some teams sees none of them, not even their names."""
    mine = scoped(keys, user)
    return mine if visible_teams(user) is None else mine.exclude(key_type=MANAGEMENT)


def may_see(user: Any, team_id: str | None) -> bool:
    """Whether the person may see what belongs to this team; what belongs to none is for those who see everything."""
    teams = visible_teams(user)
    return teams is None or team_id in teams
