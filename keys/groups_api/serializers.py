"""What a request about teams, users and customers may hold. Names and meanings are LiteLLM's.

As strict as the key API: unknown fields are refused, and so are those of LiteLLM's that have no effect here, unless
they are empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from common.errors import InvalidRequest
from keys.errors import FieldMissing
from keys.fields import Dollars, Lifetime, StrictBoolean, StrictText
from keys.groups_api import members
from keys.limit_fields import LimitFields, optional
from keys.models.groups import LONGEST_ID, LONGEST_TEAM_ID
from keys.strict import StrictSerializer
from keys.validation import MOST_ENTRIES, validate_aliases

LARGEST_PAGE = 1_000_000
LONGEST_ROLE = 50

_INERT = frozenset(
    """
    access_group_ids allowed_cache_controls allowed_passthrough_routes allowed_vector_store_indexes budget_fallbacks
    budget_id default_estimated_output_tokens default_estimated_output_tokens_per_model denied_passthrough_routes
    disable_global_guardrails guardrails mcp_rpm_limit object_permission organization_id permissions policies prompts
    router_settings rpm_limit_type tag_rpm_limit tpd_limit tpm_limit_type
    """.split()
)
_INERT_OF_TEAMS = frozenset(
    """
    allow_team_guardrail_config default_team_member_models enforced_batch_output_expires_after
    enforced_file_expires_after model_aliases model_id secret_manager_settings team_member_budget
    team_member_budget_duration team_member_key_duration team_member_permissions team_member_rpm_limit
    team_member_tpm_limit
    """.split()
)
_INERT_OF_USERS = frozenset("agent_id config organizations password send_invite_email sso_user_id".split())
_INERT_OF_CUSTOMERS = frozenset("allowed_model_region budget_reset_at default_model".split())
_INERT_OF_UPDATES = frozenset("aliases auto_create_key duration key_alias team_id".split())


def _user_id(**options: Any) -> StrictText:
    return StrictText(max_length=LONGEST_ID, **options)


def _team_id(**options: Any) -> StrictText:
    return StrictText(max_length=LONGEST_TEAM_ID, **options)


def _ids(longest: int) -> serializers.ListField:
    return serializers.ListField(child=StrictText(max_length=longest), min_length=1, max_length=MOST_ENTRIES)


class GroupFields(LimitFields):
    """What can be said of a team, a user and a customer alike."""

    spend = optional(Dollars)

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value({**data, **_one_spelling(data)})


def _one_spelling(data: Mapping[str, Any]) -> dict[str, Any]:
    """LiteLLM writes the budgets of a key's models in one way and those of a team's in another; both are understood."""
    budgets = data.get("model_max_budget")
    if not isinstance(budgets, dict):
        return {}
    names = {"max_budget": "budget_limit", "budget_duration": "time_period"}
    return {
        "model_max_budget": {
            model: {names.get(name, name): value for name, value in one.items()} if isinstance(one, dict) else one
            for model, one in budgets.items()
        }
    }


# --- Teams


class MemberField(StrictSerializer):
    """One of LiteLLM's members: named by `user_id`, by `user_email`, or by both."""

    user_id = optional(StrictText, max_length=LONGEST_ID)
    user_email = optional(StrictText)
    role = serializers.ChoiceField([members.ADMIN, members.USER], default=members.USER)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("user_id") and not attrs.get("user_email"):
            raise serializers.ValidationError("Name the member by user_id or user_email.")
        return members.member(**attrs)


class TeamFields(GroupFields):
    """What can be said of a team."""

    inert = _INERT | _INERT_OF_TEAMS

    team_alias = optional(StrictText, allow_blank=True)
    members_with_roles = optional(serializers.ListField, child=MemberField(), max_length=MOST_ENTRIES)
    members = optional(serializers.ListField, child=_user_id(), max_length=MOST_ENTRIES)
    admins = optional(serializers.ListField, child=_user_id(), max_length=MOST_ENTRIES)


class NewTeam(TeamFields):
    """POST /team/new."""

    team_id = _team_id(required=False, allow_null=True, allow_blank=True)


class UpdateTeam(TeamFields):
    """POST /team/update."""

    team_id = _team_id()


class TeamReference(StrictSerializer):
    """POST /team/block and /team/unblock."""

    team_id = _team_id()


class DeleteTeams(StrictSerializer):
    """POST /team/delete."""

    team_ids = _ids(LONGEST_TEAM_ID)


class AddMembers(StrictSerializer):
    """POST /team/member_add: one member, or a list of them."""

    inert = frozenset({"allowed_models", "budget_duration", "max_budget_in_team"})

    team_id = _team_id()
    member = serializers.ListField(child=MemberField(), min_length=1, max_length=MOST_ENTRIES)

    def to_internal_value(self, data: Any) -> Any:
        one = data.get("member")
        return super().to_internal_value({**data, "member": [one]} if isinstance(one, dict) else data)


class DeleteMember(StrictSerializer):
    """POST /team/member_delete."""

    team_id = _team_id()
    user_id = optional(StrictText, max_length=LONGEST_ID)
    user_email = optional(StrictText)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("user_id") and not attrs.get("user_email"):
            raise FieldMissing("user_id: Name the member by user_id or user_email.", param="user_id")
        return attrs


# --- Users


class TeamOfUser(StrictSerializer):
    """A team that a new user joins."""

    inert = frozenset({"max_budget_in_team"})

    team_id = _team_id()
    user_role = serializers.ChoiceField([members.ADMIN, members.USER], default=members.USER)


class TeamList(serializers.ListField):
    """Teams by their ids, or as objects with a role."""

    child = TeamOfUser()

    def to_internal_value(self, data: Any) -> list[Any]:
        listed = [{"team_id": one} if isinstance(one, str) else one for one in data] if isinstance(data, list) else data
        return super().to_internal_value(listed)


class UserFields(GroupFields):
    """What can be said of a user."""

    inert = _INERT | _INERT_OF_USERS

    user_email = optional(StrictText, allow_blank=True)
    user_alias = optional(StrictText, allow_blank=True)
    user_role = optional(StrictText, allow_blank=True, max_length=LONGEST_ROLE)
    teams = optional(TeamList, max_length=MOST_ENTRIES)


class NewUser(UserFields):
    """POST /user/new. `key_alias`, `duration`, `aliases` and `team_id` are those of the user's first key."""

    user_id = _user_id(required=False, allow_null=True, allow_blank=True)
    auto_create_key = StrictBoolean(default=True)
    key_alias = optional(StrictText, allow_blank=True)
    duration = optional(Lifetime)
    aliases = optional(serializers.JSONField, validators=[validate_aliases])
    team_id = _team_id(required=False, allow_null=True, allow_blank=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs["auto_create_key"]:
            for name in ("key_alias", "duration", "aliases"):
                if attrs.get(name):
                    raise InvalidRequest(f"{name}: It is the key's, and auto_create_key is false.", param=name)
        return attrs


class UpdateUser(UserFields):
    """POST /user/update: `user_id`, or else `user_email`, says which user."""

    inert = UserFields.inert | _INERT_OF_UPDATES

    user_id = _user_id(required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("user_id") and not attrs.get("user_email"):
            raise FieldMissing("user_id: Name the user by user_id or user_email.", param="user_id")
        return attrs


class DeleteUsers(StrictSerializer):
    """POST /user/delete."""

    user_ids = _ids(LONGEST_ID)


# --- Customers


class CustomerFields(GroupFields):
    """What can be said of a customer."""

    inert = _INERT | _INERT_OF_CUSTOMERS

    user_id = _user_id()
    alias = optional(StrictText, allow_blank=True)


class CustomerReferences(StrictSerializer):
    """POST /customer/delete, /customer/block and /customer/unblock."""

    user_ids = _ids(LONGEST_ID)


# --- Queries


class Query(StrictSerializer):
    """A query string: all values are texts."""

    def _is_empty(self, name: str, value: object) -> bool:
        return str(value).lower() in {"", "false"}


def _text(longest: int = 255) -> Any:
    return serializers.CharField(required=False, allow_blank=True, max_length=longest)


class Page(Query):
    """Which page of a list; without one LiteLLM's lists of teams and customers are whole."""

    page = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST_PAGE)
    page_size = serializers.IntegerField(required=False, min_value=1, max_value=1_000)


class ListCustomers(Page):
    """GET /customer/list."""


class ListTeams(Page):
    """GET /team/list. LiteLLM has `search` only at /v2/team/list."""

    inert = frozenset({"organization_id"})

    user_id = _text(LONGEST_ID)
    search = _text()


class PageTeams(Query):
    """GET /v2/team/list."""

    inert = frozenset({"organization_id", "status"})
    sortable = {"team_id": "team_id", "team_alias": "alias", "created_at": "created_at"}

    page = serializers.IntegerField(default=1, min_value=1, max_value=LARGEST_PAGE)
    page_size = serializers.IntegerField(default=10, min_value=1, max_value=100)
    user_id = _text(LONGEST_ID)
    team_id = _text(LONGEST_TEAM_ID)
    team_alias = _text()
    search = _text()
    search_team_id_match = serializers.ChoiceField(["exact", "prefix"], default="exact")
    sort_by = serializers.ChoiceField(list(sortable), required=False)
    sort_order = serializers.ChoiceField(["asc", "desc"], default="asc")


class PageUsers(Query):
    """GET /user/list."""

    inert = frozenset({"organization_ids", "sso_user_ids"})
    sortable = {
        "user_id": "user_id",
        "user_email": "email",
        "user_alias": "alias",
        "user_role": "role",
        "created_at": "created_at",
    }

    page = serializers.IntegerField(default=1, min_value=1, max_value=LARGEST_PAGE)
    page_size = serializers.IntegerField(default=25, min_value=1, max_value=100)
    role = _text(LONGEST_ROLE)
    user_ids = _text(10_000)
    user_email = _text()
    search = _text()
    team = _text(LONGEST_TEAM_ID)
    sort_by = serializers.ChoiceField(list(sortable), required=False)
    sort_order = serializers.ChoiceField(["asc", "desc"], default="asc")


class InfoOfTeam(Query):
    """GET /team/info."""

    team_id = serializers.CharField(max_length=LONGEST_TEAM_ID)
    key_limit = serializers.IntegerField(default=1_000, min_value=1, max_value=1_000)


class InfoOfUser(Query):
    """GET /user/info."""

    user_id = serializers.CharField(max_length=LONGEST_ID)


class InfoOfCustomer(Query):
    """GET /customer/info."""

    end_user_id = serializers.CharField(max_length=LONGEST_ID)
