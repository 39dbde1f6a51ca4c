"""Kills keys: blocks them, which cuts their running streams, and leads to where one sees that it has happened."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from django.contrib import admin, messages
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

KILLING = (
    "For a key that has leaked: it is blocked everywhere within a second, and each of its running streams is cut "
    "within two. The next page shows, worker by worker, that this has happened."
)
MOST_KILLED = 100  # at once: their ids stand in the address of the page that watches


class RevokingAdmin(LimitedAdmin):
    """Kills keys. What runs with them only the gateway knows: it fills in `open_calls` and `watch`."""

    @admin.action(description="Kill …", permissions=["change"])
    def kill(self, request: HttpRequest, queryset: _Keys) -> HttpResponse | None:
        if queryset.count() > MOST_KILLED:
            self.message_user(request, f"Kill at most {MOST_KILLED} keys at once.", messages.ERROR)
            return None
        if not is_confirmed(request):
            running = self.open_calls(list(queryset))
            words = (KILLING, f"Running at this moment: {running}.") if running else (KILLING,)
            title = f"Kill {self.told(queryset)}?"
            return ask(self, request, queryset, Question(action="kill", title=title, words=words, button="Kill"))
        keys, version = self._kill(request, queryset)
        return self.watch(request, keys, version)

    def _kill(self, request: HttpRequest, queryset: _Keys) -> tuple[list[VirtualKey], int]:
        """The keys, and the version with which they are blocked."""
        with transaction.atomic():
            KeysVersion.bump()
            keys = list(queryset)
            running = self.open_calls(keys)
            VirtualKey.objects.filter(pk__in=[key.pk for key in keys]).update(blocked=True, updated_at=timezone.now())
            log_changes(request, keys, f"Killed. Running at that moment: {running}." if running else "Killed.")
            return keys, KeysVersion.current()

    def open_calls(self, keys: Collection[VirtualKey]) -> str:
        """How many calls are open with these keys, in words; empty when nobody knows."""
        return ""

    def watch(self, request: HttpRequest, keys: Collection[VirtualKey], version: int) -> HttpResponse | None:
        """Leads to what is seen of it; None leads back."""
        self.message_user(request, f"Killed {counted(len(keys), 'key')}.", messages.SUCCESS)
        return None
