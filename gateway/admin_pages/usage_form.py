"""What is asked of the usage page: a query string, read and made good."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta
from typing import Any

from django import forms
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from gateway.admin_pages.usage_figures import DIMENSIONS, MEASURES, STEPS, Asked

RANGES = {
    "7d": "Last 7 days",
    "30d": "Last 30 days",
    "90d": "Last 90 days",
    "month": "This month",
    "last-month": "Last month",
    "year": "Last 12 months",
    "own": "From … to …",
}
LONGEST = timedelta(days=1_100)
EARLIEST = date(2000, 1, 1)
_DEFAULTS = {"by": "team", "range": "30d", "step": "day", "measure": "tokens"}
_DAY = forms.DateInput(attrs={"type": "date"})


class LongSelect(forms.Select):
    """A choice of a thousand teams, put together at once: Django makes a template's answer of each."""

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        """As Django's, without groups of choices."""
        attributes = flatatt(self.build_attrs(self.attrs, {**(attrs or {}), "name": name}))
        return format_html("<select{}>{}</select>", attributes, options(self.choices, str(value or "")))


def options(choices: Iterable[tuple[Any, Any]], chosen: str) -> SafeString:
    """The options of a list, values and words, of which one is chosen."""
    found = ((value, SafeString(" selected") if str(value) == chosen else "", words) for value, words in choices)
    return format_html_join("", '<option value="{}"{}>{}</option>', found)


class UsageForm(forms.Form):
    """Fields of the query; whatever is missing has its default."""

    by = forms.ChoiceField(label="By", choices=list(DIMENSIONS.items()))
    measure = forms.ChoiceField(label="Show", choices=list(MEASURES.items()))
    range = forms.ChoiceField(label="Time", choices=list(RANGES.items()))
    step = forms.ChoiceField(label="Steps", choices=list(STEPS.items()))
    since = forms.DateField(label="From (UTC)", required=False, widget=_DAY)
    until = forms.DateField(label="To (UTC)", required=False, widget=_DAY)
    team = forms.ChoiceField(label="Team", required=False, widget=LongSelect)

    def __init__(self, query: Mapping[str, Any], *, teams: Mapping[str, str], today: date) -> None:
        super().__init__({**_DEFAULTS, **{name: query[name] for name in query if query[name]}}, auto_id="usage-%s")
        self.today = today
        self.fields["team"].choices = [("", "All teams"), *teams.items()]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """The days, where they are said one by one. Each mistake is a sentence; days to come are left out."""
        found: dict[str, Any] = super().clean() or {}
        if found.get("range") == "own" and not self.errors:
            self._clean_days(found)
        return found

    def _clean_days(self, found: dict[str, Any]) -> None:
        since, until = found.get("since"), found.get("until") or self.today
        tomorrow = self.today + timedelta(days=1)  # which it already is in the east of UTC
        if since is None:
            self.add_error("since", "Choose the first day.")
        elif not EARLIEST <= since <= tomorrow:
            self.add_error("since", f"Choose a day from {EARLIEST.year} to today.")
        elif until < since:
            self.add_error("until", "The last day must not be before the first.")
        elif min(until, tomorrow) - since > LONGEST:
            self.add_error("since", f"Choose at most {LONGEST.days} days.")
        else:
            found["until"] = max(since, min(until, self.today))

    def asked(self, visible: Collection[str] | None) -> Asked:
        """What a valid form asks for, of the teams that may be seen (None: all)."""
        data = self.cleaned_data
        first, last = _days(data, self.today)
        teams = [data["team"]] if data["team"] else visible
        return Asked(data["by"], first, last, data["measure"], data["step"], teams)


def _days(data: Mapping[str, Any], today: date) -> tuple[date, date]:
    chosen, this_month = data["range"], today.replace(day=1)
    if chosen == "own":
        return data["since"], data["until"]
    if chosen == "month":
        return this_month, today
    if chosen == "last-month":
        last = this_month - timedelta(days=1)
        return last.replace(day=1), last
    if chosen == "year":
        return _a_year_before_the_end_of(this_month), today
    return today - timedelta(days=int(chosen.removesuffix("d")) - 1), today


def _a_year_before_the_end_of(month: date) -> date:
    """So that the month is the twelfth."""
    return month.replace(year=month.year - (month.month < 12), month=month.month % 12 + 1)
