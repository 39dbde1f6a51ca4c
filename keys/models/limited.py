"""The columns of whatever has limits: keys, teams, owners and end users. What they mean is in `keys.limits`."""

from __future__ import annotations

from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db.models import (
    BigIntegerField,
    BooleanField,
    CharField,
    DecimalField,
    JSONField,
    PositiveIntegerField,
    Q,
)

from common.versioned import VersionedModel
from keys.validation import (
    validate_budget_limits,
    validate_metadata,
    validate_model_budgets,
    validate_model_limits,
    validate_models,
    validate_period,
    validate_shadow,
)

WITH_SEVERAL = ~Q(budget_limits=[]) | ~Q(model_max_budget={})
"""Rows with budgets that are no columns of their own."""
IN_DOLLARS = Q(max_budget__isnull=False) | WITH_SEVERAL
WITH_BUDGET = IN_DOLLARS | Q(soft_budget__isnull=False) | Q(token_budget__isnull=False)

_POSITIVE = [MinValueValidator(0)]


def _limit(text: str) -> PositiveIntegerField[int | None, int | None]:
    return PositiveIntegerField(null=True, blank=True, help_text=f"{text} Empty means no limit.")


def _dollars(text: str) -> DecimalField[Decimal | None, Decimal | None]:
    return DecimalField(
        max_digits=18, decimal_places=8, null=True, blank=True, validators=_POSITIVE, help_text=f"US dollars. {text}"
    )


def _period(text: str) -> CharField[str, str]:
    return CharField(max_length=20, default="", blank=True, validators=[validate_period], help_text=text)


class Limited(VersionedModel):
    """What it may use, and how much. Names are LiteLLM's."""

    models = JSONField(
        default=list,
        blank=True,
        validators=[validate_models],
        help_text='Allowed models, such as ["my-model", "qwen-*"]; [] allows all.',
    )
    metadata = JSONField(
        default=dict,
        blank=True,
        validators=[validate_metadata],
        help_text='A JSON object; its list "tags" is copied to the request log.',
    )
    blocked = BooleanField(default=False)

    rpm_limit = _limit("Calls a minute.")
    tpm_limit = _limit("Tokens a minute, prompt and completion together.")
    max_parallel_requests = _limit("How many calls may be open at once.")
    model_rpm_limit = JSONField(
        default=dict,
        blank=True,
        validators=[validate_model_limits],
        help_text='Calls a minute for each model, such as {"qwen-*": 60}.',
    )
    model_tpm_limit = JSONField(
        default=dict,
        blank=True,
        validators=[validate_model_limits],
        help_text='Tokens a minute for each model, such as {"qwen-*": 10000}.',
    )
    max_budget = _dollars("What may be spent in each period of the budget.")
    budget_duration = _period("When the budget starts anew, such as 1d or 30d; empty: never.")
    budget_limits = JSONField(
        default=list,
        blank=True,
        validators=[validate_budget_limits],
        help_text='More budgets, such as [{"budget_duration": "1h", "max_budget": 2}].',
    )
    model_max_budget = JSONField(
        default=dict,
        blank=True,
        validators=[validate_model_budgets],
        help_text='Budgets for each model, such as {"qwen-*": {"budget_limit": 5, "time_period": "1d"}}.',
    )
    soft_budget = _dollars("What is reported, and not refused, when it is spent.")
    token_budget = BigIntegerField(
        null=True, blank=True, validators=_POSITIVE, help_text="Tokens in each period. Empty means no limit."
    )
    token_budget_duration = _period("When the token budget starts anew, such as 1d; empty: never.")
    shadow_limits = JSONField(
        default=list,
        blank=True,
        validators=[validate_shadow],
        help_text='Limits that are counted and reported, but refuse nothing, such as ["rpm_limit"].',
    )
    spend_epoch = PositiveIntegerField(default=0, editable=False)
    """Grows when what was spent is set anew: then the budgets' counters are others."""

    class Meta:
        abstract = True
