"""What keeps who manages some teams to these teams, in the pages of keys, teams, owners and end users.

Rows of others are as good as not there: every list, search, action and page starts from `get_queryset`. Their forms
offer less too: the key stays in its team, within its team's limits, and can do no more than call models. A key of
their team to which somebody else gave more they can stop, and neither use nor widen: `withheld` says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from keys.admin_forms import key_fieldsets
from keys.identity import MANAGEMENT, SERVER_CONTROL
from keys.limit_words import limit_word
from keys.models import Owner, Team, VirtualKey
from keys.patterns import matches
from keys.scope import scoped, scoped_keys, visible_teams

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Any]
else:
    _Admin = admin.ModelAdmin

FOR_OTHERS = "Set by those who manage every team."
FIXED = ("key_type", "priority", "allowed_upstreams")
"""What reaches beyond a team: managing keys, going before others, choosing an upstream."""
CEILINGS = {
    "rpm_limit": "",
    "tpm_limit": "",
    "max_parallel_requests": "",
    "max_budget": "budget_duration",
    "token_budget": "token_budget_duration",
}
"""The limits that can be compared, with the period that must be the same for that."""


STILL_THEIRS = frozenset({"name", "metadata"})
"""What they can change in a key that reaches beyond its team."""


class TeamScoped(_Admin):
    """Rows that belong to a team, which `team_column` names."""

    team_column = "team_id"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return scoped(super().get_queryset(request), request.user, self.team_column)


class KeysScoped(TeamScoped):
    """Keys. Those of type management reach beyond every team, whatever team they name."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return scoped_keys(super().get_queryset(request), request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and visible_teams(request.user) != frozenset()

    def get_readonly_fields(self, request: HttpRequest, obj: VirtualKey | None = None) -> Any:
        fixed = super().get_readonly_fields(request, obj)
        if obj is None or not withheld(request.user, obj):
            return fixed
        return (*fixed, *(name for name in _named_in(key_fieldsets(obj, "expires_at")) if name not in STILL_THEIRS))

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002
        return for_person(super().get_form(request, obj, change, **kwargs), request)


class EveryTeamOnly(_Admin):
    """Rows that belong to no team, such as owners, whose keys may be of several: only for who sees every team."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        return rows if visible_teams(request.user) is None else rows.none()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and visible_teams(request.user) is None


def withheld(user: Any, key: VirtualKey) -> str:
    """What the key may that this person could give to none, so that its secret is not theirs to have either, nor its
    end or its limits to widen: "it may control servers and go before other calls". Empty where there is no such thing.

    Limits above the team's are none: the team's own hold for each of its calls.
    """
    if visible_teams(user) is None:
        return ""
    more = list(_beyond(key))
    return f"it may {' and '.join(filter(None, [', '.join(more[:-1]), more[-1]]))}" if more else ""


def _beyond(key: VirtualKey) -> Iterator[str]:
    if key.key_type == MANAGEMENT:
        yield "manage keys"
    if SERVER_CONTROL in key.endpoint_classes:
        yield "control servers"
    if key.priority > 0:
        yield "go before other calls"
    if key.allowed_upstreams:
        yield "choose its upstream"


def _named_in(fieldsets: Any) -> Iterator[str]:
    for _, options in fieldsets:
        for one in options["fields"]:
            yield from (one,) if isinstance(one, str) else one


def for_person(form: type[Any], request: HttpRequest) -> type[Any]:
    """The form of a key for who asks: with all that it has, or as narrow as their teams."""
    teams = visible_teams(request.user)
    return form if teams is None else type(form.__name__, (_Narrow, form), {"teams": teams})


class _Narrow:
    """Mixed into the form of a key. Disabled fields keep what they had, whatever is sent."""

    teams: frozenset[str]
    fields: dict[str, Any]
    instance: VirtualKey
    initial: dict[str, Any]
    cleaned_data: dict[str, Any]

    @property
    def _is_new(self) -> bool:
        return self.instance._state.adding

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in FIXED:
            if name in self.fields:
                self.fields[name].disabled = True
                self.fields[name].help_text = FOR_OTHERS
        if "team_id" in self.fields:  # not for who may only look
            self._narrow_team()
        self._narrow_owner()
        self._narrow_classes()

    def _narrow_team(self) -> None:
        names = dict(Team.objects.filter(team_id__in=self.teams).values_list("team_id", "alias"))
        choices = [(team, names.get(team) or team) for team in sorted(self.teams)]
        old = self.fields["team_id"]
        self.fields["team_id"] = forms.ChoiceField(
            label=old.label,
            choices=choices if len(choices) == 1 else [("", "Choose a team"), *choices],
            disabled=not self._is_new,
            help_text="The team whose limits hold too.",
            error_messages={"required": "Choose the team that the key is for."},
        )
        if self._is_new and len(choices) == 1:
            self.initial["team_id"] = choices[0][0]

    def _narrow_owner(self) -> None:
        """Suggests those who hold keys of these teams, and no others."""
        if "user_id" in self.fields:
            self.fields["user_id"].widget = forms.TextInput(attrs={"class": "vTextField", "autocomplete": "off"})

    def _narrow_classes(self) -> None:
        field = self.fields.get("endpoint_classes")
        if field is not None and SERVER_CONTROL not in self.instance.endpoint_classes:
            field.choices = [choice for choice in field.choices if choice[0] != SERVER_CONTROL]

    def clean_user_id(self) -> str | None:
        """An owner whom others look after has limits and a budget that are not for this person to use."""
        owner: str | None = self.cleaned_data["user_id"]
        if not owner or owner == self.instance.user_id or not Owner.objects.filter(user_id=owner).exists():
            return owner
        if VirtualKey.objects.filter(user_id=owner, team_id__in=self.teams).exists():
            return owner
        raise forms.ValidationError("This owner holds no key of your teams; who manages every team can issue one.")

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean()  # type: ignore[misc]
        ident = found.get("team_id") if self._is_new else self.instance.team_id
        team = Team.objects.filter(team_id=ident).first()
        if team is not None:
            for name, words in faults(found, team):
                self.add_error(name, words)  # type: ignore[attr-defined]
        return found


def faults(wanted: dict[str, Any], team: Team) -> list[tuple[str, str]]:
    """In which fields a key would have more than its team, with a sentence each."""
    found = []
    for name, period in CEILINGS.items():
        most, value = getattr(team, name), wanted.get(name)
        same = not period or wanted.get(period) == getattr(team, period)
        if same and most is not None and value is not None and value > most:
            found.append((name, _too_much(name, most)))
    models = [model for model in wanted.get("models") or () if not _has(team, model)]
    if models:
        found.append(("models", f"The team may not use {', '.join(models[:5])}."))
    return found


def _too_much(name: str, most: int | Decimal) -> str:
    return f"{limit_word(name)}: the team has {Decimal(most).normalize():,f} at most."


def _has(team: Team, model: str) -> bool:
    return not team.models or model in team.models or any(matches(pattern, model) for pattern in team.models)
