"""What is answered about teams, users and customers, in LiteLLM's shapes. What is not kept here is null or empty."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from django.db.models import Count, QuerySet

from keys import answers as key_answers
from keys.groups_api import members
from keys.limit_fields import limits_answer
from keys.models import EndUser, Group, Owner, Team, VirtualKey
from keys.spending import Spending, spendings

Row = TypeVar("Row", bound=Group)
Item = TypeVar("Item")
Answer = dict[str, Any]
Describe = Callable[[Row, Spending], Answer]

ROWS_AT_ONCE = 500
"""So many names stand in one query."""

_NULL_OF_TEAMS = """
    access_group_ids default_team_member_models litellm_model_table model_id object_permission object_permission_id
    organization_id router_settings team_member_permissions tpd_limit
    """.split()
_NULL_OF_USERS = "object_permission object_permission_id organization_id organization_memberships sso_user_id".split()
_NULL_OF_CUSTOMERS = """
    allowed_model_region budget_id default_model object_permission object_permission_id
    """.split()
_BUDGET_TABLE = """
    soft_budget max_budget max_parallel_requests tpm_limit rpm_limit model_max_budget budget_duration budget_reset_at
    """.split()


def _batches(rows: Iterable[Item]) -> Iterator[list[Item]]:
    every = list(rows)
    return (every[start : start + ROWS_AT_ONCE] for start in range(0, len(every), ROWS_AT_ONCE))


def several(rows: Iterable[Row], describe: Describe[Row]) -> list[Answer]:
    """Many rows; a query for what each 500 have spent."""
    found: list[Answer] = []
    for some in _batches(rows):
        spent = spendings(some)
        found += (describe(row, spent[row.pk]) for row in some)
    return found


def one(row: Row, describe: Describe[Row]) -> Answer:
    """One row."""
    return several([row], describe)[0]


def _common(row: Group, spent: Spending) -> Answer:
    limits = limits_answer(row, spent)
    del limits["litellm_budget_table"]  # teams and users have none
    return {
        **limits,
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
        "created_by": row.created_by or None,
    }


def team(row: Team, spent: Spending) -> Answer:
    """A team."""
    people = members.of(row)
    return {
        "team_id": row.team_id,
        "team_alias": row.alias or None,
        "members_with_roles": people,
        **{
            name: [person["user_id"] for person in people if person["role"] == role and person["user_id"]]
            for name, role in (("members", members.USER), ("admins", members.ADMIN))
        },
        **_common(row, spent),
        **dict.fromkeys(_NULL_OF_TEAMS),
        "model_spend": {},
        "policies": [],
        "allow_team_guardrail_config": False,
    }


def user(row: Owner, spent: Spending, teams: Sequence[str] = ()) -> Answer:
    """A user, with the ids of their teams."""
    return {
        "user_id": row.user_id,
        "user_email": row.email,
        "user_alias": row.alias or None,
        "user_role": row.role or None,
        "teams": list(teams),
        **_common(row, spent),
        **dict.fromkeys(_NULL_OF_USERS),
        "model_spend": {},
        "policies": [],
        "allowed_cache_controls": [],
    }


def customer(row: EndUser, spent: Spending) -> Answer:
    """A customer. LiteLLM keeps a customer's limits in a budget of their own: they stand there too."""
    flat = _common(row, spent)
    has_limits = any(flat[name] not in (None, {}) for name in _BUDGET_TABLE if name != "budget_reset_at")
    table = {
        "budget_id": None,
        **{name: flat[name] for name in _BUDGET_TABLE},
        "tpd_limit": None,
        "allowed_models": None,
        "created_at": flat["created_at"],
    }
    return {
        "user_id": row.end_user_id,
        "alias": row.alias or None,
        **flat,
        **dict.fromkeys(_NULL_OF_CUSTOMERS),
        "litellm_budget_table": table if has_limits else None,
    }


def keys(rows: QuerySet[VirtualKey], most: int) -> list[Answer]:
    """The newest keys, as /key/list shows them whole."""
    return key_answers.full_objects(rows.prefetch_related("secrets")[:most])


def counts(rows: QuerySet[VirtualKey], column: str, ids: Iterable[str]) -> Mapping[str, int]:
    """How many keys each team or user has; a query for each 500."""
    found: dict[str, int] = {}
    for some in _batches(ids):
        holders = rows.filter(**{f"{column}__in": some}).order_by().values(column)
        found.update(holders.annotate(keys_count=Count("pk")).values_list(column, "keys_count"))
    return found


def pages(rows: QuerySet[Row], query: Mapping[str, Any]) -> tuple[list[Row], Answer]:
    """The rows of one page, and what LiteLLM says of pages."""
    total, size = rows.count(), query["page_size"]
    start = (query["page"] - 1) * size
    numbers = {"total": total, "page": query["page"], "page_size": size, "total_pages": -(-total // size)}
    return list(rows[start : start + size]), numbers
