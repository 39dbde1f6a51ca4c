"""What a request to the key API may hold. Names and meanings are LiteLLM's.

Stricter than LiteLLM: a field that is not known is refused, and so is one that has no effect here, unless it is empty
(an ignored `max_budget` would be a hole).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from common.errors import InvalidRequest
from keys import crypto
from keys.errors import FieldMissing
from keys.fields import KeyType, Lifetime, Metadata, ModelName, StrictBoolean, StrictInteger, StrictText
from keys.identity import DEFAULT, ENDPOINT_CLASSES
from keys.parsers import refuse_unstorable, shown
from keys.validation import (
    HIGHEST_PRIORITY,
    MOST_MODELS,
    default_endpoint_classes,
    validate_aliases,
    validate_upstreams,
)

LARGEST_INTEGER = 2_147_483_647
MOST_ITEMS = 1_000

# LiteLLM's fields that have no effect here.
INERT_FIELDS = frozenset(
    """
    access_group_ids agent_id allowed_cache_controls allowed_passthrough_routes allowed_routes
    allowed_vector_store_indexes auto_rotate budget_duration budget_fallbacks budget_id budget_limits config
    default_estimated_output_tokens default_estimated_output_tokens_per_model denied_passthrough_routes
    disable_global_guardrails enable_prompt_caching end_user_budget_id enforced_params guardrails max_budget
    mcp_rpm_limit model_max_budget model_rpm_limit model_tpm_limit object_permission organization_id permissions
    policies project_id prompts rotation_interval router_settings rpm_limit rpm_limit_type send_invite_email
    soft_budget spend tag_rpm_limit tags team_id temp_budget_expiry temp_budget_increase throttle_on_budget_exceeded
    tpd_limit tpm_limit tpm_limit_type
    """.split()
)
INERT_QUERY = frozenset(
    """
    access_group_id agent_id expand expires include_created_by_keys include_team_keys organization_id project_id
    search status substring_matching team_id
    """.split()
)
# Values that say what is so anyway.
_DEFAULTS = {"spend": 0}


class StrictSerializer(serializers.Serializer[Any]):
    """Knows its fields: any other is refused, one of LiteLLM's without effect here unless it is empty."""

    inert: frozenset[str] = frozenset()

    def to_internal_value(self, data: Any) -> Any:
        for name in data:
            if name in self.fields:
                continue
            if name not in self.inert:
                raise InvalidRequest(f"Unknown field: {shown(name)}.", param=shown(name))
            if not self._is_empty(name, data[name]):
                raise InvalidRequest(f"{name}: This field has no effect here; leave it out.", param=name)
        return super().to_internal_value(data)

    def _is_empty(self, name: str, value: object) -> bool:
        return value is None or value is False or value in ([], {}, "") or value == _DEFAULTS.get(name)


class KeyFields(StrictSerializer):
    """What can be said of a key."""

    inert = INERT_FIELDS

    key_alias = StrictText(required=False, allow_null=True, allow_blank=True)
    duration = Lifetime(required=False, allow_null=True)
    models = serializers.ListField(child=ModelName(), required=False, allow_null=True, max_length=MOST_MODELS)
    aliases = serializers.JSONField(required=False, allow_null=True, validators=[validate_aliases])
    allowed_upstreams = serializers.JSONField(required=False, allow_null=True, validators=[validate_upstreams])
    priority = StrictInteger(required=False, allow_null=True, min_value=-HIGHEST_PRIORITY, max_value=HIGHEST_PRIORITY)
    key_type = KeyType(required=False, allow_null=True)
    user_id = StrictText(required=False, allow_null=True, allow_blank=True)
    metadata = Metadata(required=False, allow_null=True)
    blocked = StrictBoolean(required=False, allow_null=True)
    max_parallel_requests = StrictInteger(required=False, allow_null=True, min_value=0, max_value=LARGEST_INTEGER)
    endpoint_classes = serializers.ListField(
        child=serializers.ChoiceField(ENDPOINT_CLASSES), required=False, allow_null=True, max_length=10
    )


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


def validate(serializer_class: type[StrictSerializer], data: Mapping[str, Any]) -> dict[str, Any]:
    """The validated fields. Raises InvalidRequest (FieldMissing for a missing one) with one sentence naming the field.

    FieldMissing (422) is also for a page or size out of range, as in LiteLLM.
    """
    refuse_unstorable(data)
    serializer = serializer_class(data=data)
    if serializer.is_valid():
        return dict(serializer.validated_data)
    name, errors = next(iter(serializer.errors.items()))
    detail = _first(errors)
    is_422 = detail.code == "required" or name in {"page", "size"}
    raise (FieldMissing if is_422 else InvalidRequest)(f"{name}: {detail}", param=str(name))


def _first(errors: Any) -> serializers.ErrorDetail:
    while not isinstance(errors, serializers.ErrorDetail):
        errors = next(iter(errors.values() if isinstance(errors, dict) else errors))
    return errors


def columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of VirtualKey that validated fields set. Null clears: a list, an object, a default."""
    cleared: dict[str, Any] = {
        "models": [],
        "aliases": {},
        "allowed_upstreams": [],
        "priority": 0,
        "key_type": DEFAULT,
        "metadata": {},
        "blocked": False,
        "endpoint_classes": default_endpoint_classes(),
    }
    names = {"key_alias": "name", "duration": "expires_at"}
    return {
        names.get(name, name): cleared.get(name) if value in (None, "") else value
        for name, value in fields.items()
        if name != "key"
    }
