"""Gives keys a later end, one or many at once. Knows nothing of secrets and of traffic."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminTextInputWidget
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from common.admin import log_changes
from keys.admin_confirm import Question, ask, is_confirmed
from keys.admin_limited import LimitedAdmin, counted
from keys.models import KeysVersion, VirtualKey

if TYPE_CHECKING:
    _Keys = QuerySet[VirtualKey]

NEVER, ON_A_DAY = "never", "day"
ENDS = (
    ("7", "In 7 days"),
    ("30", "In 30 days"),
    ("90", "In 90 days"),
    ("365", "In 365 days"),
    (NEVER, "Never"),
    (ON_A_DAY, "At the end of this day (UTC):"),
)


class ExtendForm(forms.Form):
    """Until when keys work. `end` of the valid form is None for never."""

    until = forms.ChoiceField(label="Expires", choices=ENDS, initial="30", widget=forms.RadioSelect)
    day = forms.DateField(
        label="Day",
        required=False,
        widget=AdminTextInputWidget(attrs={"type": "date", "class": "day-input"}),
        error_messages={"invalid": "Enter a day, such as 2027-01-31."},
    )

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or self.cleaned_data
        if found.get("until") == ON_A_DAY and "day" in found:
            if found["day"] is None:
                raise ValidationError({"day": "Choose the day, or one of the periods."})
            if _end_of(found["day"]) <= timezone.now():
                raise ValidationError({"day": "This day is over: choose a later one."})
        return found

    @property
    def end(self) -> datetime | None:
        """The chosen moment."""
        until = self.cleaned_data["until"]
        if until == ON_A_DAY:
            return _end_of(self.cleaned_data["day"])
        return None if until == NEVER else timezone.now() + timedelta(days=int(until))


def _end_of(day: date) -> datetime:
    return datetime.combine(day, time.max.replace(microsecond=0), UTC)


class ExpiryAdmin(LimitedAdmin):
    """Extends keys."""

    @admin.action(description="Extend …", permissions=["change"])
    def extend(self, request: HttpRequest, queryset: _Keys) -> HttpResponse | None:
        mine = queryset.filter(pk__in=[key.pk for key in self.granted(request, queryset, "extended")])
        if not mine.exists():
            return None
        form = ExtendForm(request.POST if is_confirmed(request) else None)
        if not form.is_valid():
            words = ("A key that has expired works again at once. No key gets an earlier end than it has.",)
            title = f"Extend {self.told(mine)}"
            question = Question(
                action="extend", title=title, words=words, button="Extend", form=form, is_dangerous=False
            )
            return ask(self, request, mine, question)
        self._extend(request, mine, form.end)
        return None

    def _extend(self, request: HttpRequest, keys: _Keys, end: datetime | None) -> None:
        with transaction.atomic():
            KeysVersion.bump()
            every = [key for key in keys if not self.withheld(request, key)]
            due = [key for key in every if _ends_before(key, end)]
            rows = VirtualKey.objects.filter(pk__in=[key.pk for key in due])
            rows.update(expires_at=end)
            until = "never" if end is None else f"{end:%Y-%m-%d %H:%M} UTC"
            log_changes(request, due, f"Extended. Expires: {until}.")
        later = len(every) - len(due)
        kept = f" {counted(later, 'key')} would not have gained by it and {'is' if later == 1 else 'are'} as before."
        text = f"Extended {counted(len(due), 'key')}.{kept if later else ''}"
        self.message_user(request, text, messages.SUCCESS if due else messages.WARNING)


def _ends_before(key: VirtualKey, end: datetime | None) -> bool:
    return key.expires_at is not None and (end is None or key.expires_at < end)
