"""The forms in which keys are issued, changed and rotated. Knows no request and no traffic."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminIntegerFieldWidget, AdminTextInputWidget
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput
from django.utils import timezone

from keys.identity import INFERENCE, MONITORING, SERVER_CONTROL
from keys.models import Secret, VirtualKey
from keys.validation import default_endpoint_classes, validate_metadata

DAY = 86_400

CLASSES = (
    (INFERENCE, "Inference: chat, completions, embeddings, scoring …"),
    (MONITORING, "Monitoring: health, metrics, version, models"),
    (SERVER_CONTROL, "Server control: sleep, LoRA, caches, weights …"),
)
LIFETIMES = (
    (0, "Never"),
    (DAY, "In 1 day"),
    (7 * DAY, "In 7 days"),
    (30 * DAY, "In 30 days"),
    (90 * DAY, "In 90 days"),
    (365 * DAY, "In 365 days"),
)
OVERLAPS = (
    (0, "Now: old secrets stop working at once"),
    (3600, "In 1 hour"),
    (DAY, "In 24 hours"),
    (7 * DAY, "In 7 days"),
)
ALREADY_ROTATED = "This key has been rotated meanwhile; its newest secret is another one now."


class LinesField(forms.CharField):
    """A list of texts, one a line."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        lines = value if isinstance(value, list) else (super().to_python(value) or "").splitlines()
        return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


class ObjectField(forms.JSONField):
    """A JSON object; nothing is an empty one."""

    def to_python(self, value: Any) -> Any:
        try:
            return super().to_python(value)
        except (ValueError, RecursionError) as error:  # a number of 5,000 digits, 100,000 brackets
            raise ValidationError(self.error_messages["invalid"], code="invalid") from error

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What was typed, as it was typed: not all of it can be written again."""
        return None if data is None else InvalidJSONInput(data)

    def clean(self, value: Any) -> Any:
        found = super().clean(value)
        if found is not None:
            validate_metadata(found)
        return found or {}


class KeyForm(forms.ModelForm[VirtualKey]):
    """What can be changed in a key. Its state is changed by buttons, its secrets by rotation."""

    models = LinesField(
        label="Models",
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"}),
        help_text="One model name or pattern a line, such as qwen-*. Empty allows every model.",
    )
    endpoint_classes = forms.MultipleChoiceField(
        label="May call", choices=CLASSES, widget=forms.CheckboxSelectMultiple, initial=default_endpoint_classes
    )
    metadata = ObjectField(
        label="Metadata",
        required=False,
        initial=dict,
        widget=forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"}),
        help_text='A JSON object; its list "tags" is copied to the request log.',
    )

    class Meta:
        model = VirtualKey
        fields = ["name", "user_id", "models", "endpoint_classes", "max_parallel_requests", "metadata"]
        widgets = {
            "name": AdminTextInputWidget(attrs={"autocomplete": "off"}),
            "user_id": AdminTextInputWidget(attrs={"autocomplete": "off"}),
            "max_parallel_requests": AdminIntegerFieldWidget(attrs={"min": 0, "placeholder": "no limit"}),
        }
        labels = {"max_parallel_requests": "Calls at once"}
        help_texts = {
            "name": "What you and the logs call the key. Unique.",
            "user_id": "Who holds the key, such as an e-mail address or a service.",
            "max_parallel_requests": "How many calls may be open at the same time. Empty means no limit.",
        }


class IssueForm(KeyForm):
    """A new key. Only the name is needed."""

    valid_for = forms.TypedChoiceField(
        label="Expires", choices=LIFETIMES, coerce=int, initial=0, help_text="An exact date can be set later."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A name also keeps a reload of the page with the secret from issuing a second key.
        self.fields["name"].required = True
        self.fields["name"].widget.attrs["autofocus"] = True

    def values(self) -> dict[str, Any]:
        """The new key's fields, once the form is valid."""
        values = {name: self.cleaned_data[name] for name in self.Meta.fields}
        return {**values, "expires_at": self._expires_at()}

    def _expires_at(self) -> datetime | None:
        seconds = self.cleaned_data["valid_for"]
        return timezone.now() + timedelta(seconds=seconds) if seconds else None


class RotateForm(forms.Form):
    """Which secrets are replaced, and for how long the old ones still work.

    A key is named by its newest secret, so that a form that is sent twice rotates once.
    """

    secret = forms.ModelMultipleChoiceField(
        queryset=Secret.objects.all(),
        widget=forms.MultipleHiddenInput,
        error_messages={"invalid_choice": ALREADY_ROTATED},
    )
    overlap = forms.TypedChoiceField(
        label="Old secrets stop working",
        choices=OVERLAPS,
        coerce=lambda value: timedelta(seconds=int(value)),
        initial=DAY,
        widget=forms.RadioSelect,
    )
