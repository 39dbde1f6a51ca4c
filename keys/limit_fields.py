"""The fields that say what a key, a team, an owner or an end user may use: in, as columns, and out in LiteLLM's shape.

Where LiteLLM keeps a limit inside `metadata` (`model_rpm_limit`, `model_tpm_limit`), it may stand there too: it is
kept in its column, and answers show it in both places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from rest_framework import serializers

from keys.fields import (
    IN_METADATA,
    BudgetLimits,
    Dollars,
    Metadata,
    ModelBudgets,
    ModelList,
    StrictBoolean,
    StrictInteger,
    StrictText,
    Tags,
)
from keys.models.limited import Limited
from keys.spending import Spending
from keys.strict import StrictSerializer
from keys.validation import (
    LARGEST_INTEGER,
    validate_budget_limits,
    validate_model_budgets,
    validate_model_limits,
    validate_period,
    validate_shadow,
)

LARGEST_TOKENS = 9_000_000_000_000_000
LONGEST_PERIOD = 20

_CLEARED: Mapping[str, Callable[[], Any]] = {
    "models": list,
    "metadata": dict,
    "blocked": bool,
    "model_rpm_limit": dict,
    "model_tpm_limit": dict,
    "budget_duration": str,
    "budget_limits": list,
    "model_max_budget": dict,
    "token_budget_duration": str,
    "shadow_limits": list,
}


def optional(field: type[serializers.Field[Any, Any, Any, Any]], **options: Any) -> Any:
    """A field that may be left out, or be null."""
    return field(required=False, allow_null=True, **options)


def _checked(check: Callable[[object], None], field: type[serializers.JSONField] = serializers.JSONField) -> Any:
    return optional(field, validators=[check])


def _count(largest: int = LARGEST_INTEGER) -> Any:
    return optional(StrictInteger, min_value=0, max_value=largest)


def _period() -> Any:
    return optional(StrictText, allow_blank=True, max_length=LONGEST_PERIOD, validators=[validate_period])


class LimitFields(StrictSerializer):
    """What may be said of whatever has limits. Null clears."""

    models = optional(ModelList)
    metadata = optional(Metadata)
    tags = optional(Tags)
    blocked = optional(StrictBoolean)
    rpm_limit = _count()
    tpm_limit = _count()
    max_parallel_requests = _count()
    model_rpm_limit = _checked(validate_model_limits)
    model_tpm_limit = _checked(validate_model_limits)
    max_budget = optional(Dollars)
    budget_duration = _period()
    budget_limits = _checked(validate_budget_limits, BudgetLimits)
    model_max_budget = _checked(validate_model_budgets, ModelBudgets)
    soft_budget = optional(Dollars)
    token_budget = _count(LARGEST_TOKENS)
    token_budget_duration = _period()
    shadow_limits = _checked(validate_shadow)


LIMIT_FIELDS = frozenset(LimitFields().fields)


def limit_columns(fields: Mapping[str, Any], row: Limited | None = None) -> dict[str, Any]:
    """The columns that the validated fields of LimitFields set; other fields are left aside.

    `row` is what is changed: its metadata stay where only `tags` are given.
    """
    columns = {
        name: _CLEARED[name]() if value in (None, "") and name in _CLEARED else value
        for name, value in fields.items()
        if name in LIMIT_FIELDS and name != "tags"
    }
    if "metadata" in columns:
        columns["metadata"] = dict(columns["metadata"])
        for name in IN_METADATA:
            inside = columns["metadata"].pop(name, _ABSENT)
            if inside is not _ABSENT:
                columns.setdefault(name, inside or {})
    if "tags" in fields:
        metadata = columns.get("metadata", row.metadata if row else {})
        rest = {name: value for name, value in metadata.items() if name != "tags"}
        columns["metadata"] = {**rest, "tags": fields["tags"]} if fields["tags"] else rest
    return columns


_ABSENT = object()


def limits_answer(row: Limited, spending: Spending) -> dict[str, Any]:
    """The row's limits, and what was spent, in LiteLLM's shape."""
    soft_budget = _number(row.soft_budget)
    inside = {name: getattr(row, name) for name in IN_METADATA if getattr(row, name)}
    return {
        "models": row.models,
        "metadata": {**row.metadata, **inside},
        "tags": row.metadata.get("tags"),
        "blocked": row.blocked,
        "rpm_limit": row.rpm_limit,
        "tpm_limit": row.tpm_limit,
        "max_parallel_requests": row.max_parallel_requests,
        "model_rpm_limit": row.model_rpm_limit or None,
        "model_tpm_limit": row.model_tpm_limit or None,
        "max_budget": _number(row.max_budget),
        "budget_duration": row.budget_duration or None,
        "budget_reset_at": spending.resets_at and spending.resets_at.isoformat(),
        "budget_limits": row.budget_limits or None,
        "model_max_budget": row.model_max_budget,
        "soft_budget": soft_budget,
        "litellm_budget_table": None if soft_budget is None else {"soft_budget": soft_budget},
        "token_budget": row.token_budget,
        "token_budget_duration": row.token_budget_duration or None,
        "shadow_limits": row.shadow_limits,
        "spend": spending.dollars,
    }


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)
