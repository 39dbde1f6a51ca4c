"""What a request to the key API may hold. Names and meanings are LiteLLM's.

Stricter than LiteLLM: a field that is not known is refused, and so is one that has no effect here, unless it is empty
(an ignored `tpd_limit` would be a hole).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rest_framework import serializers

from common.errors import InvalidRequest
from keys import crypto
from keys.errors import FieldMissing
from keys.fields import Dollars, GracePeriod, KeyType, Lifetime, StrictInteger, StrictText
from keys.identity import DEFAULT, ENDPOINT_CLASSES
from keys.limit_fields import LimitFields, limit_columns, optional
from keys.models import VirtualKey
from keys.strict import StrictSerializer, validate
from keys.validation import (
    HIGHEST_PRIORITY,
    LARGEST_INTEGER,
    PLAYGROUND_ONLY,
    default_endpoint_classes,
    is_the_playgrounds,
    validate_aliases,
    validate_networks,
    validate_routes,
    validate_upstreams,
)

__all__ = [
    "LARGEST_INTEGER",
    "BulkUpdate",
    "GenerateKey",
    "KeyReference",
    "KeysReference",
    "RegenerateKey",
    "ResetSpend",
    "ServiceAccountKey",
    "StrictSerializer",
    "UpdateKey",
    "check_name",
    "columns",
    "validate",
]

MOST_ITEMS = 1_000
MOST_UPDATES = 500  # as LiteLLM

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

    key = optional(StrictText, max_length=crypto.LONGEST_KEY)


class ServiceAccountKey(GenerateKey):
    """POST /key/service-account/generate: a key of a team, without an owner."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("team_id"):
            raise InvalidRequest("team_id is required for service account keys.", param="team_id")
        if attrs.get("user_id"):
            raise InvalidRequest("user_id: A service account key has no owner; leave it out.", param="user_id")
        return attrs


class UpdateKey(KeyFields):
    """POST /key/update: `key`, or else `key_alias`, says which key."""

    key = optional(StrictText, max_length=crypto.LONGEST_KEY)
    duration = optional(Lifetime, can_be_never=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("key") and not attrs.get("key_alias"):
            raise FieldMissing("key: Name the key by key or key_alias.", param="key")
        return attrs


class RegenerateKey(KeyFields):
    """POST /key/regenerate and /key/{key}/regenerate: a new secret, and changes as of /key/update.

    Without `key`, `key_alias` says which key.
    """

    inert = INERT_FIELDS | {"new_master_key"}

    key = optional(StrictText, max_length=crypto.LONGEST_KEY)
    duration = optional(Lifetime, can_be_never=True)
    new_key = optional(StrictText, max_length=crypto.LONGEST_KEY)
    grace_period = optional(GracePeriod)


class KeyReference(StrictSerializer):
    """POST /key/block and /key/unblock: `key`, or else `key_alias`, says which key. LiteLLM knows only `key`."""

    key = StrictText(max_length=crypto.LONGEST_KEY, required=False)
    key_alias = optional(StrictText)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "key" not in attrs and not attrs.get("key_alias"):
            raise FieldMissing("key: Name the key by key or key_alias.", param="key")
        return attrs


class KeysReference(StrictSerializer):
    """POST /key/delete and /v2/key/info."""

    keys = optional(serializers.ListField, child=StrictText(max_length=crypto.LONGEST_KEY), max_length=MOST_ITEMS)
    key_aliases = optional(serializers.ListField, child=StrictText(), max_length=MOST_ITEMS)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("keys") and not attrs.get("key_aliases"):
            raise FieldMissing("keys: Name the keys by keys or key_aliases.", param="keys")
        return attrs


class BulkUpdate(StrictSerializer):
    """POST /key/bulk_update: what would be bodies of /key/update."""

    keys = serializers.ListField(child=serializers.JSONField(), min_length=1, max_length=MOST_UPDATES)


class ResetSpend(StrictSerializer):
    """POST /key/{key}/reset_spend."""

    reset_to = Dollars()


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

    `key` is the one that is changed. Raises InvalidRequest for a name that is the playground's.
    """
    if key is None or fields.get("key_alias") != key.name:
        check_name(fields)
    own = {
        _COLUMNS[name]: _CLEARED.get(name, _none)() if value in (None, "") else value
        for name, value in fields.items()
        if name in _COLUMNS
    }
    return {**own, **limit_columns(fields, key)}


def check_name(fields: Mapping[str, Any]) -> None:
    """Raises InvalidRequest for a new name that is the playground's."""
    if is_the_playgrounds(fields.get("key_alias")):
        raise InvalidRequest(f"key_alias: {PLAYGROUND_ONLY}", param="key_alias")


def _none() -> None:
    return None
