"""The forms in which keys are issued, changed and rotated. Knows no request and no traffic."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminIntegerFieldWidget, AdminTextInputWidget
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput
from django.utils import timezone

from keys.identity import INFERENCE, MANAGEMENT, MONITORING, SERVER_CONTROL
from keys.models import Secret, VirtualKey
from keys.validation import HIGHEST_PRIORITY, default_endpoint_classes, validate_aliases, validate_metadata

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


def _code_area() -> forms.Textarea:
    return forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"})


class LinesField(forms.CharField):
    """A list of texts, one a line."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"required": False, "widget": _code_area(), **kwargs})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        lines = value if isinstance(value, list) else (super().to_python(value) or "").splitlines()
        return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


class ObjectField(forms.JSONField):
    """A JSON object that `check` accepts; nothing is an empty one."""

    def __init__(self, *, check: Callable[[object], None], **kwargs: Any) -> None:
        self._check = check
        super().__init__(**{"required": False, "initial": dict, "widget": _code_area(), **kwargs})

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
            self._check(found)
        return found or {}


class KeyForm(forms.ModelForm[VirtualKey]):
    """What can be changed in a key. Its state is changed by buttons, its secrets by rotation."""

    models = LinesField(
        label="Models", help_text="One model name or pattern a line, such as qwen-*. Empty allows every model."
    )
    aliases = ObjectField(
        label="Aliases",
        check=validate_aliases,
        help_text='Names that this key may use in the place of a model\'s own, such as {"fast": "qwen-7b"}.',
    )
    endpoint_classes = forms.MultipleChoiceField(
        label="May call",
        required=False,
        choices=CLASSES,
        widget=forms.CheckboxSelectMultiple,
        initial=default_endpoint_classes,
    )
    allowed_upstreams = LinesField(
        label="Upstreams",
        help_text="Upstreams that a call with this key may choose by name, one name or pattern a line; * is all. "
        "Empty: the gateway always chooses.",
    )
    priority = forms.IntegerField(
        label="Priority",
        required=False,
        initial=0,
        min_value=-HIGHEST_PRIORITY,
        max_value=HIGHEST_PRIORITY,
        widget=AdminIntegerFieldWidget,
        help_text="From -100 to 100. While all upstreams are full, calls with a higher priority go first.",
    )
    metadata = ObjectField(
        label="Metadata",
        check=validate_metadata,
        help_text='A JSON object; its list "tags" is copied to the request log.',
    )

    class Meta:
        model = VirtualKey
        fields = [
            "name",
            "user_id",
            "key_type",
            "models",
            "aliases",
            "endpoint_classes",
            "allowed_upstreams",
            "max_parallel_requests",
            "priority",
            "metadata",
        ]
        widgets = {
            "name": AdminTextInputWidget(attrs={"autocomplete": "off"}),
            "user_id": AdminTextInputWidget(attrs={"autocomplete": "off"}),
            "max_parallel_requests": AdminIntegerFieldWidget(attrs={"min": 0, "placeholder": "no limit"}),
        }
        labels = {"key_type": "Type", "max_parallel_requests": "Calls at once"}
        help_texts = {
            "name": "What you and the logs call the key. Unique.",
            "user_id": "Who holds the key, such as an e-mail address or a service.",
            "key_type": "Default and LLM API keys call the model servers. A management key calls none of them: it "
            "issues and changes keys and models over the REST API.",
            "max_parallel_requests": "How many calls may be open at the same time. Empty means no limit.",
        }

    def clean_priority(self) -> int:
        """An emptied field is the usual priority."""
        return self.cleaned_data["priority"] or 0

    def clean(self) -> dict[str, Any]:
        found = super().clean() or self.cleaned_data
        if found.get("key_type") != MANAGEMENT and "endpoint_classes" in found and not found["endpoint_classes"]:
            self.add_error("endpoint_classes", "Choose at least one, or the key can call nothing.")
        return found


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
