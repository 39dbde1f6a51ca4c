"""The forms in which keys are issued, changed and rotated. Knows no request and no traffic."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminIntegerFieldWidget, AdminTextInputWidget
from django.utils import timezone

from keys.admin_fields import LinesField, ObjectField, SuggestInput, network_fault, route_fault
from keys.admin_limits import LABELS, LIMITS, Fieldset, LimitsForm, folded, limit_fieldsets
from keys.identity import INFERENCE, MANAGEMENT, MONITORING, SERVER_CONTROL
from keys.limit_values import ROUTE_GROUPS
from keys.models import EndUser, Owner, Secret, Team, VirtualKey
from keys.validation import (
    HIGHEST_PRIORITY,
    PLAYGROUND_ONLY,
    default_endpoint_classes,
    is_the_playgrounds,
    validate_aliases,
)

DAY = 86_400

REACH = ("allowed_routes", "allowed_ips", "allowed_upstreams", "priority")
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
MOST_SUGGESTED = 200


def known_teams() -> Iterable[tuple[str, str]]:
    """Some teams: what keys call them, and what people do."""
    return Team.objects.order_by("alias", "team_id").values_list("team_id", "alias")[:MOST_SUGGESTED]


def known_owners() -> Iterable[tuple[str, str]]:
    """Some owners, likewise."""
    rows = Owner.objects.order_by("user_id").values_list("user_id", "alias", "email")[:MOST_SUGGESTED]
    return ((user_id, alias or email or "") for user_id, alias, email in rows)


def known_end_users() -> Iterable[tuple[str, str]]:
    """Some of the end users of whom something is said, likewise."""
    return EndUser.objects.order_by("end_user_id").values_list("end_user_id", "alias")[:MOST_SUGGESTED]


class KeyForm(LimitsForm):
    """What can be changed in a key. Its state is changed by buttons, its secrets by rotation."""

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
    allowed_routes = LinesField(
        label="Routes",
        fault=route_fault,
        help_text="Paths, one a line, such as /v1/embeddings or /vllm/*, or groups: "
        f"{', '.join(ROUTE_GROUPS)}. Empty allows every route.",
    )
    allowed_ips = LinesField(
        label="Networks",
        fault=network_fault,
        help_text="Addresses and networks from which the key may be used, one a line, such as 10.0.0.0/8. "
        "Empty allows every address.",
    )

    class Meta:
        model = VirtualKey
        fields = [
            "name",
            "user_id",
            "team_id",
            "key_type",
            "models",
            "aliases",
            "endpoint_classes",
            "allowed_upstreams",
            "allowed_routes",
            "allowed_ips",
            *LIMITS,
            "priority",
            "metadata",
        ]
        widgets = {
            "name": AdminTextInputWidget(attrs={"autocomplete": "off"}),
            "user_id": SuggestInput(known_owners),
            "team_id": SuggestInput(known_teams),
        }
        labels = {**LABELS, "key_type": "Type"}
        help_texts = {
            "name": "What you and the logs call the key. Unique.",
            "user_id": "Who holds the key, such as an e-mail address or a service. The owner's limits hold too.",
            "team_id": "The team whose limits hold too. A team that nobody has added has none.",
            "key_type": "Default and LLM API mean the same: a key that calls the model servers; LiteLLM has two names "
            "for it. A management key calls none of them: it issues and changes keys and models over the REST API.",
        }

    def clean_name(self) -> str | None:
        """A key's own name may stay what it is."""
        name: str | None = self.cleaned_data["name"]
        if name != self.instance.name and is_the_playgrounds(name):
            raise forms.ValidationError(PLAYGROUND_ONLY)
        return name

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
        label="Expires",
        choices=LIFETIMES,
        coerce=int,
        initial=0,
        required=False,
        help_text="An exact date can be set later.",
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
        seconds = self.cleaned_data["valid_for"] or 0
        return timezone.now() + timedelta(seconds=seconds) if seconds else None


def key_fieldsets(key: VirtualKey | None, end: str) -> list[Fieldset]:
    """The groups of a key's fields, what all need first; `end` is the one that says until when it works.

    On the page of a key its models and what is left of its limits stand above, so these groups are folded away there.
    """
    limits, *more = limit_fieldsets(key)
    told_above: list[Fieldset] = [("What it may call", {"fields": ("models",)}), limits]
    return [
        (None, {"fields": ("name", "user_id", "team_id", end)}),
        *(
            (heading, options if key is None else {**options, "classes": ("collapse",)})
            for heading, options in told_above
        ),
        *more,
        folded("Kind of key, endpoints and names of its own", ("key_type", "endpoint_classes", "aliases"), key),
        folded("Routes, networks, upstreams and priority", REACH, key),
        folded("Metadata", ("metadata",), key),
    ]


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
