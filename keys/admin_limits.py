"""The part of a form that says how much may be used, the same for keys, teams, owners and end users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.utils.html import format_html
from django.utils.safestring import mark_safe

from keys.admin_fields import (
    LARGEST_TOKENS,
    BudgetsField,
    CountField,
    DollarsField,
    ModelBudgetsField,
    ModelLimitsField,
    ObjectField,
    PeriodField,
)
from keys.admin_models import KnownModel, ModelsField
from keys.limit_values import LIMIT_NAMES
from keys.limit_words import LIMIT_WORDS
from keys.validation import validate_metadata

Fieldset = tuple[str | None, dict[str, Any]]

WITHOUT_PRICE = (
    "No model that may be used has a price, so nothing would ever be spent: set prices on the upstreams' pages."
)
RATES = ("rpm_limit", "tpm_limit", "max_parallel_requests")
BUDGETS = ("max_budget", "budget_duration", "soft_budget", "token_budget", "token_budget_duration")
MORE_LIMITS = (
    "soft_budget",
    ("token_budget", "token_budget_duration"),
    *("budget_limits", "model_rpm_limit", "model_tpm_limit", "model_max_budget"),
)
MORE = ("budget_limits", "model_rpm_limit", "model_tpm_limit", "model_max_budget", "shadow_limits")
LIMITS = (*RATES, *BUDGETS, *MORE)


class LimitsForm(forms.ModelForm[Any]):
    """What whatever has limits has in common."""

    known_models: ClassVar[Sequence[KnownModel]] = ()
    """Those that there are, as far as whoever shows the form knows any."""

    models = ModelsField()
    rpm_limit = CountField(label="Calls a minute")
    tpm_limit = CountField(label="Tokens a minute", help_text="Prompt and completion together.")
    max_parallel_requests = CountField(
        label="Calls at once", help_text="How many may be open at the same time. 0 refuses every call."
    )
    max_budget = DollarsField(label="Budget in US dollars", help_text="When it is spent, calls are refused.")
    budget_duration = PeriodField(label="Budget starts anew")
    soft_budget = DollarsField(
        label="Soft budget",
        help_text="US dollars in the same period. When they are spent, the request log says so; nothing is refused.",
    )
    token_budget = CountField(largest=LARGEST_TOKENS, label="Token budget", help_text="Prompt and completion together.")
    token_budget_duration = PeriodField(label="Tokens start anew")
    budget_limits = BudgetsField(
        label="More budgets", help_text="US dollars and a period, one a line, such as 2 per 1h. All of them hold."
    )
    model_rpm_limit = ModelLimitsField(
        label="Calls a minute, per model", help_text="One model or pattern a line, such as qwen-* = 60."
    )
    model_tpm_limit = ModelLimitsField(
        label="Tokens a minute, per model", help_text="One model or pattern a line, such as qwen-* = 10000."
    )
    model_max_budget = ModelBudgetsField(
        label="Budget, per model", help_text="US dollars for a model or pattern, one a line, such as qwen-* = 5 per 1d."
    )
    shadow_limits = forms.MultipleChoiceField(
        label="Only report",
        required=False,
        choices=[(name, LIMIT_WORDS[name]) for name in LIMIT_NAMES],
        widget=forms.CheckboxSelectMultiple,
        help_text="These are counted, and the request log says when they would have refused a call; they refuse none.",
    )
    metadata = ObjectField(
        label="Metadata",
        check=validate_metadata,
        help_text='A JSON object; its list "tags" is copied to the request log.',
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("budget_duration", "token_budget_duration"):
            field = self.fields.get(name)
            if isinstance(field, PeriodField):
                field.keep(getattr(self.instance, name))
        self._offer_models()

    def _offer_models(self) -> None:
        field = self.fields.get("models")
        if isinstance(field, ModelsField):
            field.offer(self.known_models)
        if "max_budget" in self.fields:
            # A script shows it as soon as none of the chosen models has a price.
            budget, none_priced = self.fields["max_budget"], not any(one.is_priced for one in self.known_models)
            hidden = "" if none_priced else mark_safe(" hidden")
            budget.help_text = format_html(
                '{} <span class="price-warning" data-price-warning{}>{}</span>', budget.help_text, hidden, WITHOUT_PRICE
            )


LABELS = {name: str(field.label) for name, field in LimitsForm.base_fields.items()}
"""For `Meta.labels`, by which Django names a field that is only shown."""


def limit_fieldsets(row: Any = None) -> list[Fieldset]:
    """The groups of fields; what few need is folded away while it is empty."""
    return [
        ("Limits", {"fields": (*RATES, ("max_budget", "budget_duration"))}),
        folded("More limits and budgets", MORE_LIMITS, row),
        folded("Shadow", ("shadow_limits",), row),
    ]


def folded(heading: str, names: Sequence[str | tuple[str, ...]], row: Any = None) -> Fieldset:
    """A group of fields that is folded away while the row has nothing in them but what every row begins with."""
    flat = [name for one in names for name in ((one,) if isinstance(one, str) else one)]
    is_used = row is not None and any(_is_set(row, name) for name in flat)
    return heading, {"fields": tuple(names), "classes": () if is_used else ("collapse",)}


def _is_set(row: Any, name: str) -> bool:
    value = getattr(row, name)
    return value not in (None, "", row._meta.get_field(name).get_default())
