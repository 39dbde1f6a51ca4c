"""The forms of teams, owners and end users. Knows no request and no traffic."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminTextInputWidget
from django.contrib.auth import get_user_model
from django.db.models import Model

from keys.admin_fields import PairsField
from keys.admin_limits import LABELS, LIMITS, Fieldset, LimitsForm, folded, limit_fieldsets
from keys.models import EndUser, Owner, Team
from keys.models.groups import LONGEST_ID

MADE_UP = "made up when left empty"
NAMES = {**LABELS, "alias": "Name"}
NAMES_HELP = {"alias": "What people call it, here and in refusals. May stay empty."}
_MEMBER = re.compile(r"(.*?)\s*(?:<([^<>]*)>)?\s*(?:,\s*(admin|user))?")


def _text(**attrs: str) -> AdminTextInputWidget:
    return AdminTextInputWidget(attrs={"autocomplete": "off", **attrs})


class MembersField(PairsField):
    """LiteLLM's members of a team, one a line: an owner's id, an e-mail address in angle brackets, a role."""

    example = "ada <ada@example.com>, admin"

    def written(self, value: Any) -> Iterable[str]:
        for one in value if isinstance(value, list) else ():
            member = one if isinstance(one, dict) else {"user_id": str(one)}
            email = f" <{member['user_email']}>" if member.get("user_email") else ""
            role = ", admin" if member.get("role") == "admin" else ""
            yield f"{member.get('user_id') or ''}{email}{role}".strip()

    def read(self, lines: list[str]) -> list[dict[str, Any]]:
        return [self._member(line) for line in lines]

    def _member(self, line: str) -> dict[str, Any]:
        match = _MEMBER.fullmatch(line)
        if match is None or not (match[1] or match[2]) or max(map(len, match.groups(""))) > LONGEST_ID:
            raise self._refuse(line)
        return {"user_id": match[1] or None, "user_email": match[2] or None, "role": match[3] or "user"}


class GroupForm(LimitsForm):
    """What teams, owners and end users have in common. How keys and calls name one stays as it is."""


class TeamForm(GroupForm):
    """What can be changed in a team."""

    members = MembersField(
        label="Members",
        help_text="For your own use: one a line, such as ada &lt;ada@example.com&gt;, admin. No limit follows from it.",
    )

    class Meta:
        model = Team
        fields = ["team_id", "alias", *LIMITS, "models", "members", "metadata"]
        widgets = {"team_id": _text(placeholder=MADE_UP), "alias": _text()}
        labels = {**NAMES, "team_id": "Team id"}
        help_texts = {
            **NAMES_HELP,
            "team_id": "By which keys name the team. It cannot be changed later.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _may_be_made_up(self, "team_id")

    def clean_team_id(self) -> str:
        """An empty one is the one that the new row has been given."""
        return str(self.cleaned_data["team_id"] or self.instance.team_id)


class OwnerForm(GroupForm):
    """What can be changed in an owner."""

    login_id: forms.ModelChoiceField[Any] = forms.ModelChoiceField(
        label="Log-in",
        queryset=None,
        required=False,
        empty_label="None",
        help_text="The person of this site who is meant, if there is one. Nobody is linked unless it is done here.",
    )

    class Meta:
        model = Owner
        fields = ["user_id", "alias", "email", "role", "login_id", *LIMITS, "models", "metadata"]
        widgets = {
            "user_id": _text(placeholder=MADE_UP),
            "alias": _text(),
            "email": _text(inputmode="email"),
            "role": _text(),
        }
        labels = {**NAMES, "user_id": "Owner id", "email": "E-mail address", "role": "Role"}
        help_texts = {
            **NAMES_HELP,
            "user_id": "By which keys name the owner. It cannot be changed later.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _may_be_made_up(self, "user_id")
        people = get_user_model()._default_manager
        if "login_id" in self.fields:
            choice = self.fields["login_id"]
            choice.queryset = people.filter(is_active=True).order_by("username")  # type: ignore[attr-defined]

    def clean_user_id(self) -> str:
        """An empty one is the one that the new row has been given."""
        return str(self.cleaned_data["user_id"] or self.instance.user_id)

    def clean_login_id(self) -> int | None:
        """The number by which the row names the person."""
        person: Model | None = self.cleaned_data["login_id"]
        return None if person is None else person.pk


class EndUserForm(GroupForm):
    """What can be changed in an end user."""

    class Meta:
        model = EndUser
        fields = ["end_user_id", "alias", *LIMITS, "models", "metadata"]
        widgets = {"end_user_id": _text(), "alias": _text()}
        labels = {**NAMES, "end_user_id": "End user id"}
        help_texts = {
            **NAMES_HELP,
            "end_user_id": "As calls name the person, such as in the header x-end-user-id. It cannot be changed later.",
        }


def _may_be_made_up(form: LimitsForm, name: str) -> None:
    if name in form.fields:
        form.fields[name].required = False
        form.initial[name] = ""


def group_fieldsets(names: Sequence[str], row: Any, *more: Fieldset) -> list[Fieldset]:
    """The groups of fields: who it is by `names`, then the limits."""
    return [
        (None, {"fields": tuple(names)}),
        ("What it may call", {"fields": ("models",)}),
        *limit_fieldsets(row),
        *more,
        folded("Metadata", ("metadata",), row),
    ]
