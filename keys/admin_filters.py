"""By what the list of keys is narrowed and searched."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import smart_split, unescape_string_literal

from keys.admin_limited import ExactFilter
from keys.models import Owner, Secret, Team, VirtualKey

if TYPE_CHECKING:
    _Keys = QuerySet[VirtualKey]

SOON = timedelta(days=7)
RECENT = timedelta(days=30)


class StateFilter(admin.SimpleListFilter):
    """Active, blocked or expired, as `VirtualKey.state` tells them apart; about to expire; refused with a holder."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("active", "Active"),
            ("blocked", "Blocked"),
            ("expired", "Expired"),
            ("soon", "Expires in 7 days"),
            ("held", "Team or owner blocked"),
        ]

    def queryset(self, request: HttpRequest, queryset: _Keys) -> _Keys:
        now = timezone.now()
        expired = Q(expires_at__lte=now)
        states = {
            "active": Q(blocked=False) & ~expired,
            "blocked": Q(blocked=True),
            "expired": Q(blocked=False) & expired,
            "soon": Q(blocked=False, expires_at__gt=now, expires_at__lte=now + SOON),
            "held": Q(team_id__in=_blocked(Team)) | Q(user_id__in=_blocked(Owner)),
        }
        return queryset.filter(states.get(self.value() or "", Q()))


def _blocked(table: type[Team | Owner]) -> Any:
    return table._default_manager.filter(blocked=True).values(table.column)


class LastUseFilter(admin.SimpleListFilter):
    """Who calls, and which keys lie about."""

    title = "last use"
    parameter_name = "used"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("recently", "In the last 30 days"), ("long_ago", "Longer ago"), ("never", "Never")]

    def queryset(self, request: HttpRequest, queryset: _Keys) -> _Keys:
        since = timezone.now() - RECENT
        uses = {
            "recently": Q(last_used_at__gte=since),
            "long_ago": Q(last_used_at__lt=since),
            "never": Q(last_used_at=None),
        }
        return queryset.filter(uses.get(self.value() or "", Q()))


class TeamFilter(ExactFilter):
    """The keys of one team."""

    title = "team"
    parameter_name = "team_id"


class OwnerFilter(ExactFilter):
    """The keys of one owner."""

    title = "owner"
    parameter_name = "user_id"


def found(keys: _Keys, words: str) -> _Keys:
    """The keys that all of the words are found in: name, owner, team, or the last four characters of a secret."""
    for word in _words(words):
        keys = keys.filter(
            Q(name__icontains=word)
            | Q(user_id__icontains=word)
            | Q(team_id__icontains=word)
            | Q(team_id__in=Team.objects.filter(alias__icontains=word).values("team_id"))
            | Q(user_id__in=_owners(word).values("user_id"))
            | Q(pk__in=Secret.objects.filter(last_four=word[-4:] if _is_masked(word) else word).values("key_id"))
        )
    return keys


def _words(text: str) -> Iterable[str]:
    for word in smart_split(text):
        is_quoted = word.startswith(('"', "'")) and len(word) > 1 and word[0] == word[-1]
        yield unescape_string_literal(word) if is_quoted else word


def _owners(word: str) -> QuerySet[Any]:
    owners: QuerySet[Any] = Owner.objects.filter(Q(alias__icontains=word) | Q(email__icontains=word))
    return owners


def _is_masked(word: str) -> bool:
    """Whether this is how lists and logs show a key: `sk-...abcd`."""
    return word.startswith("sk-...") and len(word) == len("sk-...") + 4
