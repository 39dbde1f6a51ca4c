"""POST /team/new, /team/update and so on; GET /team/info and the lists."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.models import CHANGE
from django.db import transaction
from django.db.models import Q, QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from keys.errors import GroupNotFound, GroupTaken
from keys.groups_api import answers, members, serializers
from keys.groups_api.base import NEWEST, GroupView, found, listed, lock, page_of
from keys.models import Team


class TeamView(GroupView):
    """What the views of teams share."""

    own_columns = {"team_alias": "alias"}

    def named(self, team_id: str) -> Team:
        """The team. Raises GroupNotFound."""
        rows: QuerySet[Team] = Team.objects.filter(team_id=team_id)
        return found(rows, f"Team not found, passed team_id={team_id}", "team_id")


class NewView(TeamView):
    """POST /team/new."""

    def post(self, request: Request) -> Response:
        """The team. Raises GroupTaken."""
        fields = self.fields(serializers.NewTeam)
        team_id = (fields.get("team_id") or "").strip()
        with transaction.atomic():
            lock()
            if team_id and Team.objects.filter(team_id=team_id).exists():
                raise GroupTaken(
                    f"Team id = {team_id} already exists. Please use a different team id.", param="team_id"
                )
            named = {"team_id": team_id} if team_id else {}
            columns = {**self.columns(fields), **members.column(fields, [])}
            team = self.make(Team(**named, **columns), fields.get("spend"))
        return Response(answers.one(team, answers.team))


class UpdateView(TeamView):
    """POST /team/update: omitted fields stay, null clears."""

    def post(self, request: Request) -> Response:
        """The changed team, below `data`. Raises GroupNotFound."""
        fields = self.fields(serializers.UpdateTeam)
        with transaction.atomic():
            lock()
            team = self.named(fields["team_id"])
            columns = {**self.columns(fields, team), **members.column(fields, members.of(team))}
            self.change(team, columns, fields)
        return Response({"team_id": team.team_id, "data": answers.one(team, answers.team)})


class DeleteView(TeamView):
    """POST /team/delete: teams and their keys, all or none."""

    def post(self, request: Request) -> Response:
        """Their ids. Raises GroupNotFound and ManagementKeyDenied."""
        ids = list(dict.fromkeys(self.fields(serializers.DeleteTeams)["team_ids"]))
        with transaction.atomic():
            lock()
            rows = members.named(ids)
            self.delete_with_keys(Team.objects.filter(pk__in=[team.pk for team in rows]), "team_id")
        return Response({"deleted_teams": ids})


class SwitchView(TeamView):
    """POST /team/block and /team/unblock."""

    blocked: bool

    def post(self, request: Request) -> Response:
        """The changed team. Raises GroupNotFound."""
        team_id = self.fields(serializers.TeamReference)["team_id"]
        with transaction.atomic():
            lock()
            team = self.named(team_id)
            team.blocked = self.blocked
            team.save(update_fields=["blocked"])
            self.record([team], CHANGE, "Blocked" if self.blocked else "Unblocked")
        return Response(answers.one(team, answers.team))


class BlockView(SwitchView):
    """POST /team/block: no key of the team may call, and open calls are cut."""

    blocked = True


class UnblockView(SwitchView):
    """POST /team/unblock."""

    blocked = False


class AddMembersView(TeamView):
    """POST /team/member_add."""

    def post(self, request: Request) -> Response:
        """The team. Raises GroupNotFound."""
        fields = self.fields(serializers.AddMembers)
        with transaction.atomic():
            lock()
            team = self.named(fields["team_id"])
            self.change(team, {"members": members.joined(members.of(team), fields["member"])}, {})
        answer = answers.one(team, answers.team)
        return Response({**answer, "updated_users": [], "updated_team_memberships": []})


class DeleteMemberView(TeamView):
    """POST /team/member_delete."""

    def post(self, request: Request) -> Response:
        """The team. Raises GroupNotFound."""
        fields = self.fields(serializers.DeleteMember)
        user_id, email = fields.get("user_id"), fields.get("user_email")
        with transaction.atomic():
            lock()
            team = self.named(fields["team_id"])
            left = members.without(
                team,
                lambda one: bool((user_id and one["user_id"] == user_id) or (email and one["user_email"] == email)),
            )
            if len(left) == len(members.of(team)):
                raise GroupNotFound(f"User not found in team, passed team_id={team.team_id}", param="user_id")
            self.change(team, {"members": left}, {})
        return Response(answers.one(team, answers.team))


class InfoView(TeamView):
    """GET /team/info."""

    def get(self, request: Request) -> Response:
        """The team with its keys, the newest 1,000 at most; `keys_count` tells all. Raises GroupNotFound."""
        query = self.query(serializers.InfoOfTeam)
        team = self.named(query["team_id"])
        keys = self.visible_keys.filter(team_id=team.team_id)
        return Response(
            {
                "team_id": team.team_id,
                "team_info": {**answers.one(team, answers.team), "keys_count": keys.count()},
                "keys": answers.keys(keys, query["key_limit"]),
                "team_memberships": [],
            }
        )


class ListView(TeamView):
    """GET /team/list."""

    def get(self, request: Request) -> Response:
        """A bare list by alias. Unlike LiteLLM's it tells how many keys a team has, not which."""
        query = self.query(serializers.ListTeams)
        teams = Team.objects.order_by("alias", "pk")
        if query.get("user_id"):
            teams = teams.filter(team_id__in=members.memberships([query["user_id"]])[query["user_id"]])
        if query.get("search"):
            teams = teams.filter(Q(team_id__icontains=query["search"]) | Q(alias__icontains=query["search"]))
        rows = page_of(teams, query)
        described = [{**answer, "team_memberships": []} for answer in self.with_counts(rows)]
        return listed(described, teams.count())

    def with_counts(self, rows: list[Team]) -> list[answers.Answer]:
        """The teams, each with the number of its keys."""
        counts = answers.counts(self.visible_keys, "team_id", [team.team_id for team in rows])
        return [
            {**answer, "keys_count": counts.get(answer["team_id"], 0)} for answer in answers.several(rows, answers.team)
        ]


class PagedListView(ListView):
    """GET /v2/team/list."""

    def get(self, request: Request) -> Response:
        """A page of teams, the newest first unless `sort_by` says otherwise."""
        query = self.query(serializers.PageTeams)
        rows, numbers = answers.pages(_sought(query), query)
        teams = [{**answer, "members_count": len(answer["members_with_roles"])} for answer in self.with_counts(rows)]
        return Response({"teams": teams, **numbers})


def _sought(query: dict[str, Any]) -> QuerySet[Team]:
    teams: QuerySet[Team] = Team.objects.order_by(*NEWEST)
    if query.get("team_id"):
        teams = teams.filter(team_id=query["team_id"])
    if query.get("team_alias"):
        teams = teams.filter(alias__icontains=query["team_alias"])
    if query.get("search"):
        how = "startswith" if query["search_team_id_match"] == "prefix" else "exact"
        teams = teams.filter(Q(**{f"team_id__{how}": query["search"]}) | Q(alias__icontains=query["search"]))
    if query.get("user_id"):
        teams = teams.filter(team_id__in=members.memberships([query["user_id"]])[query["user_id"]])
    if not query.get("sort_by"):
        return teams
    sign = "-" if query["sort_order"] == "desc" else ""
    return teams.order_by(sign + serializers.PageTeams.sortable[query["sort_by"]], f"{sign}pk")
