"""The operations on teams, users and customers."""

from __future__ import annotations

from typing import Any

from gateway.api_schema.operation import Operation, get, post
from keys.groups_api import serializers

TEAMS, USERS, CUSTOMERS = "Teams", "Users", "Customers"
_TEAM: dict[str, Any] = {
    "team_id": "red",
    "team_alias": "The reds",
    "models": [],
    "max_budget": 500.0,
    "budget_duration": "30d",
    "spend": 0.0,
    "rpm_limit": None,
    "blocked": False,
}
_USER: dict[str, Any] = {"user_id": "ann", "user_email": "ann@example.com", "max_budget": 50.0, "spend": 0.0}
_CUSTOMER: dict[str, Any] = {"user_id": "bob", "alias": "Bob", "blocked": False, "spend": 0.0}

_TEAM_OPERATIONS = [
    post(
        "team/new",
        TEAMS,
        "Make a team",
        serializers.NewTeam,
        {"team_id": "red", "team_alias": "The reds", "max_budget": 500, "budget_duration": "30d"},
        _TEAM,
    ),
    post(
        "team/update",
        TEAMS,
        "Change a team: what is left out stays, null clears",
        serializers.UpdateTeam,
        {"team_id": "red", "tpm_limit": 1_000_000},
        {"data": _TEAM},
    ),
    post(
        "team/member_add",
        TEAMS,
        "Note who belongs to a team",
        serializers.AddMembers,
        {"team_id": "red", "member": {"user_id": "ann", "role": "user"}},
        {"team_id": "red", "team_alias": "The reds"},
    ),
    post(
        "team/member_delete",
        TEAMS,
        "Note who belongs to a team no longer",
        serializers.DeleteMember,
        {"team_id": "red", "user_id": "ann"},
        {"team_id": "red", "team_alias": "The reds"},
    ),
    get(
        "team/info",
        TEAMS,
        "Read a team with its keys",
        serializers.InfoOfTeam,
        {"team_id": "red"},
        {"team_id": "red", "team_info": {"team_alias": "The reds", "spend": 0.0}, "keys": []},
    ),
    get("team/list", TEAMS, "List teams", serializers.ListTeams, {}, [_TEAM]),
    get(
        "v2/team/list",
        TEAMS,
        "List teams, page by page",
        serializers.PageTeams,
        {"page": 1, "page_size": 10},
        {"teams": [_TEAM], "total": 1, "page": 1, "page_size": 10, "total_pages": 1},
    ),
    post("team/block", TEAMS, "Refuse all keys of a team", serializers.TeamReference, {"team_id": "red"}, _TEAM),
    post("team/unblock", TEAMS, "Let them call again", serializers.TeamReference, {"team_id": "red"}, _TEAM),
    post(
        "team/delete",
        TEAMS,
        "Delete teams and their keys",
        serializers.DeleteTeams,
        {"team_ids": ["red"]},
        {"deleted_teams": ["red"]},
    ),
]
_USER_OPERATIONS = [
    post(
        "user/new",
        USERS,
        "Make an owner of keys, and a first key unless auto_create_key is false",
        serializers.NewUser,
        {"user_id": "ann", "user_email": "ann@example.com", "max_budget": 50, "auto_create_key": False},
        _USER,
    ),
    post(
        "user/update",
        USERS,
        "Change a user: what is left out stays, null clears",
        serializers.UpdateUser,
        {"user_id": "ann", "rpm_limit": 600},
        {"user_id": "ann"},
    ),
    get(
        "user/info",
        USERS,
        "Read a user with their keys",
        serializers.InfoOfUser,
        {"user_id": "ann"},
        {"user_id": "ann", "user_info": _USER, "keys": []},
    ),
    get("v2/user/info", USERS, "Read a user alone", serializers.InfoOfUser, {"user_id": "ann"}, _USER),
    get(
        "user/list",
        USERS,
        "List users, page by page",
        serializers.PageUsers,
        {"page": 1},
        {"users": [_USER], "total": 1, "page": 1, "total_pages": 1},
    ),
    post("user/delete", USERS, "Delete users and their keys", serializers.DeleteUsers, {"user_ids": ["ann"]}, 1),
]


def _customers(prefix: str) -> list[Operation]:
    named, references = {"end_user_id": "bob"}, {"user_ids": ["bob"]}
    kind = serializers.CustomerReferences
    return [
        post(
            f"{prefix}/new",
            CUSTOMERS,
            "Give an end user limits",
            serializers.CustomerFields,
            {"user_id": "bob", "alias": "Bob", "max_budget": 1, "budget_duration": "1d"},
            _CUSTOMER,
        ),
        post(
            f"{prefix}/update",
            CUSTOMERS,
            "Change an end user: what is left out stays, null clears",
            serializers.CustomerFields,
            {"user_id": "bob", "rpm_limit": 10},
            _CUSTOMER,
        ),
        get(f"{prefix}/info", CUSTOMERS, "Read an end user", serializers.InfoOfCustomer, named, _CUSTOMER),
        get(f"{prefix}/list", CUSTOMERS, "List end users", serializers.ListCustomers, {}, [_CUSTOMER]),
        post(
            f"{prefix}/block",
            CUSTOMERS,
            "Refuse the calls of end users",
            kind,
            references,
            {"blocked_users": [_CUSTOMER]},
        ),
        post(f"{prefix}/unblock", CUSTOMERS, "Let them call again", kind, references, {"blocked_users": []}),
        post(
            f"{prefix}/delete",
            CUSTOMERS,
            "Forget end users and their limits",
            kind,
            references,
            {"deleted_customers": 1},
        ),
    ]


OPERATIONS: list[Operation] = [
    *_TEAM_OPERATIONS,
    *_USER_OPERATIONS,
    *_customers("customer"),
    *_customers("end_user"),
]
