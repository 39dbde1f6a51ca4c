"""What a request to the model API may hold. Names and meanings are LiteLLM's; unknown fields are refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rest_framework import serializers

from common.errors import InvalidRequest
from gateway.config.model_list import LARGEST_PRICE, LARGEST_WEIGHT, OWN_ID, PARAMS, PROVIDERS
from gateway.config.sections import REFERENCE
from gateway.config.wanted import hourly_price, price
from keys.errors import FieldMissing
from keys.fields import LONGEST_METADATA, StrictInteger, StrictText
from keys.serializers import LARGEST_INTEGER, StrictSerializer

# LiteLLM's parameters that have no effect here; they may be sent empty, as its clients do.
INERT_PARAMS = frozenset(
    """
    budget_duration configurable_clientside_auth_params default_api_key_rpm_limit
    default_api_key_tpm_limit drop_params extra_headers itpm keepalive_seconds
    litellm_credential_name litellm_trace_id max_budget max_file_size_mb max_retries
    merge_reasoning_content_in_choices mock_response order organization otpm region_name
    rpd tag_regex tags tpd use_in_pass_through use_litellm_proxy
    """.split()
)
INERT_QUERY = frozenset("debug include_team_models sortBy sortOrder teamId user_models_only".split())


class StrictNumber(serializers.FloatField):
    """A JSON number; DRF would take strings and booleans too."""

    def to_internal_value(self, data: object) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return super().to_internal_value(data)


class Price(StrictNumber):
    """US dollars for one token, second or call."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"min_value": 0, "max_value": LARGEST_PRICE, **kwargs})

    def to_internal_value(self, data: object) -> Decimal:  # type: ignore[override]
        number = super().to_internal_value(data)
        self.run_validators(number)  # before it is rounded, which one that is far too large cannot be
        return self.rounded(number)

    def rounded(self, number: float) -> Decimal:
        """As the column keeps it."""
        return price(number) or Decimal(0)


class HourlyPrice(Price):
    """US dollars for an hour of the server."""

    def rounded(self, number: float) -> Decimal:
        return hourly_price(number) or Decimal(0)


def _optional(field: type[serializers.Field[Any, Any, Any, Any]], **options: Any) -> Any:
    return field(required=False, allow_null=True, **options)


class Params(StrictSerializer):
    """`litellm_params`."""

    inert = INERT_PARAMS

    model = _optional(StrictText, max_length=250)
    custom_llm_provider = _optional(serializers.ChoiceField, choices=PROVIDERS)
    api_base = _optional(StrictText, max_length=500)
    api_key = _optional(StrictText, max_length=4096, allow_blank=True)
    weight = _optional(StrictInteger, min_value=1, max_value=LARGEST_WEIGHT)
    rpm = _optional(StrictInteger, min_value=0, max_value=LARGEST_INTEGER)
    tpm = _optional(StrictInteger, min_value=0, max_value=LARGEST_INTEGER)
    timeout = _optional(StrictNumber, min_value=0.01, max_value=1e6)
    stream_timeout = _optional(StrictNumber, min_value=0.01, max_value=1e6)
    input_cost_per_token = _optional(Price)
    output_cost_per_token = _optional(Price)
    cache_read_input_token_cost = _optional(Price)
    cost_per_second = _optional(Price)
    input_cost_per_second = _optional(Price)
    output_cost_per_second = _optional(Price)
    cost_per_request = _optional(Price)
    price_per_hour = _optional(HourlyPrice)

    def validate_model(self, model: str | None) -> str | None:
        provider, slash, name = (model or "").partition("/")
        if model is not None and not (slash and name and provider in PROVIDERS):
            raise serializers.ValidationError(
                "Must be hosted_vllm/NAME, vllm/NAME or openai/NAME: this gateway stands in front of vLLM only."
            )
        return name or None

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        # Who may write models may not read the gateway's environment, its master key above all.
        for name, value in attrs.items():
            if isinstance(value, str) and value.startswith(REFERENCE):
                raise InvalidRequest(f"{name}: os.environ/ is for the configuration file only.", param=name)
        return attrs


class Info(serializers.DictField):
    """`model_info`: an object of the caller's own, and the `id`."""

    def to_internal_value(self, data: object) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("not_a_dict", input_type=type(data).__name__)
        own = data.get("id")
        if own is not None and not (isinstance(own, str) and 0 < len(own) <= 200):
            raise serializers.ValidationError("'id' must be a string of 1 to 200 characters.")
        if len(json.dumps(data)) > LONGEST_METADATA:
            raise serializers.ValidationError(f"Longer than {LONGEST_METADATA} characters of JSON.")
        return data


class NewModel(StrictSerializer):
    """POST /model/new."""

    model_name = StrictText(max_length=200)
    litellm_params = Params()
    model_info = Info(required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs["litellm_params"].get("model"):
            raise FieldMissing("litellm_params.model: This field is required.", param="litellm_params.model")
        if str((attrs.get("model_info") or {}).get("id", "")).startswith(OWN_ID):
            raise InvalidRequest(f"model_info: An id of your own must not begin with {OWN_ID}.", param="model_info")
        return attrs


class UpdateModel(StrictSerializer):
    """POST /model/update: `model_info.id` says which; omitted fields stay, null clears."""

    model_name = _optional(StrictText, max_length=200)
    litellm_params = _optional(Params)
    model_info = Info()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs["model_info"].get("id"):
            raise FieldMissing("model_info: Name the model by model_info.id.", param="model_info")
        return attrs


class DeleteModel(StrictSerializer):
    """POST /model/delete: `id`, or `model_info.id` as in the others."""

    id = StrictText(required=False, max_length=200)
    model_info = Info(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        named = attrs.get("id") or (attrs.get("model_info") or {}).get("id")
        if not named:
            raise FieldMissing("id: Name the model by id.", param="id")
        return {"id": named}


class InfoQuery(StrictSerializer):
    """GET /model/info."""

    inert = INERT_QUERY

    litellm_model_id = StrictText(required=False, allow_blank=True, max_length=200)


class PageQuery(StrictSerializer):
    """GET /v2/model/info."""

    inert = INERT_QUERY

    page = serializers.IntegerField(default=1, min_value=1, max_value=1_000_000)
    size = serializers.IntegerField(default=50, min_value=1, max_value=1000)
    model = StrictText(required=False, allow_blank=True, max_length=200)
    search = StrictText(required=False, allow_blank=True, max_length=200)
    modelId = StrictText(required=False, allow_blank=True, max_length=200)  # noqa: N815 - LiteLLM's name


class GroupQuery(StrictSerializer):
    """GET /model_group/info."""

    model_group = StrictText(required=False, allow_blank=True, max_length=200)


def with_one_name(data: Mapping[str, Any]) -> dict[str, Any]:
    """The body with `litellm_params`, whichever of its two names was sent. Raises InvalidRequest for both."""
    ours, fork = PARAMS
    if fork in data and ours in data:
        raise InvalidRequest(f"{fork} stands beside {ours}; only one of them can hold.", param=fork)
    return {ours if name == fork else name: value for name, value in data.items()}
