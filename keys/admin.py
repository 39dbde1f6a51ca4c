"""The admin pages of virtual keys, as far as keys are concerned; `gateway.admin` adds their traffic and registers them.

Writes go through the models, which bump the version.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import DateTimeField, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from common.admin import QUIET, WARNING, UtcInput, badge, moment
from keys.admin_budgets import Spend, SpendChangeList, budget_cell
from keys.admin_expiry import ExpiryAdmin
from keys.admin_filters import LastUseFilter, OwnerFilter, StateFilter, TeamFilter, found
from keys.admin_forms import KeyForm, key_fieldsets
from keys.admin_left import Limited
from keys.admin_limited import address_of
from keys.admin_near import BudgetFilter
from keys.admin_revoking import RevokingAdmin
from keys.admin_scope import KeysScoped, withheld
from keys.admin_secrets import SecretsAdmin
from keys.admin_states import holders_of, state_badges
from keys.identity import DEFAULT
from keys.limit_words import in_short
from keys.models import VirtualKey
from keys.scope import visible_teams

if TYPE_CHECKING:
    _Keys = QuerySet[VirtualKey]

ENDED = "The time that you set is over: this ends the key now. Its calls are refused until it gets a later end."


class KeyChangeList(SpendChangeList):
    """A page of keys with their owners and teams; two queries for each of the two."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        holders = holders_of(self.result_list)
        for key in self.result_list:
            key.holders = holders[key.pk]
            names = {holder.word: str(holder.row) for holder in key.holders}
            key.owner_name, key.team_name = names.get("Owner", key.user_id), names.get("Team", key.team_id)


class VirtualKeyAdmin(RevokingAdmin, ExpiryAdmin, SecretsAdmin, KeysScoped):
    """Issue, change, block, kill, rotate, extend and delete keys."""

    noun = "key"
    form = KeyForm
    formfield_overrides = {
        DateTimeField: {"form_class": forms.DateTimeField, "widget": UtcInput, "label": "Expires at (UTC)"}
    }
    list_display: tuple[str, ...] = (
        "label",
        "state_badge",
        "holder",
        "use",
        "expiry",
        "last_use",
    )
    list_display_links = ("label",)
    list_filter: ClassVar[Any] = (StateFilter, BudgetFilter, LastUseFilter, "key_type", TeamFilter, OwnerFilter)
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("name",)  # and more, see get_search_results
    search_help_text = "Name, owner, team, or the last four characters of a secret"
    list_per_page = 50
    actions = ("block", "unblock", "rotate", "extend", "kill")
    row_actions = ("block", "unblock", "extend", "kill")
    blocking = "Calls are refused within a second, and running streams are cut."

    def withheld(self, request: HttpRequest, row: VirtualKey) -> str:
        return withheld(request.user, row)

    # --- The list ---------------------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeyChangeList

    def get_queryset(self, request: HttpRequest) -> _Keys:
        return super().get_queryset(request).prefetch_related("secrets")

    def get_search_results(self, request: HttpRequest, queryset: _Keys, search_term: str) -> tuple[_Keys, bool]:
        return found(queryset, search_term), False

    @admin.display(description="name", ordering="name")
    def label(self, key: VirtualKey) -> SafeString:
        return format_html('{}<span class="label-secret">{}</span>', key.name or "(no name)", key.masked)

    @admin.display(description="owner, team", ordering="user_id")
    def holder(self, key: Any) -> SafeString | None:
        if not key.user_id and not key.team_id:
            return None
        return format_html('{}<span class="under">{}</span>', key.owner_name or "", key.team_name or "")

    @admin.display(description="state")
    def state_badge(self, key: Any) -> SafeString:
        return state_badges(key, key.spend, key.holders) + self.type_badge(key)

    def type_badge(self, key: VirtualKey) -> SafeString:
        """What the key is for, where that is nothing usual."""
        if key.key_type == DEFAULT:
            return SafeString()
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
        words = {"title": "Virtual keys", "manages_no_team": visible_teams(request.user) == frozenset()}
        return super().changelist_view(request, {**words, **(extra_context or {})})

    # --- Change -----------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: VirtualKey | None = None) -> Any:
        return key_fieldsets(obj, "expires_at")

    def facts(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        secrets = sorted(row.secrets.all(), key=lambda secret: secret.pk, reverse=True)
        row.holders = holders_of([row])[row.pk]
        shared = super().facts(request, row)
        return {
            **shared,
            "state": state_badges(row, shared["spend"], row.holders) + self.type_badge(row),
            "issued_at": moment(row.created_at),
            "expires_at": moment(row.expires_at, "never"),
            "used_at": self.last_use(row),
            "holders": list(self._holders(request, row)),
            "withheld": self.withheld(request, row),
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

    def limited(self, request: HttpRequest, row: Any, spend: Spend) -> Iterator[Limited]:
        yield from super().limited(request, row, spend)
        for holder in row.holders:
            # What an owner spends is also of keys of other teams.
            if holder.word == "Team" or visible_teams(request.user) is None:
                url = address_of(request, holder.row)
                yield Limited(holder.word, str(holder.row), url, holder.row, holder.spend)

    def _holders(self, request: HttpRequest, key: Any) -> Iterator[dict[str, Any]]:
        """The key's team and owner, with their pages where they have any, and the models that they leave to the key."""
        rows = {holder.word: holder.row for holder in key.holders}
        for word, ident in (("Team", key.team_id), ("Owner", key.user_id)):
            if ident:
                row = rows.get(word)
                url = address_of(request, row) if row is not None else ""
                models = row.models if row is not None and isinstance(row.models, list) else ()
                yield {"word": word, "name": str(row or ident), "url": url, "exists": row is not None, "models": models}

    def save_model(self, request: HttpRequest, obj: VirtualKey, form: Any, change: bool) -> None:  # noqa: FBT001
        super().save_model(request, obj, form, change)
        if "team_id" in form.changed_data:
            self.warn_of_team(request, obj.team_id)
        if "expires_at" in form.changed_data and obj.expires_at is not None and obj.expires_at <= timezone.now():
            self.message_user(request, ENDED, messages.WARNING)


def age(length: timedelta) -> str:
    """How old something is, in the unit that suits it."""
    hours = int(length.total_seconds() // 3600)
    number, unit = (hours // 24, "day") if hours >= 48 else (hours, "hour")
    return f"{number} {unit if number == 1 else unit + 's'}" if hours else "under an hour"
