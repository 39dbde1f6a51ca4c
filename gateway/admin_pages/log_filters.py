"""The filters of the request log, as one person sees them: the form, what is set in it, and the rows it asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from django import forms
from django.http import QueryDict
from django.utils.safestring import SafeString

from common.admin import moment
from gateway.account.entry import MAX_LENGTHS, MAX_TAG_LENGTH
from gateway.admin_pages import log_choices
from gateway.admin_pages.key_named import name_of
from gateway.admin_pages.log_key_filter import KeyFilter
from gateway.admin_pages.log_ranges import NO_KEY, Wanted
from gateway.admin_pages.log_search import Found, LogRange, found_by
from gateway.admin_pages.log_times import PERIODS, TIMES
from gateway.models import RequestLogQuerySet
from keys.admin_fields import SuggestInput
from keys.admin_forms import known_end_users, known_owners, known_teams
from keys.scope import visible_teams

BEFORE, AFTER = "before", "after"
"""The call that a page of the list begins or ends at."""
FIRST = ("q", "period", "ended", "key", "model", "route", "status", "error_type")
"""The filters that stand in sight; the others are below "More filters"."""
_IN_SHORT = {"q": "Begins with", "since": "From", "until": "To"}
"""What chips call filters whose labels say more."""


class Chip(NamedTuple):
    """A filter that is set, in words, and the query without it."""

    label: str
    value: SafeString | str
    without: str


class LogFilterForm(forms.Form):
    """The filter bar, as one person sees it. A value that cannot be understood is told and not applied."""

    q = forms.CharField(
        label="Request id, call id, key or end user",
        required=False,
        max_length=MAX_LENGTHS["key_name"],
        widget=forms.TextInput(attrs={"placeholder": "Begins with …", "type": "search"}),
    )
    period = forms.ChoiceField(label="Time", required=False, choices=PERIODS)
    ended = forms.ChoiceField(label="How it ended", required=False, choices=log_choices.ENDS)
    key = forms.CharField(label="Virtual key", required=False)
    model = forms.CharField(
        label="Model",
        required=False,
        max_length=MAX_LENGTHS["model"],
        widget=forms.TextInput(attrs={"list": "models", "placeholder": "Any model"}),
    )
    route = forms.CharField(
        label="Route",
        required=False,
        max_length=MAX_LENGTHS["route"],
        widget=SuggestInput(log_choices.known_routes, {"placeholder": "Any route"}),
    )
    status = forms.ChoiceField(label="Status", required=False)
    error_type = forms.CharField(label="Error type", required=False, max_length=MAX_LENGTHS["error_type"])
    since = forms.DateTimeField(label="From (UTC)", required=False)
    until = forms.DateTimeField(label="To (UTC)", required=False)
    outcome = forms.ChoiceField(label="Outcome", required=False)
    upstream = forms.CharField(label="Upstream", required=False, widget=forms.Select)
    team = forms.CharField(label="Team", required=False, max_length=MAX_LENGTHS["team_id"])
    user = forms.CharField(label="Owner", required=False, max_length=MAX_LENGTHS["user_id"])
    end_user = forms.CharField(label="End user", required=False, max_length=MAX_LENGTHS["end_user"])
    tag = forms.CharField(
        label="Tag",
        required=False,
        max_length=MAX_TAG_LENGTH,
        widget=forms.TextInput(attrs={"list": "tags", "placeholder": "Any tag"}),
    )
    endpoint_class = forms.ChoiceField(label="Endpoint class", required=False)
    streaming = forms.ChoiceField(label="Streaming", required=False, choices=log_choices.STREAMING)
    shadowed = forms.ChoiceField(label="Went over, in shadow", required=False)

    def __init__(self, data: Any, *, user: Any) -> None:
        super().__init__(data, auto_id="filter_%s")
        self._user = user
        for name in ("since", "until"):
            # In UTC; a script of ours lets the viewer's own zone be entered, in which it also shows the times.
            attrs = {"type": "datetime-local", "data-utc": "true"}
            self.fields[name].widget = forms.DateTimeInput(attrs=attrs, format="%Y-%m-%dT%H:%M")
        self._choose("status", log_choices.statuses(self._asked("status")))
        self._choose("outcome", log_choices.outcomes())
        self._choose("endpoint_class", log_choices.endpoint_classes())
        self._choose("shadowed", log_choices.limits_in_shadow())
        self.fields["upstream"].widget.choices = log_choices.upstreams(self._asked("upstream"))
        self._suggest()
        self._key_filter = KeyFilter(self._asked("key"), user, sees_all=self.sees_all)
        self.fields["key"].widget = self._key_filter.widget()
        if isinstance(self.fields["key"].widget, SuggestInput):
            self.data = {**{one: self.data.get(one) for one in self.data}, "key": self._key_filter.typed()}

    @cached_property
    def teams(self) -> frozenset[str] | None:
        """The teams whose calls the person may see; None: all calls."""
        return visible_teams(self._user)

    @property
    def sees_all(self) -> bool:
        """Whether the person may see every team's calls, and so may be told of all names in the log."""
        return self.teams is None

    @cached_property
    def chosen(self) -> dict[str, Any]:
        """The filters that are set, by name."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value not in ("", None)}

    @cached_property
    def found(self) -> Found | None:
        """What begins with the text that is searched for; None when there is none."""
        return found_by(self.chosen["q"], self.teams) if "q" in self.chosen else None

    def branches(self, rows: RequestLogQuerySet) -> list[LogRange]:
        """The ranges whose union is what is asked for."""
        return Wanted(self.chosen, self.found, self.teams).ranges_of(rows)

    def clean_key(self) -> str:
        return self._key_filter.id_of(self.cleaned_data["key"])

    def clean_route(self) -> str:
        text: str = self.cleaned_data["route"]
        return log_choices.route_of(text) if text else ""

    # --- How it is shown

    @property
    def in_sight(self) -> list[forms.BoundField]:
        """The filters that are used most."""
        return [self[name] for name in FIRST]

    @property
    def further(self) -> list[forms.BoundField]:
        """All others."""
        return [field for field in self if field.name not in FIRST]

    @property
    def further_set(self) -> int:
        """How many of the further filters are set, or cannot be understood; then they are shown."""
        return sum(field.name in self.chosen or bool(field.errors) for field in self.further)

    @property
    def faults(self) -> str:
        """What cannot be understood, a line for each filter."""
        return "".join(f"{self[name].label}: {' '.join(map(str, told))}\n" for name, told in self.errors.items())

    @property
    def narrows_time(self) -> bool:
        """Whether only some of the time is asked for."""
        return any(name in self.chosen for name in TIMES)

    def chips(self, query: QueryDict) -> list[Chip]:
        """What is set, and how to be rid of each."""
        return [
            Chip(
                _IN_SHORT.get(name, str(self[name].label)),
                self._shown(name),
                f"?{filled(query, name, BEFORE, AFTER).urlencode()}",
            )
            for name in self.chosen
        ]

    def _shown(self, name: str) -> SafeString | str:
        field = self.fields[name]
        choices = dict(getattr(field, "choices", None) or getattr(field.widget, "choices", None) or ())
        value = self.chosen[name]
        if name in ("since", "until"):
            return moment(value)
        if name == "key" and not choices and value != NO_KEY:
            return name_of(value, self._user) or f"key {value}"
        return str(choices.get(str(value), value))

    # --- What can be chosen

    def _asked(self, name: str) -> str:
        return str(self.data.get(name, ""))

    def _choose(self, name: str, choices: Sequence[tuple[str, str]]) -> None:
        self.fields[name].choices = choices  # type: ignore[attr-defined]

    def _suggest(self) -> None:
        """Names that other teams' calls have are for who may see those."""
        known = {"team": known_teams, "user": known_owners, "end_user": known_end_users}
        if not self.sees_all:
            known = dict.fromkeys(known, _nobody) | {"team": self._own_teams}
        words = {"team": "Any team", "user": "Any owner", "end_user": "Any end user"}
        for name, listed in known.items():
            self.fields[name].widget = SuggestInput(listed, {"placeholder": words[name]})
        error_types = SuggestInput(lambda: log_choices.error_types(sees_all=self.sees_all), {"placeholder": "Any type"})
        self.fields["error_type"].widget = error_types

    def _own_teams(self) -> Iterable[tuple[str, str]]:
        return [(team, "") for team in sorted(self.teams or ())]


def _nobody() -> Iterable[tuple[str, str]]:
    return ()


def filled(query: QueryDict, *but: str) -> QueryDict:
    """The query with what is set in it alone, and without these names: an address that people keep is short."""
    rest = query.copy()
    for name, values in query.lists():
        rest.setlist(name, [value for value in values if value and name not in but])
    return rest
