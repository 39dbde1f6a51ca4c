"""The form of a deployment: prices of tokens are entered and shown for a million of them, and stored for one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminTextInputWidget

from upstreams.models import Deployment

MILLION = Decimal(1_000_000)


class PriceField(forms.DecimalField):
    """A price as it is stored, shown without the zeros of its column."""

    digits, places = 20, 12  # the column's
    tokens = Decimal(1)

    def __init__(self, label: str, help_text: str) -> None:
        super().__init__(
            label=label,
            help_text=help_text,
            required=False,
            min_value=0,
            max_digits=self.digits,
            decimal_places=self.places,
            widget=forms.NumberInput(attrs={"step": "any"}),  # no arrows that add a millionth of a cent
        )

    def prepare_value(self, value: Any) -> Any:
        """A stored price as it is shown; what somebody typed as it is."""
        return f"{(value * self.tokens).normalize():f}" if isinstance(value, Decimal) else value

    def clean(self, value: Any) -> Decimal | None:
        """The price as it is stored. Raises ValidationError."""
        price: Decimal | None = super().clean(value)
        return None if price is None else price / self.tokens

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(initial * self.tokens if isinstance(initial, Decimal) else initial, data)


class PerMillionField(PriceField):
    """The price of a million tokens, where the column has that of one."""

    places = 6
    tokens = MILLION


class HourlyPriceField(PriceField):
    """The price of an hour of a server."""

    digits, places = 14, 6


class DeploymentForm(forms.ModelForm[Deployment]):
    """A model on an upstream, and what a call there costs."""

    input_cost_per_token = PerMillionField("prompt $/M", "US dollars for a million prompt tokens.")
    cache_read_input_token_cost = PerMillionField(
        "cached $/M", "US dollars for a million prompt tokens that were cached. Empty: the same as others."
    )
    output_cost_per_token = PerMillionField("completion $/M", "US dollars for a million completion tokens.")
    cost_per_second = PriceField("$/second", "US dollars for each second of a call, from its receipt to its end.")
    cost_per_request = PriceField("$/call", "US dollars for each call.")

    class Meta:
        model = Deployment
        fields = ["alias", "served_name", "hidden", "weight", "rpm", "tpm"]
        labels = {
            "rpm": "RPM",
            "tpm": "TPM",
            # Also for who may only look, whose form has no fields.
            "input_cost_per_token": "prompt $/M",
            "cache_read_input_token_cost": "cached $/M",
            "output_cost_per_token": "completion $/M",
            "cost_per_second": "$/second",
            "cost_per_request": "$/call",
        }
        widgets = {"alias": AdminTextInputWidget, "served_name": AdminTextInputWidget}
