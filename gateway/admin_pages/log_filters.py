"""What the request log can be narrowed to, so that a million rows answer at once: every filter is a range of an index.

Nothing here counts rows or lists the log's distinct values by reading all of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

from django import forms
from django.db import connections, router
from django.utils import timezone

from gateway.account.entry import MAX_LENGTHS
from gateway.models import RequestLog, RequestLogQuerySet, outcome_choices
from keys.admin_fields import SuggestInput
from keys.admin_forms import known_end_users, known_owners, known_teams
from keys.models import VirtualKey
from upstreams.models import Upstream

MOST_CHOICES = 500
MOST_MODELS = 200
MOST_FOUND = 1000  # by a prefix of an id: more would have to be sorted
NO_KEY = "none"

PERIODS = (
    ("", "Any time"),
    ("1h", "Last hour"),
    ("24h", "Last 24 hours"),
    ("7d", "Last 7 days"),
    ("30d", "Last 30 days"),
)
_LENGTHS = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
STATUSES = (
    ("", "Any status"),
    ("2", "2xx answered"),
    ("3", "3xx redirected"),
    ("4", "4xx refused"),
    ("5", "5xx failed"),
    ("none", "No status"),
)
TEXT_COLUMNS = {"model": "model", "outcome": "outcome", "team": "team_id", "user": "user_id", "end_user": "end_user"}
_HEX = re.compile(r"[0-9a-f]{1,32}")


class Page(NamedTuple):
    """Some rows, newest first, and whether there are more on either side."""

    rows: list[RequestLog]
    has_newer: bool
    has_older: bool


class LogFilterForm(forms.Form):
    """The filter bar. A value that cannot be understood is told and not applied."""

    q = forms.CharField(label="Request id or call id", required=False, max_length=MAX_LENGTHS["request_id"])
    period = forms.ChoiceField(label="Time", required=False, choices=PERIODS)
    key = forms.CharField(label="Virtual key", required=False, widget=forms.Select)
    model = forms.CharField(
        label="Model", required=False, max_length=MAX_LENGTHS["model"], widget=forms.TextInput(attrs={"list": "models"})
    )
    upstream = forms.CharField(label="Upstream", required=False, widget=forms.Select)
    status = forms.ChoiceField(label="Status", required=False, choices=STATUSES)
    outcome = forms.ChoiceField(label="Outcome", required=False)
    team = forms.CharField(label="Team", required=False, max_length=MAX_LENGTHS["team_id"])
    user = forms.CharField(label="Owner", required=False, max_length=MAX_LENGTHS["user_id"])
    end_user = forms.CharField(label="End user", required=False, max_length=MAX_LENGTHS["end_user"])
    since = forms.DateTimeField(label="From (UTC)", required=False)
    until = forms.DateTimeField(label="To (UTC)", required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("since", "until"):
            # In UTC; a script of ours lets the viewer's own zone be entered, in which it also shows the times.
            attrs = {"type": "datetime-local", "data-utc": "true"}
            self.fields[name].widget = forms.DateTimeInput(attrs=attrs, format="%Y-%m-%dT%H:%M")
        self.fields["outcome"].choices = [("", "Any outcome"), *outcome_choices()]  # type: ignore[attr-defined]
        for name, known in (("team", known_teams), ("user", known_owners), ("end_user", known_end_users)):
            self.fields[name].widget = SuggestInput(known)
        chosen = {name: str(self.data.get(name, "")) for name in ("key", "upstream")}
        self.fields["key"].widget.choices = _key_choices(chosen["key"])
        self.fields["upstream"].widget.choices = _upstream_choices(chosen["upstream"])

    @property
    def chosen(self) -> dict[str, Any]:
        """The filters that are set, by name."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value not in ("", None)}

    def branches(self, rows: RequestLogQuerySet) -> list[RequestLogQuerySet]:
        """The query sets whose union is what is asked for; each is in the order of one index.

        A class of statuses is several of them: as one range it would have to be sorted.
        """
        chosen = self.chosen
        rows = self._in_time(rows, chosen)
        for name, column in (("key", "key_id"), ("upstream", "upstream_id")):
            if name in chosen:
                rows = rows.filter(**_reference(column, chosen[name]))
        for name, column in TEXT_COLUMNS.items():
            if name in chosen:
                rows = rows.filter(**{column: chosen[name]})
        if "q" in chosen:
            rows = rows.filter(pk__in=ids_like(chosen["q"]))
        if "status" not in chosen:
            return [rows]
        if chosen["status"] == "none":
            return [rows.filter(status=None)]
        known = [status for status in known_values("status", 1000) if str(status)[0] == chosen["status"]]
        return [rows.filter(status=status) for status in known]

    @staticmethod
    def _in_time(rows: RequestLogQuerySet, chosen: dict[str, Any]) -> RequestLogQuerySet:
        if "period" in chosen:
            rows = rows.between(timezone.now() - _LENGTHS[chosen["period"]])
        return rows.between(chosen.get("since"), chosen.get("until"))


def page_of(
    branches: Sequence[RequestLogQuerySet], size: int, *, before: UUID | None = None, after: UUID | None = None
) -> Page:
    """The newest rows; or the next older ones `before` a call; or the next newer ones `after` it."""
    if after is not None:
        parts = [rows.filter(pk__gt=after).order_by("pk")[: size + 1] for rows in branches]
    elif before is not None:
        parts = [rows.older_than(before).newest_first()[: size + 1] for rows in branches]
    else:
        parts = [rows.newest_first()[: size + 1] for rows in branches]
    found = sorted(chain.from_iterable(parts), key=lambda row: row.pk, reverse=after is None)
    rows, more = found[:size], len(found) > size
    if after is not None:
        return Page(rows[::-1], has_newer=more, has_older=True)
    return Page(rows, has_newer=before is not None, has_older=more)


def ids_like(text: str) -> set[UUID]:
    """Calls whose request id or call id is the text or starts with it; at most about two thousand."""
    text = text.strip()
    found = set(_with_prefix(text).order_by("request_id").values_list("pk", flat=True)[:MOST_FOUND])
    digits = text.replace("-", "").lower()
    if _HEX.fullmatch(digits):
        first, last = (UUID(digits.ljust(32, filler)) for filler in "0f")
        rows = RequestLog.objects.filter(pk__gte=first, pk__lte=last).newest_first()
        found.update(rows.values_list("pk", flat=True)[:MOST_FOUND])
    return found


def _with_prefix(text: str) -> RequestLogQuerySet:
    """SQLite compares bytes, so a prefix is a range; its LIKE would read the whole index."""
    if connections[router.db_for_read(RequestLog)].vendor == "sqlite":
        return RequestLog.objects.filter(request_id__gte=text, request_id__lt=text + "\U0010ffff")
    return RequestLog.objects.filter(request_id__startswith=text)


def known_values(column: str, most: int) -> list[Any]:
    """The different values of an indexed column of the log, in order; one step in the index for each."""
    connection = connections[router.db_for_read(RequestLog)]
    name, table = connection.ops.quote_name(column), connection.ops.quote_name(RequestLog._meta.db_table)
    statement = (  # our own names only
        f"WITH RECURSIVE known(value) AS (SELECT MIN({name}) FROM {table} UNION ALL"  # noqa: S608
        f" SELECT (SELECT MIN({name}) FROM {table} WHERE {name} > known.value) FROM known"
        " WHERE known.value IS NOT NULL) SELECT value FROM known WHERE value IS NOT NULL LIMIT %s"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [most])
        return [value for (value,) in cursor.fetchall()]


def _reference(column: str, value: str) -> dict[str, Any]:
    if value.isdecimal() and len(value) < 19:
        return {column: int(value)}
    return {column: None} if value == NO_KEY else {"pk__in": []}


def _key_choices(chosen: str) -> list[tuple[str, str]]:
    rows = VirtualKey.objects.order_by("name").values_list("pk", "name")[:MOST_CHOICES]
    choices = [("", "Any key"), (NO_KEY, "Master key or anonymous")]
    return _with_chosen([*choices, *((str(pk), name or f"key {pk}") for pk, name in rows)], chosen, "key")


def _upstream_choices(chosen: str) -> list[tuple[str, str]]:
    rows = Upstream.objects.order_by("name").values_list("pk", "name")[:MOST_CHOICES]
    choices = [("", "Any upstream"), (NO_KEY, "None")]
    return _with_chosen([*choices, *((str(pk), name) for pk, name in rows)], chosen, "upstream")


def _with_chosen(choices: list[tuple[str, str]], chosen: str, word: str) -> list[tuple[str, str]]:
    """What was deleted since, or did not fit into the list, can still be chosen by a link."""
    if chosen and chosen not in dict(choices):
        choices.append((chosen, f"{word} {chosen}"))
    return choices
