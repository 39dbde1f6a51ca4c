"""Fields of the key API that take exactly the JSON type they name, where DRF's would convert."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from rest_framework import serializers

from keys.durations import expiry
from keys.identity import KEY_TYPES
from keys.validation import LARGEST_BUDGET, MOST_MODELS, validate_model_limits

LONGEST_METADATA = 65_536  # characters of JSON
NEVER = "-1"
SMALLEST_BUDGET = Decimal("0.00000001")

IN_METADATA = ("model_rpm_limit", "model_tpm_limit")
"""The limits that LiteLLM keeps inside `metadata`."""

_nothing = re.compile(r"0+(?:mo|[smhdw])?")

# LiteLLM's words for lists of models. A team's list holds for its keys in any case.
_ALL_MODELS = {"all-team-models", "all-proxy-models"}
_NO_MODELS = "no-default-models"


class StrictText(serializers.CharField):
    """A JSON string; DRF would take numbers too."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"trim_whitespace": False, "max_length": 255, **kwargs})

    def to_internal_value(self, data: object) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictInteger(serializers.IntegerField):
    """A JSON integer; DRF would take strings, fractions and booleans too."""

    def to_internal_value(self, data: object) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictBoolean(serializers.BooleanField):
    """A JSON boolean; DRF would take "yes" and 1 too."""

    def to_internal_value(self, data: object) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=type(data).__name__)
        return data


class Lifetime(serializers.Field[datetime | None, str, Any, Any]):
    """A duration, read as the time at which it ends. `-1` means never where `can_be_never`."""

    default_error_messages = {
        "invalid": "Not a duration; write a number with s, m, h, d, w or mo, such as 30d, or a word such as monthly."
    }

    def __init__(self, *, can_be_never: bool = False, **kwargs: Any) -> None:
        self.can_be_never = can_be_never
        super().__init__(**kwargs)

    def to_internal_value(self, data: object) -> datetime | None:
        if self.can_be_never and data == NEVER:
            return None
        try:
            return expiry(data if isinstance(data, str) else "", timezone.now())
        except ValueError:
            self.fail("invalid")


class GracePeriod(Lifetime):
    """How long replaced secrets work on: a duration. Null, "" and a number of 0 (`0s`) are no time at all."""

    def to_internal_value(self, data: object) -> timedelta:  # type: ignore[override]
        if isinstance(data, str) and (not data or _nothing.fullmatch(data)):
            return timedelta(0)
        end = super().to_internal_value(data)
        return end - timezone.now() if end else timedelta(0)


class ModelName(StrictText):
    """The name of a model, or a pattern with `*`."""

    def to_internal_value(self, data: object) -> str:
        name = super().to_internal_value(data)
        if name == _NO_MODELS:
            raise serializers.ValidationError(f"'{name}' has no meaning here; name the models, or give [] for all.")
        return name


class ModelList(serializers.ListField):
    """Names of models and patterns. LiteLLM's `all-team-models` and `all-proxy-models` are the empty list."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"child": ModelName(), "max_length": MOST_MODELS, **kwargs})

    def to_internal_value(self, data: Any) -> list[Any]:
        names = super().to_internal_value(data)
        return [] if _ALL_MODELS.intersection(names) else names


class Tags(serializers.ListField):
    """A list of texts."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"child": StrictText(), "max_length": MOST_MODELS, **kwargs})


class Dollars(serializers.FloatField):
    """US dollars: a JSON number, kept to 1e-8 dollars."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"min_value": 0, "max_value": LARGEST_BUDGET, **kwargs})

    def to_internal_value(self, data: object) -> Decimal:  # type: ignore[override]
        if not isinstance(data, int | float) or isinstance(data, bool):
            self.fail("invalid")
        self.run_validators(data)  # before it is rounded, which one that is far too large cannot be
        return Decimal(str(data)).quantize(SMALLEST_BUDGET)


class KeyType(StrictText):
    """What the key is for. LiteLLM's `read_only` has no effect here yet."""

    def to_internal_value(self, data: object) -> str:
        key_type = super().to_internal_value(data)
        if key_type not in KEY_TYPES:
            fault = "'read_only' has no effect here yet" if key_type == "read_only" else "Unknown type"
            raise serializers.ValidationError(f"{fault}; choose one of these: {', '.join(KEY_TYPES)}.")
        return key_type


class Metadata(serializers.DictField):
    """A JSON object. Its `tags`, copied to every row of the request log, are texts."""

    def to_internal_value(self, data: object) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("not_a_dict", input_type=type(data).__name__)
        tags = data.get("tags")
        if tags is not None and not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
            raise serializers.ValidationError("'tags' must be a list of strings.")
        for name in IN_METADATA:
            if data.get(name):
                _check_limits_inside(name, data[name])
        if len(json.dumps(data)) > LONGEST_METADATA:
            raise serializers.ValidationError(f"Longer than {LONGEST_METADATA} characters of JSON.")
        return data


class BudgetLimits(serializers.JSONField):
    """A list of budgets. When one starts anew, which LiteLLM's answers tell, is not for the caller to say."""

    def to_internal_value(self, data: Any) -> Any:
        budgets = super().to_internal_value(data)
        if not isinstance(budgets, list):
            return budgets
        return [_without(one, "reset_at") if isinstance(one, dict) else one for one in budgets]


class ModelBudgets(serializers.JSONField):
    """Models and a budget for each, in either of LiteLLM's spellings."""

    _names = {"max_budget": "budget_limit", "budget_duration": "time_period"}

    def to_internal_value(self, data: Any) -> Any:
        budgets = super().to_internal_value(data)
        if not isinstance(budgets, dict):
            return budgets
        return {model: self._spelt(one) for model, one in budgets.items()}

    def _spelt(self, budget: Any) -> Any:
        if not isinstance(budget, dict):
            return budget
        return {self._names.get(name, name): value for name, value in _without(budget, "reset_at").items()}


def _without(budget: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in budget.items() if key != name}


def _check_limits_inside(name: str, value: object) -> None:
    try:
        validate_model_limits(value)
    except ValidationError as error:
        raise serializers.ValidationError(f"'{name}': {error.messages[0]}") from error
