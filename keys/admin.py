"""The admin pages of virtual keys, as far as keys are concerned; `gateway.admin` adds their traffic and registers them.

Writes go through the models, which bump the version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from common.admin import BAD, GOOD, QUIET, WARNING, badge, moment
from keys.admin_budgets import SpendChangeList, budget_cell
from keys.admin_forms import KeyForm, key_fieldsets
from keys.admin_limited import ExactFilter, LimitedAdmin, address_of
from keys.admin_secrets import SecretsAdmin
from keys.identity import DEFAULT
from keys.limit_words import in_short
from keys.models import Owner, Team, VirtualKey

if TYPE_CHECKING:
    _Keys = QuerySet[VirtualKey]

STATE_BADGES = {
    "active": (GOOD, "Active"),
    "blocked": (BAD, "Blocked"),
    "expired": (WARNING, "Expired"),
}


class StateFilter(admin.SimpleListFilter):
    """Active, blocked or expired, as `VirtualKey.state` tells them apart."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, text) for state, (_, text) in STATE_BADGES.items()]

    def queryset(self, request: HttpRequest, queryset: _Keys) -> _Keys:
        expired = Q(expires_at__lte=timezone.now())
        states = {
            "active": Q(blocked=False) & ~expired,
            "blocked": Q(blocked=True),
            "expired": Q(blocked=False) & expired,
        }
        return queryset.filter(states.get(self.value() or "", Q()))


class TeamFilter(ExactFilter):
    """The keys of one team."""

    title = "team"
    parameter_name = "team_id"


class OwnerFilter(ExactFilter):
    """The keys of one owner."""

    title = "owner"
    parameter_name = "user_id"


class KeyChangeList(SpendChangeList):
    """A page of keys with the names of their owners and teams; one query for each of the two."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        owners, teams = (_names(table, self.result_list) for table in (Owner, Team))
        for key in self.result_list:
            key.owner_name = owners.get(key.user_id, key.user_id)
            key.team_name = teams.get(key.team_id, key.team_id)


def _names(table: type[Owner | Team], keys: Iterable[VirtualKey]) -> dict[str, str]:
    column = table.column
    idents = {getattr(key, column) for key in keys} - {None}
    rows = table._default_manager.filter(**{f"{column}__in": idents}).exclude(alias="")
    return dict(rows.values_list(column, "alias"))


class VirtualKeyAdmin(LimitedAdmin, SecretsAdmin):
    """Issue, change, block, rotate and delete keys."""

    noun = "key"
    form = KeyForm
    list_display: tuple[str, ...] = (
        "label",
        "state_badge",
        "masked_secret",
        "holder",
        "use",
        "expiry",
        "last_use",
    )
    list_display_links = ("label",)
    list_filter = (StateFilter, "key_type", TeamFilter, OwnerFilter)
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("name", "user_id", "team_id", "=secrets__last_four")
    search_help_text = "Name, owner, team, or the last four characters of a secret"
    list_per_page = 50
    actions = ("block", "unblock", "rotate")

    # --- The list ---------------------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeyChangeList

    def get_queryset(self, request: HttpRequest) -> _Keys:
        return super().get_queryset(request).prefetch_related("secrets")

    @admin.display(description="name", ordering="name")
    def label(self, key: VirtualKey) -> str:
        return key.name or "(no name)"

    @admin.display(description="secret")
    def masked_secret(self, key: VirtualKey) -> SafeString:
        return badge("code", key.masked)

    @admin.display(description="owner, team", ordering="user_id")
    def holder(self, key: Any) -> SafeString | None:
        if not key.user_id and not key.team_id:
            return None
        return format_html('{}<span class="under">{}</span>', key.owner_name or "", key.team_name or "")

    @admin.display(description="state")
    def state_badge(self, key: VirtualKey) -> SafeString:
        state = badge(*STATE_BADGES[key.state])
        return state + self.type_badge(key) if key.key_type != DEFAULT else state

    def type_badge(self, key: VirtualKey) -> SafeString:
        """What the key is for."""
        return badge(WARNING if key.is_management else QUIET, key.get_key_type_display())

    @admin.display(description="budget and limits")
    def use(self, key: Any) -> SafeString | None:
        found = budget_cell(key.spend) or "", in_short(key)
        return format_html('{}<span class="under">{}</span>', *found) if any(found) else None

    @admin.display(description="expires", ordering="expires_at")
    def expiry(self, key: VirtualKey) -> SafeString | str:
        return moment(key.expires_at, "never")

    @admin.display(description="last use", ordering="last_used_at")
    def last_use(self, key: VirtualKey) -> SafeString | str:
        return moment(key.last_used_at, "never")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Virtual keys", **(extra_context or {})})

    # --- Change -----------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: VirtualKey | None = None) -> Any:
        return key_fieldsets(obj, "expires_at")

    def facts(self, request: HttpRequest, row: VirtualKey) -> dict[str, Any]:
        secrets = sorted(row.secrets.all(), key=lambda secret: secret.pk, reverse=True)
        return {
            **super().facts(request, row),
            "state": self.state_badge(row),
            "issued_at": moment(row.created_at),
            "used_at": self.last_use(row),
            "holders": list(self._holders(request, row)),
            "secrets": [
                {
                    "masked": str(secret),
                    "age": age(timezone.now() - secret.created_at),
                    "made": moment(secret.created_at),
                    "used": moment(secret.last_used_at, "never"),
                    "until": moment(secret.expires_at, "as long as the key"),
                    "is_over": secret.expires_at is not None and secret.expires_at <= timezone.now(),
                }
                for secret in secrets
            ],
        }

    def _holders(self, request: HttpRequest, key: VirtualKey) -> Iterator[dict[str, str]]:
        """The key's team and owner, with their pages where they have any."""
        for word, ident, table in (("Team", key.team_id, Team), ("Owner", key.user_id, Owner)):
            if ident:
                row = table._default_manager.filter(**{f"{table.column}__exact": ident}).first()
                url = address_of(request, row) if row is not None else ""
                yield {"word": word, "name": str(row or ident), "url": url, "exists": "yes" if row else ""}

    def save_model(self, request: HttpRequest, obj: VirtualKey, form: Any, change: bool) -> None:  # noqa: FBT001
        super().save_model(request, obj, form, change)
        if "team_id" in form.changed_data:
            self.warn_of_team(request, obj.team_id)


def age(length: timedelta) -> str:
    """How old something is, in the unit that suits it."""
    hours = int(length.total_seconds() // 3600)
    number, unit = (hours // 24, "day") if hours >= 48 else (hours, "hour")
    return f"{number} {unit if number == 1 else unit + 's'}" if hours else "under an hour"
