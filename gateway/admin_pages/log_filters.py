"""What the request log can be narrowed to, so that ten million rows answer at once: every filter is a range of an
index, or a few of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import cached_property, reduce
from operator import or_
from typing import Any, NamedTuple
from uuid import UUID

from django import forms
from django.db.models import BooleanField, Q
from django.db.models.expressions import RawSQL
from django.http import QueryDict
from django.utils import timezone
from django.utils.safestring import SafeString

from common.admin import moment
from gateway.account import call_ids
from gateway.account.endings import CUTTING, FAILING, FIRST_BAD_STATUS, OTHERWISE
from gateway.account.entry import MAX_LENGTHS, MAX_TAG_LENGTH, Outcome
from gateway.admin_pages.key_named import name_of
from gateway.admin_pages.log_search import Found, LogRange, found_by, known_values
from gateway.admin_pages.playground_keys import usual
from gateway.models import ANY, SHADOWED, TAG, RequestLogQuerySet, outcome_choices
from keys.admin_fields import SuggestInput
from keys.admin_forms import known_end_users, known_owners, known_teams
from keys.identity import ENDPOINT_CLASSES
from keys.limit_words import LIMIT_WORDS
from keys.models import VirtualKey
from keys.scope import scoped_keys, visible_teams
from upstreams.models import Upstream

MOST_CHOICES = 500
MOST_STATUSES = 200
MOST_TEAMS = 50  # as a range each; of more, the log is walked for them
NO_KEY = "none"
ANY_LIMIT = "any"

PERIODS = (
    ("", "Any time"),
    ("15m", "Last 15 minutes"),
    ("1h", "Last hour"),
    ("24h", "Last 24 hours"),
    ("7d", "Last 7 days"),
    ("30d", "Last 30 days"),
)
_LENGTHS = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
_SINGLE = (400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 501, 502, 503, 504, 507)
"""Those that vLLM and the gateway answer with; another may be asked for in the address."""
_STATUS = re.compile(r"[1-5][0-9]{2}")
STATUSES = (
    ("", "Any status"),
    ("2", "2xx"),
    ("3", "3xx"),
    ("4", "4xx"),
    ("5", "5xx"),
    *((str(status), str(status)) for status in _SINGLE),
    ("none", "No status"),
)
ENDS = (
    ("", "However it ended"),
    ("trouble", "Not answered"),
    ("failed", "Failed"),
    ("refused", "Refused by the gateway"),
    ("cut", "Cut by the gateway"),
)
"""As all figures count them (`gateway.account.endings`); those that were answered are nearly all."""
_OUTCOMES = {
    "failed": FAILING,
    "refused": (Outcome.REFUSED,),
    "cut": CUTTING,
    "trouble": OTHERWISE,
}
# Written out, as in the index that has these rows alone: SQLite takes that for no condition with parameters.
_OTHERWISE = ", ".join(f"'{outcome}'" for outcome in OTHERWISE)
_ERROR_ANSWERS = (
    f"NOT (gateway_requestlog.outcome IN ({_OTHERWISE})) AND gateway_requestlog.status >= {FIRST_BAD_STATUS}"
)
STREAMING = (("", "Any"), ("yes", "Streams"), ("no", "Whole answers"))
TEXT_COLUMNS = {
    "model": "model",
    "outcome": "outcome",
    "team": "team_id",
    "user": "user_id",
    "end_user": "end_user",
    "endpoint_class": "endpoint_class",
}
FIRST = ("q", "period", "ended", "key", "model", "status")
"""The filters that stand in sight; the others are below "More filters"."""

Alternatives = list[Q]


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
    ended = forms.ChoiceField(label="How it ended", required=False, choices=ENDS)
    key = forms.CharField(label="Virtual key", required=False, widget=forms.Select)
    model = forms.CharField(
        label="Model", required=False, max_length=MAX_LENGTHS["model"], widget=forms.TextInput(attrs={"list": "models"})
    )
    status = forms.ChoiceField(label="Status", required=False, choices=STATUSES)
    outcome = forms.ChoiceField(label="Outcome", required=False)
    upstream = forms.CharField(label="Upstream", required=False, widget=forms.Select)
    team = forms.CharField(label="Team", required=False, max_length=MAX_LENGTHS["team_id"])
    user = forms.CharField(label="Owner", required=False, max_length=MAX_LENGTHS["user_id"])
    end_user = forms.CharField(label="End user", required=False, max_length=MAX_LENGTHS["end_user"])
    tag = forms.CharField(
        label="Tag", required=False, max_length=MAX_TAG_LENGTH, widget=forms.TextInput(attrs={"list": "tags"})
    )
    endpoint_class = forms.ChoiceField(label="Endpoint class", required=False)
    streaming = forms.ChoiceField(label="Streaming", required=False, choices=STREAMING)
    shadowed = forms.ChoiceField(label="Went over, in shadow", required=False)
    since = forms.DateTimeField(label="From (UTC)", required=False)
    until = forms.DateTimeField(label="To (UTC)", required=False)

    def __init__(self, data: Any, *, user: Any) -> None:
        super().__init__(data, auto_id="filter_%s")
        self._user = user
        for name in ("since", "until"):
            # In UTC; a script of ours lets the viewer's own zone be entered, in which it also shows the times.
            attrs = {"type": "datetime-local", "data-utc": "true"}
            self.fields[name].widget = forms.DateTimeInput(attrs=attrs, format="%Y-%m-%dT%H:%M")
        classes = [(name, name.replace("_", " ")) for name in ENDPOINT_CLASSES]
        self._choose("outcome", [("", "Any outcome"), *outcome_choices()])
        self._choose("endpoint_class", [("", "Any class"), *classes])
        self._choose("shadowed", [("", "Any call"), (ANY_LIMIT, "Any limit"), *LIMIT_WORDS.items()])
        known = (known_teams, known_owners, known_end_users)
        for name, listed in zip(("team", "user", "end_user"), known, strict=True):
            self.fields[name].widget = SuggestInput(listed if self.sees_all else _nobody)
        if not self.sees_all:
            self.fields["team"].widget = SuggestInput(lambda: [(team, "") for team in sorted(self.teams or ())])
        self._offer_keys()
        asked = str(self.data.get("status", ""))
        if _STATUS.fullmatch(asked) and asked not in dict(STATUSES):
            self._choose("status", [*STATUSES, (asked, asked)])
        self.fields["upstream"].widget.choices = self._upstream_choices()

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

    @property
    def in_sight(self) -> list[forms.BoundField]:
        """The filters that are used most."""
        return [self[name] for name in FIRST]

    @property
    def further(self) -> list[forms.BoundField]:
        """All others."""
        return [field for field in self if field.name not in FIRST]

    @property
    def is_open(self) -> bool:
        """Whether one of the further filters is set, or cannot be understood."""
        return any(field.name in self.chosen or field.errors for field in self.further)

    @property
    def faults(self) -> str:
        """What cannot be understood, a line for each filter."""
        return "".join(f"{self[name].label}: {' '.join(map(str, told))}\n" for name, told in self.errors.items())

    def chips(self, query: QueryDict) -> list[Chip]:
        """What is set, and how to be rid of each."""
        return [
            Chip(str(self[name].label).removesuffix(" (UTC)"), self._shown(name), _without(query, name))
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

    # --- The rows

    def branches(self, rows: RequestLogQuerySet) -> list[LogRange]:
        """The ranges whose union is what is asked for; each is in the order of one index.

        Of what allows several values (a class of statuses, names that begin alike, teams), the first is read as a
        range for each: as one range it would have to be sorted. The rest only narrows these.
        """
        rows = self._narrowed(rows)
        several = [one for one in (self._searched(), self._ends(), self._statuses(), self._scope()) if one is not None]
        if not all(several):
            return []
        facet, *facets = self._facets() or (None,)
        for kind, value in facets:
            rows = rows.filter(facets__kind=kind, facets__value=value)
        start, end = self._bounds()
        # A facet is a range already: of its rows, those of any of the several values.
        first, others = ([Q()], several) if facet is not None or not several else (several[0], several[1:])
        for alternatives in others:
            rows = rows.filter(reduce(or_, alternatives))
        return [LogRange(rows.filter(one), facet, start, end) for one in first]

    def _narrowed(self, rows: RequestLogQuerySet) -> RequestLogQuerySet:
        chosen = self.chosen
        start, end = self._bounds()
        if start is not None:
            rows = rows.filter(pk__gte=start)
        if end is not None:
            rows = rows.filter(pk__lt=end)
        for name, column in (("key", "key_id"), ("upstream", "upstream_id")):
            if name in chosen:
                rows = rows.filter(**_reference(column, chosen[name]))
        for name, column in TEXT_COLUMNS.items():
            if name in chosen:
                rows = rows.filter(**{column: chosen[name]})
        if "streaming" in chosen:
            rows = rows.filter(streaming__in=[chosen["streaming"] == "yes"])  # "= false" is no range to all databases
        return rows

    def _facets(self) -> list[tuple[str, str]]:
        """Limits in shadow first, as fewer calls have one."""
        chosen, found = self.chosen, []
        if "shadowed" in chosen:
            found.append((SHADOWED, ANY if chosen["shadowed"] == ANY_LIMIT else chosen["shadowed"]))
        if "tag" in chosen:
            found.append((TAG, chosen["tag"]))
        return found

    def _bounds(self) -> tuple[UUID | None, UUID | None]:
        """The first call of the time that is asked for, and the one after the last."""
        starts = [self.chosen["since"]] if "since" in self.chosen else []
        if "period" in self.chosen:
            starts.append(timezone.now() - _LENGTHS[self.chosen["period"]])
        until = self.chosen.get("until")
        return call_ids.first_at(max(starts)) if starts else None, None if until is None else call_ids.first_at(until)

    def _searched(self) -> Alternatives | None:
        if self.found is None:
            return None
        names = [Q(key_name=name) for name in self.found.key_names]
        users = [Q(end_user=user) for user in self.found.end_users]
        ids = [Q(pk__in=self.found.ids)] if self.found.ids else []
        return [*ids, *names, *users]

    def _ends(self) -> Alternatives | None:
        ended = self.chosen.get("ended")
        if ended is None:
            return None
        found = [Q(outcome=outcome.value) for outcome in _OUTCOMES[ended]]
        if ended in ("failed", "trouble"):
            found.append(Q(RawSQL(_ERROR_ANSWERS, [], output_field=BooleanField())))  # noqa: S611 - our own text
        return found

    def _statuses(self) -> Alternatives | None:
        status = self.chosen.get("status")
        if status is None:
            return None
        if status == "none":
            return [Q(status=None)]
        return [Q(status=one) for one in ([int(status)] if len(status) == 3 else _known_statuses(status))]

    def _scope(self) -> Alternatives | None:
        if self.teams is None:
            return None
        if len(self.teams) > MOST_TEAMS:
            return [Q(team_id__in=self.teams)]
        return [Q(team_id=team) for team in sorted(self.teams)]

    # --- What can be chosen

    def _choose(self, name: str, choices: Sequence[tuple[str, str]]) -> None:
        self.fields[name].choices = choices  # type: ignore[attr-defined]

    def _offer_keys(self) -> None:
        """A list, as long as all keys are in it; of more, the newest are suggested, and any can be typed."""
        keys = scoped_keys(usual(VirtualKey.objects.all()), self._user).values_list("pk", "name")
        listed = list(keys.order_by("name")[: MOST_CHOICES + 1])
        if len(listed) <= MOST_CHOICES:
            self.fields["key"].widget.choices = self._key_choices(listed)
            return
        newest = [(name or str(pk), f"key {pk}") for pk, name in keys.order_by("-pk")[:MOST_CHOICES]]
        none = [(NO_KEY, "Master key or anonymous")] if self.sees_all else []
        self.fields["key"].widget = SuggestInput(lambda: [*none, *newest], {"placeholder": "Name or id"})
        asked = str(self.data.get("key", ""))
        name = self._key(pk=int(asked), name__isnull=False) if asked.isdecimal() and len(asked) < 19 else None
        if name is not None and not name[1].isdecimal():  # a link has the id, which tells nobody whose it is
            self.data = {**{one: self.data.get(one) for one in self.data}, "key": name[1]}

    def _key(self, **which: Any) -> tuple[int, str] | None:
        """Id and name of a key that the person may see."""
        return scoped_keys(VirtualKey.objects.filter(**which), self._user).values_list("pk", "name").first()

    def clean_key(self) -> str:
        """The id, where a name was typed."""
        text: str = self.cleaned_data["key"].strip()
        if not text or text == NO_KEY or (text.isdecimal() and len(text) < 19):
            return text
        found = self._key(name=text)
        if found is None:
            raise forms.ValidationError("There is no key of this name: type all of it, or its id.")
        return str(found[0])

    def _key_choices(self, keys: Iterable[tuple[int, str | None]]) -> list[tuple[str, str]]:
        choices = [("", "Any key"), *([(NO_KEY, "Master key or anonymous")] if self.sees_all else [])]
        choices += [(str(pk), name or f"key {pk}") for pk, name in keys]
        chosen = str(self.data.get("key", ""))
        if chosen and chosen not in dict(choices) and (name := name_of(chosen, self._user)):
            choices.append((chosen, name))
        return _with_chosen(choices, chosen, "key")

    def _upstream_choices(self) -> list[tuple[str, str]]:
        rows = Upstream.objects.order_by("name").values_list("pk", "name")[:MOST_CHOICES]
        choices = [("", "Any upstream"), (NO_KEY, "None"), *((str(pk), name) for pk, name in rows)]
        return _with_chosen(choices, str(self.data.get("upstream", "")), "upstream")


def _nobody() -> Iterable[tuple[str, str]]:
    return ()


def _known_statuses(classes: str) -> list[int]:
    return [status for status in known_values("status", MOST_STATUSES) if str(status)[0] in classes]


def _reference(column: str, value: str) -> dict[str, Any]:
    if value.isdecimal() and len(value) < 19:
        return {column: int(value)}
    return {column: None} if value == NO_KEY else {"pk__in": []}


def _without(query: QueryDict, name: str) -> str:
    rest = query.copy()
    for one in (name, "before", "after"):
        rest.pop(one, None)
    return f"?{rest.urlencode()}"


def _with_chosen(choices: list[tuple[str, str]], chosen: str, word: str) -> list[tuple[str, str]]:
    """What was deleted since, or did not fit into the list, can still be chosen by a link."""
    if chosen and chosen not in dict(choices):
        choices.append((chosen, f"{word} {chosen}"))
    return choices
