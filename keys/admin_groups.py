"""The admin pages of teams, owners and end users, as far as keys are concerned; `gateway.admin` adds their traffic."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, ClassVar, cast

from django.contrib import admin
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from common.admin import BAD, GOOD, badge, figure, moment
from keys.admin_budgets import SpendChangeList
from keys.admin_group_forms import EndUserForm, OwnerForm, TeamForm, group_fieldsets
from keys.admin_limited import LimitedAdmin, address_of, counted
from keys.admin_limits import folded
from keys.admin_scope import EveryTeamOnly, TeamScoped
from keys.models import KeysVersion, Owner, Team, VirtualKey

SHOWN_KEYS = 10
LISTED_KEYS = 50
STATE_BADGES = {False: (GOOD, "Active"), True: (BAD, "Blocked")}


class BlockedFilter(admin.SimpleListFilter):
    """Active or blocked."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("active", "Active"), ("blocked", "Blocked")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        states = {"active": False, "blocked": True}
        value = self.value()
        return queryset.filter(blocked=states[value]) if value in states else queryset


class GroupAdmin(LimitedAdmin):
    """Those who have limits and are no keys. `ident` is the column by which they are named."""

    ident: ClassVar[str]
    list_display: tuple[str, ...] = ("label", "state_badge", "budget", "limits", "made")
    list_display_links = ("label",)
    list_filter = (BlockedFilter,)
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    change_form_template = "admin/keys/group/change_form.html"
    change_list_template = "admin/keys/group/change_list.html"
    plural: ClassVar[str]
    explained: ClassVar[str]

    @admin.display(description="name")
    def label(self, row: Any) -> SafeString:
        under = row.public_id if row.alias and row.alias != row.public_id else ""
        return format_html('{}<span class="under">{}</span>', str(row), under)

    @admin.display(description="state")
    def state_badge(self, row: Any) -> SafeString:
        return badge(*STATE_BADGES[row.blocked])

    @admin.display(description="added", ordering="created_at")
    def made(self, row: Any) -> SafeString | str:
        return moment(row.created_at)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        words = {"title": self.plural, "explained": self.explained, "noun": self.noun, "article": self.article}
        return super().changelist_view(request, {**words, **(extra_context or {})})

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().add_view(request, form_url, {**self._words(f"Add {self.article}"), **(extra_context or {})})

    @property
    def article(self) -> str:
        """The noun with its article."""
        return f"{'an' if self.noun[0] in 'eo' else 'a'} {self.noun}"

    def _words(self, title: str) -> dict[str, Any]:
        return {"title": title, "subtitle": None, "plural": self.plural, "show_save_and_add_another": False}

    def facts(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return {
            **super().facts(request, row),
            **self._words(str(row)),
            "state": self.state_badge(row),
            "ident": row.public_id,
            "added_at": moment(row.created_at),
        }

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # Keys and calls name it by this text: under another one they would be without its limits.
        return (self.ident,) if obj is not None else ()

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return group_fieldsets((self.ident, "alias"), obj)


class KeyCountChangeList(SpendChangeList):
    """A page of rows with the number of their keys, which takes one query for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        counts = key_counts(cast("Any", self.model).column, [row.public_id for row in self.result_list])
        for row in self.result_list:
            row.key_count = counts.get(row.public_id, 0)


def key_counts(column: str, ids: Collection[str]) -> dict[str, int]:
    """How many keys each of these has."""
    rows = VirtualKey.objects.filter(**{f"{column}__in": ids}).order_by().values(column).annotate(keys=Count("pk"))
    return dict(rows.values_list(column, "keys"))


class HolderAdmin(GroupAdmin):
    """Those who hold keys, which are deleted with them."""

    delete_confirmation_template = "admin/keys/group/delete_confirmation.html"
    list_display: tuple[str, ...] = ("label", "state_badge", "budget", "limits", "key_number", "made")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeyCountChangeList

    @admin.display(description="keys")
    def key_number(self, row: Any) -> SafeString:
        if not row.key_count:
            return format_html('<span class="number">{}</span>', 0)
        return format_html('<a class="number" href="{}">{}</a>', self._keys_url(row), figure(row.key_count))

    def _keys_url(self, row: Any) -> str:
        return f"{reverse('admin:keys_virtualkey_changelist')}?{urlencode({row.column: row.public_id})}"

    def facts(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        found: dict[str, Any] = super().facts(request, row)
        if not request.user.has_perm("keys.view_virtualkey"):
            return found
        number = row.keys.count()
        shown = row.keys.prefetch_related("secrets")[:SHOWN_KEYS]
        return {
            **found,
            "keys": [(key, address_of(request, key)) for key in shown],
            "keys_url": self._keys_url(row),
            "key_number": counted(number, "key"),
            "more_keys": max(0, number - SHOWN_KEYS),
        }

    # --- Delete -----------------------------------------------------------------------------------

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list[Any], dict[str, int], Any, list[Any]]:
        """What the confirmation says: the keys go too."""
        listed, counts, lacking, protected = super().get_deleted_objects(objs, request)
        keys = self._keys_of(objs)
        number = keys.count()
        if number:
            counts = {**counts, "virtual keys": number}
            told: list[Any] = [
                format_html('Virtual key: <a href="{}">{}</a>', url, key)
                if (url := address_of(request, key))
                else str(key)
                for key in keys.prefetch_related("secrets")[:LISTED_KEYS]
            ]
            more = [f"and {number - LISTED_KEYS} more virtual keys"] if number > LISTED_KEYS else []
            listed = [*listed, cast("Any", [*told, *more])]
            if not request.user.has_perm("keys.delete_virtualkey"):
                lacking = {*lacking, "virtual key"}
        return listed, counts, lacking, protected

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        number = 0 if row is None else row.keys.count()
        context = {"plural": self.plural, "noun": self.noun, "key_number": counted(number, "key") if number else ""}
        return super().delete_view(request, object_id, {**context, **(extra_context or {})})

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with transaction.atomic():
            self._log_keys(request, [obj])
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        with transaction.atomic():
            self._log_keys(request, list(queryset))
            super().delete_queryset(request, queryset)

    def _log_keys(self, request: HttpRequest, rows: Collection[Any]) -> None:
        """Into the history of the keys: with whom they went. Holds the version's lock, so that no key comes between."""
        KeysVersion.bump()
        for row in rows:
            keys = list(row.keys.prefetch_related("secrets"))
            message = f"Deleted with the {self.noun} {row}."
            LogEntry.objects.log_actions(request.user.pk, keys, DELETION, message)  # type: ignore[arg-type]

    def _keys_of(self, rows: Iterable[Any]) -> QuerySet[VirtualKey]:
        ids = [row.public_id for row in rows]
        keys: QuerySet[VirtualKey] = VirtualKey.objects.filter(**{f"{self.model.column}__in": ids})
        return keys


class TeamAdmin(HolderAdmin, TeamScoped):
    """Several keys that share limits."""

    noun, plural, ident = "team", "Teams", "team_id"
    blocking = "All of its keys are refused within a second, and their running streams are cut."
    explained = "The keys of a team share its limits and its budget, beside those of their own."
    model: type[Team]
    form = TeamForm
    search_fields = ("team_id", "alias")
    search_help_text = "Name or team id"

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return group_fieldsets(("team_id", "alias"), obj, folded("Members", ("members",), obj))


class OwnerAdmin(HolderAdmin, EveryTeamOnly):
    """Who holds keys; the key API calls it a user."""

    noun, plural, ident = "owner", "Owners", "user_id"
    blocking = "All keys of the owner are refused within a second, and their running streams are cut."
    explained = "An owner holds keys, which share the owner's limits. The REST API calls owners users."
    model: type[Owner]
    form = OwnerForm
    search_fields = ("user_id", "alias", "email")
    search_help_text = "Name, owner id or e-mail address"

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return group_fieldsets(("user_id", "alias", "email", "role", "login_id"), obj)

    def facts(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        people = get_user_model()._default_manager
        person = people.filter(pk=row.login_id).first() if row.login_id is not None else None
        url = address_of(request, person) if person is not None else ""
        return {**super().facts(request, row), "login": person, "login_url": url}


class EndUserAdmin(GroupAdmin, EveryTeamOnly):
    """The people behind the calls, as far as anything is said of them."""

    noun, plural, ident = "end user", "End users", "end_user_id"
    blocking = "Calls that name them are refused within a second, whatever key is used; running streams are cut."
    explained = (
        "An end user is the person behind a call, as the caller names them. Add one here to limit or to block them; "
        "all others may call as their key may."
    )
    form = EndUserForm
    search_fields = ("end_user_id", "alias")
    search_help_text = "Name or end user id"
