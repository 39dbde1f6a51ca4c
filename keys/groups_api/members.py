"""Who belongs to a team: kept in the team for the caller's own use. No limit and no permission follows from it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from django.db.models import QuerySet

from keys.errors import GroupNotFound
from keys.models import Team

Member = dict[str, Any]
ADMIN, USER = "admin", "user"


def of(team: Team) -> list[Member]:
    """The members in LiteLLM's shape; what an admin wrote otherwise is read as far as it can be."""
    return _in_column(team.members)


def _in_column(column: object) -> list[Member]:
    listed = column if isinstance(column, list) else []
    return [member for one in listed if (member := _read(one)) is not None]


def member(user_id: str | None = None, user_email: str | None = None, role: str = USER) -> Member:
    """One of LiteLLM's members."""
    return {"user_id": user_id or None, "user_email": user_email or None, "role": role}


def _read(one: object) -> Member | None:
    if isinstance(one, str):
        return member(one)
    if not isinstance(one, dict) or not (one.get("user_id") or one.get("user_email")):
        return None
    return member(one.get("user_id"), one.get("user_email"), ADMIN if one.get("role") == ADMIN else USER)


def column(fields: Mapping[str, Any], before: Iterable[Member]) -> dict[str, list[Member]]:
    """The column that LiteLLM's three fields set: `members_with_roles` all, `members` and `admins` those of a role."""
    given = {name for name in ("members_with_roles", "members", "admins") if name in fields}
    if not given:
        return {}
    found = list(fields["members_with_roles"] or ()) if "members_with_roles" in given else list(before)
    for name, role in (("members", USER), ("admins", ADMIN)):
        if name in given and (fields[name] or "members_with_roles" not in given):
            found = [one for one in found if one["role"] != role]
            found += (member(user_id, role=role) for user_id in fields[name] or ())
    return {"members": joined([], found)}


def joined(before: Iterable[Member], new: Iterable[Member]) -> list[Member]:
    """The members with the new ones; who is among them already gets the new role."""
    found: list[Member] = list(before)
    for one in new:
        same = next((index for index, known in enumerate(found) if _is_same(known, one)), None)
        if same is None:
            found.append(one)
        else:
            known = found[same]
            email = one["user_email"] or known["user_email"]
            found[same] = member(one["user_id"] or known["user_id"], email, one["role"])
    return found


def _is_same(one: Member, other: Member) -> bool:
    if one["user_id"] and other["user_id"]:
        return bool(one["user_id"] == other["user_id"])
    return bool(one["user_email"]) and one["user_email"] == other["user_email"]


def without(team: Team, is_leaving: Callable[[Member], bool]) -> list[Member]:
    """Those who stay."""
    return [one for one in of(team) if not is_leaving(one)]


def memberships(user_ids: Collection[str]) -> dict[str, list[str]]:
    """The ids of the teams of each user, by alias; one query.

    Reads the members of all teams: not every database can look into JSON.
    """
    found: dict[str, list[str]] = {user_id: [] for user_id in user_ids}
    teams = Team.objects.exclude(members=[]).order_by("alias", "pk").values_list("team_id", "members")
    for team_id, column in teams:
        for one in _in_column(column):
            if one["user_id"] in found:
                found[one["user_id"]].append(team_id)
    return found


def teams_with(user_ids: Collection[str]) -> QuerySet[Team]:
    """The teams that at least one of the users belongs to, by alias."""
    ids = {team_id for teams in memberships(user_ids).values() for team_id in teams}
    teams: QuerySet[Team] = Team.objects.filter(team_id__in=ids).order_by("alias", "pk")
    return teams


def named(ids: Iterable[str]) -> list[Team]:
    """The teams with these ids, in their order. Raises GroupNotFound for the first that there is not."""
    wanted = list(dict.fromkeys(ids))
    rows = {team.team_id: team for team in Team.objects.filter(team_id__in=wanted)}
    for team_id in wanted:
        if team_id not in rows:
            raise GroupNotFound(f"Team not found, passed team_id={team_id}", param="team_id")
    return [rows[team_id] for team_id in wanted]
