"""POST /user/new, /user/update and /user/delete; GET /user/info and /user/list.

A user here is who holds keys. People who may log in to this site are something else, and nothing here touches them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE
from django.db import transaction
from django.db.models import Q, QuerySet, prefetch_related_objects
from rest_framework.request import Request
from rest_framework.response import Response

from keys import answers as key_answers
from keys import history
from keys.errors import GroupNotFound, UserTaken
from keys.groups_api import answers, members, serializers
from keys.groups_api.answers import Answer
from keys.groups_api.base import NEWEST, GroupView, found, lock
from keys.models import Owner, Team, VirtualKey
from keys.serializers import check_name
from keys.spending import Spending

MOST_KEYS = 1_000


class UserView(GroupView):
    """What the views of users share."""

    own_columns = {"user_alias": "alias", "user_email": "email", "user_role": "role"}

    def named(self, user_id: str) -> Owner:
        """The user. Raises GroupNotFound."""
        rows: QuerySet[Owner] = Owner.objects.filter(user_id=user_id)
        return found(rows, f"User not found, passed user_id={user_id}", "user_id")

    def columns(self, fields: Mapping[str, Any], row: Any = None) -> dict[str, Any]:
        """As GroupView.columns; no e-mail address is null."""
        columns = super().columns(fields, row)
        if "email" in columns:
            columns["email"] = columns["email"].strip() or None
        return columns

    def ensure_free(self, *, user_id: str = "", email: str | None = None, but: int | None = None) -> None:
        """Raises UserTaken where another has the id or the address, which is the same in capitals."""
        if user_id and Owner.objects.filter(user_id=user_id).exists():
            raise UserTaken(f"User with id {user_id} already exists", param="user_id")
        if email and Owner.objects.filter(email__iexact=email).exclude(pk=but).exists():
            raise UserTaken(f"User with email {email} already exists", param="user_email")

    def join(self, user: Owner, teams: list[dict[str, str]]) -> None:
        """Makes the user a member of the teams. Raises GroupNotFound."""
        roles = {one["team_id"]: one["user_role"] for one in teams}
        for team in members.named(roles):
            people = members.of(team)
            one = members.member(user.user_id, user.email, roles[team.team_id])
            self.set_members(team, members.joined(people, [one]))

    def leave(self, user_ids: list[str], *, but: frozenset[str] = frozenset()) -> None:
        """Takes the users out of all teams but these."""
        for team in members.teams_with(user_ids):
            if team.team_id not in but:
                self.set_members(team, members.without(team, lambda one: one["user_id"] in user_ids))

    def set_members(self, team: Team, people: list[members.Member]) -> None:
        """Saves a team's new members where they changed."""
        if people != team.members:
            team.members = people
            team.save(update_fields=["members"])
            self.record([team], CHANGE, "Changed members")


class NewView(UserView):
    """POST /user/new: a user and, unless `auto_create_key` is false, their first key."""

    def post(self, request: Request) -> Response:
        """The user; `key` is the secret, shown this once, or "". Raises UserTaken, GroupNotFound and NameTaken."""
        fields = self.fields(serializers.NewUser)
        user_id, columns = (fields.get("user_id") or "").strip(), self.columns(fields)
        with transaction.atomic():
            lock()
            self.ensure_free(user_id=user_id, email=columns.get("email"))
            named = {"user_id": user_id} if user_id else {}
            user = self.make(Owner(**named, **columns), fields.get("spend"))
            self.join(user, _teams(fields))
            key, secret = self._first_key(user, fields) if fields["auto_create_key"] else (None, "")
        shown = _described(user)
        return Response({**shown, **(_of_key(key) if key else {}), "key": secret})

    def _first_key(self, user: Owner, fields: Mapping[str, Any]) -> tuple[VirtualKey, str]:
        """A key without limits of its own: the user's hold. Raises NameTaken and InvalidRequest."""
        check_name(fields)
        key, secret = VirtualKey.objects.issue(
            name=fields.get("key_alias"),
            user_id=user.user_id,
            team_id=fields.get("team_id") or None,
            aliases=fields.get("aliases") or {},
            expires_at=fields.get("duration"),
            created_by=history.name_of(self.identity),
        )
        prefetch_related_objects([key], "secrets")  # which history and answer ask for several times
        self.record([key], ADDITION, "Issued with its owner")
        return key, secret


class UpdateView(UserView):
    """POST /user/update: omitted fields stay, null clears."""

    def post(self, request: Request) -> Response:
        """The changed user, below `data`. Raises GroupNotFound and UserTaken."""
        fields = self.fields(serializers.UpdateUser)
        with transaction.atomic():
            lock()
            user = self._meant(fields)
            columns = self.columns(fields, user)
            self.ensure_free(email=columns.get("email"), but=user.pk)
            self.change(user, columns, fields)
            if "teams" in fields:
                wanted = _teams(fields)
                self.leave([user.user_id], but=frozenset(one["team_id"] for one in wanted))
                self.join(user, wanted)
        return Response({"user_id": user.user_id, "data": _described(user)})

    def _meant(self, fields: Mapping[str, Any]) -> Owner:
        if fields.get("user_id"):
            return self.named(fields["user_id"])
        email = fields["user_email"].strip()
        rows: QuerySet[Owner] = Owner.objects.filter(email__iexact=email)
        return found(rows, f"User not found, passed user_email={email}", "user_email")


class DeleteView(UserView):
    """POST /user/delete: users and their keys, all or none; they leave their teams."""

    def post(self, request: Request) -> Response:
        """How many, as LiteLLM answers. Raises GroupNotFound and ManagementKeyDenied."""
        ids = list(dict.fromkeys(self.fields(serializers.DeleteUsers)["user_ids"]))
        with transaction.atomic():
            lock()
            rows = Owner.objects.filter(user_id__in=ids)
            known = set(rows.values_list("user_id", flat=True))
            for user_id in ids:
                if user_id not in known:
                    raise GroupNotFound(f"User not found, passed user_id={user_id}", param="user_ids")
            self.leave(ids)
            self.delete_with_keys(rows, "user_id")
        return Response(len(ids))


class InfoView(UserView):
    """GET /user/info."""

    def get(self, request: Request) -> Response:
        """The user with their keys, the newest 1,000 at most, and teams. Raises GroupNotFound."""
        user = self.named(self.query(serializers.InfoOfUser)["user_id"])
        teams = list(members.teams_with([user.user_id]))
        keys = self.visible_keys.filter(user_id=user.user_id)
        shown = answers.keys(keys, MOST_KEYS)
        aliases = _aliases({key["team_id"] for key in shown if key["team_id"]})
        return Response(
            {
                "user_id": user.user_id,
                "user_info": {
                    **_with_teams(user, [team.team_id for team in teams]),
                    "key_count": keys.count(),
                },
                "keys": [{**key, "team_alias": aliases.get(key["team_id"])} for key in shown],
                "teams": answers.several(teams, answers.team),
            }
        )


class ShortInfoView(UserView):
    """GET /v2/user/info."""

    def get(self, request: Request) -> Response:
        """The user alone. Raises GroupNotFound."""
        return Response(_described(self.named(self.query(serializers.InfoOfUser)["user_id"])))


class ListView(UserView):
    """GET /user/list."""

    def get(self, request: Request) -> Response:
        """A page of users, the newest first unless `sort_by` says otherwise."""
        query = self.query(serializers.PageUsers)
        rows, numbers = answers.pages(_sought(query), query)
        ids = [user.user_id for user in rows]
        teams, counts = members.memberships(ids), answers.counts(self.visible_keys, "user_id", ids)
        described = answers.several(rows, lambda user, spent: answers.user(user, spent, teams[user.user_id]))
        users = [{**user, "key_count": counts.get(user["user_id"], 0)} for user in described]
        return Response({"users": users, **numbers})


def _sought(query: Mapping[str, Any]) -> QuerySet[Owner]:
    users: QuerySet[Owner] = Owner.objects.order_by(*NEWEST)
    ids = [one.strip() for one in query.get("user_ids", "").split(",") if one.strip()]
    if len(ids) == 1:  # as LiteLLM: one id may be a part of one
        users = users.filter(user_id__icontains=ids[0])
    elif ids:
        users = users.filter(user_id__in=ids)
    for name, lookup in (("role", "role"), ("user_email", "email__icontains")):
        if query.get(name):
            users = users.filter(**{lookup: query[name]})
    if query.get("search"):
        users = users.filter(Q(user_id__icontains=query["search"]) | Q(email__icontains=query["search"]))
    if query.get("team"):
        team = Team.objects.filter(team_id=query["team"]).first()
        users = users.filter(user_id__in=[one["user_id"] for one in members.of(team)] if team else [])
    if not query.get("sort_by"):
        return users
    sign = "-" if query["sort_order"] == "desc" else ""
    return users.order_by(sign + serializers.PageUsers.sortable[query["sort_by"]], f"{sign}pk")


def _teams(fields: Mapping[str, Any]) -> list[dict[str, str]]:
    listed = list(fields.get("teams") or ())
    if fields.get("team_id"):
        listed.append({"team_id": fields["team_id"], "user_role": members.USER})
    return listed


def _described(user: Owner) -> Answer:
    return _with_teams(user, members.memberships([user.user_id])[user.user_id])


def _with_teams(user: Owner, teams: list[str]) -> Answer:

    def describe(row: Owner, spent: Spending) -> Answer:
        return answers.user(row, spent, teams)

    return answers.one(user, describe)


def _of_key(key: VirtualKey) -> Answer:
    shown = key_answers.with_token(key)
    names = ("token", "token_id", "key_name", "key_alias", "team_id", "aliases", "expires", "key_type")
    return {**{name: shown[name] for name in names}, "duration": None}


def _aliases(team_ids: set[str]) -> dict[str, str]:
    return dict(Team.objects.filter(team_id__in=team_ids).values_list("team_id", "alias"))
