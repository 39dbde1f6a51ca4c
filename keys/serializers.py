"""What a request to the key API may hold. Names and meanings are LiteLLM's.

Stricter than LiteLLM: a field that is not known is refused, and so is one that has no effect here, unless it is empty
(an ignored `tpd_limit` would be a hole).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rest_framework import serializers

from keys import crypto
from keys.errors import FieldMissing
from keys.fields import Dollars, KeyType, Lifetime, StrictInteger, StrictText
from keys.identity import DEFAULT, ENDPOINT_CLASSES
from keys.limit_fields import LimitFields, limit_columns, optional
from keys.models import VirtualKey
from keys.strict import StrictSerializer, validate
from keys.validation import (
    HIGHEST_PRIORITY,
    LARGEST_INTEGER,
    default_endpoint_classes,
    validate_aliases,
    validate_networks,
    validate_routes,
    validate_upstreams,
)

__all__ = [
    "LARGEST_INTEGER",
    "DeleteKeys",
    "GenerateKey",
    "KeyReference",
    "ListQuery",
    "StrictSerializer",
    "UpdateKey",
    "columns",
    "validate",
]

MOST_ITEMS = 1_000

# LiteLLM's fields that have no effect here.
INERT_FIELDS = frozenset(
    """
    access_group_ids agent_id allowed_cache_controls allowed_passthrough_routes allowed_vector_store_indexes auto_rotate
    budget_fallbacks budget_id config default_estimated_output_tokens default_estimated_output_tokens_per_model
    denied_passthrough_routes disable_global_guardrails enable_prompt_caching end_user_budget_id enforced_params
    guardrails mcp_rpm_limit object_permission organization_id permissions policies project_id prompts
    rotation_interval router_settings rpm_limit_type send_invite_email tag_rpm_limit temp_budget_expiry
    temp_budget_increase throttle_on_budget_exceeded tpd_limit tpm_limit_type
    """.split()
)
INERT_QUERY = frozenset(
    """
    access_group_id agent_id expand expires include_created_by_keys include_team_keys organization_id project_id
    search status substring_matching team_id
    """.split()
)


class KeyFields(LimitFields):
    """What can be said of a key."""

    inert = INERT_FIELDS

    key_alias = optional(StrictText, allow_blank=True)
    duration = optional(Lifetime)
    aliases = optional(serializers.JSONField, validators=[validate_aliases])
    allowed_upstreams = optional(serializers.JSONField, validators=[validate_upstreams])
    allowed_routes = optional(serializers.JSONField, validators=[validate_routes])
    allowed_ips = optional(serializers.JSONField, validators=[validate_networks])
    priority = optional(StrictInteger, min_value=-HIGHEST_PRIORITY, max_value=HIGHEST_PRIORITY)
    key_type = optional(KeyType)
    user_id = optional(StrictText, allow_blank=True)
    team_id = optional(StrictText, allow_blank=True, max_length=64)
    spend = optional(Dollars)
    endpoint_classes = optional(serializers.ListField, child=serializers.ChoiceField(ENDPOINT_CLASSES), max_length=10)


class GenerateKey(KeyFields):
    """POST /key/generate."""

    key = StrictText(required=False, allow_null=True, max_length=crypto.LONGEST_KEY)


class UpdateKey(KeyFields):
    """POST /key/update: `key`, or else `key_alias`, says which key."""

    key = StrictText(required=False, allow_null=True, max_length=crypto.LONGEST_KEY)
    duration = Lifetime(required=False, allow_null=True, can_be_never=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("key") and not attrs.get("key_alias"):
            raise FieldMissing("key: Name the key by key or key_alias.", param="key")
        return attrs


class KeyReference(StrictSerializer):
    """POST /key/block and /key/unblock."""

    key = StrictText(max_length=crypto.LONGEST_KEY)


class DeleteKeys(StrictSerializer):
    """POST /key/delete."""

    keys = serializers.ListField(
        child=StrictText(max_length=crypto.LONGEST_KEY), required=False, allow_null=True, max_length=MOST_ITEMS
    )
    key_aliases = serializers.ListField(child=StrictText(), required=False, allow_null=True, max_length=MOST_ITEMS)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("keys") and not attrs.get("key_aliases"):
            raise FieldMissing("keys: Name the keys by keys or key_aliases.", param="keys")
        return attrs


class ListQuery(StrictSerializer):
    """GET /key/list."""

    inert = INERT_QUERY
    sortable = {
        "created_at": "created_at",
        "updated_at": "updated_at",
        "key_alias": "name",
        "user_id": "user_id",
        "expires": "expires_at",
    }

    page = serializers.IntegerField(default=1, min_value=1, max_value=1_000_000)
    size = serializers.IntegerField(default=10, min_value=1, max_value=100)
    user_id = serializers.CharField(required=False, allow_blank=True, max_length=255)
    key_alias = serializers.CharField(required=False, allow_blank=True, max_length=255)
    key_hash = serializers.CharField(required=False, allow_blank=True, max_length=crypto.LONGEST_KEY)
    return_full_object = serializers.BooleanField(default=False)
    sort_by = serializers.ChoiceField(list(sortable), default="created_at")
    sort_order = serializers.ChoiceField(["asc", "desc"], default="desc")

    def _is_empty(self, name: str, value: object) -> bool:
        # There are no teams, and who reads this list sees every key: both answers mean the same.
        is_moot = name in {"include_team_keys", "include_created_by_keys"}
        return is_moot or str(value).lower() in {"", "false"}


# What null makes of a column; None where nothing stands here.
_CLEARED: Mapping[str, Callable[[], Any]] = {
    "aliases": dict,
    "allowed_upstreams": list,
    "allowed_routes": list,
    "allowed_ips": list,
    "priority": int,
    "key_type": lambda: DEFAULT,
    "endpoint_classes": default_endpoint_classes,
}
_COLUMNS = {
    "key_alias": "name",
    "duration": "expires_at",
    "user_id": "user_id",
    "team_id": "team_id",
    **{name: name for name in _CLEARED},
}


def columns(fields: Mapping[str, Any], key: VirtualKey | None = None) -> dict[str, Any]:
    """The columns of VirtualKey that validated fields set. Null clears: a list, an object, a default.

    `key` is the one that is changed.
    """
    own = {
        _COLUMNS[name]: _CLEARED.get(name, _none)() if value in (None, "") else value
        for name, value in fields.items()
        if name in _COLUMNS
    }
    return {**own, **limit_columns(fields, key)}


def _none() -> None:
    return None
