"""Teams, owners and end users in the admin, with what was used in their names."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from common.admin import pressed
from gateway.admin_pages import team_managers
from gateway.admin_pages.known_models import KnowsRelay
from gateway.admin_pages.party_traffic import party_traffic
from gateway.admin_pages.traffic import calls_and_tokens, figures, logs_url_with
from gateway.admin_pages.usage import NOTHING, of_each
from keys.admin_budgets import SpendChangeList
from keys.admin_groups import EndUserAdmin, GroupAdmin, KeyCountChangeList, OwnerAdmin, TeamAdmin


class _UsageOfGroups(ChangeList):
    """Adds their usage to a page of teams, owners or end users; one query for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        usage = of_each(LOG_COLUMNS[cast("Any", self.model).kind], [row.public_id for row in self.result_list])
        for row in self.result_list:
            row.usage = usage.get(row.public_id, NOTHING)


class HolderUsageChangeList(_UsageOfGroups, KeyCountChangeList):
    """A page of teams or owners."""


class EndUserUsageChangeList(_UsageOfGroups, SpendChangeList):
    """A page of end users."""


LOG_COLUMNS = {"team": "team_id", "user": "user_id", "end_user": "end_user"}
"""In which column of the request log those of a kind are named."""


class GroupTrafficAdmin(KnowsRelay, GroupAdmin):
    """Teams, owners and end users, and what was used in their names."""

    @admin.display(description="calls, 24 h")
    def calls(self, row: Any) -> SafeString:
        return calls_and_tokens(row.usage)

    def facts(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        usage = of_each(LOG_COLUMNS[row.kind], [row.public_id]).get(row.public_id, NOTHING)
        logs_url = logs_url_with(request, **{row.kind: row.public_id})
        return {
            **super().facts(request, row),
            "traffic": figures(usage),
            "logs_url": logs_url,
            "traffic_of": party_traffic(request, LOG_COLUMNS[row.kind], row.public_id),
        }


class TeamTrafficAdmin(GroupTrafficAdmin, TeamAdmin):
    """Teams with their traffic."""

    list_display = (*TeamAdmin.list_display, "calls")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return HolderUsageChangeList

    def facts(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return {**super().facts(request, row), "managers": team_managers.managers_of(request, row)}

    @pressed
    def managers_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Adds the person of the name in `person`, or removes the one whose id is in `remove`."""
        team = self.get_object(request, str(object_id))
        if team is None:
            raise Http404
        if not self.has_view_permission(request, team):
            raise PermissionDenied
        name, removed = request.POST.get("person", "").strip(), request.POST.get("remove", "")
        if "\0" in name:
            raise BadRequest
        if removed.isdecimal() and len(removed) < 19:
            self._remove_manager(request, team, int(removed))
        else:
            self._add_manager(request, team, name)
        return redirect("admin:keys_team_change", team.pk)

    def _remove_manager(self, request: HttpRequest, team: Any, pk: int) -> None:
        person = team_managers.remove(request, team, pk)
        if person is None:
            words = "Nothing was changed: they do not manage this team, or may do more than you."
            self.message_user(request, words, messages.WARNING)
        else:
            self.message_user(request, f"“{person}” does not manage {team} any more.", messages.SUCCESS)

    def _add_manager(self, request: HttpRequest, team: Any, name: str) -> None:
        person = team_managers.add(request, team, name)
        if person is None:
            words = f"Nobody whom you may change signs in as “{name[:150]}”: add them under Users first."
            self.message_user(request, words, messages.ERROR)
        elif not team_managers.sees_keys(person):
            words = f"“{person}” manages {team}, and has no role that shows keys: give them one on their page."
            self.message_user(request, words, messages.WARNING)
        else:
            self.message_user(request, f"“{person}” manages {team}.", messages.SUCCESS)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.managers_view)
        return [path("<int:object_id>/managers/", view, name="keys_team_managers"), *super().get_urls()]


class OwnerTrafficAdmin(GroupTrafficAdmin, OwnerAdmin):
    """Owners with their traffic."""

    list_display = (*OwnerAdmin.list_display, "calls")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return HolderUsageChangeList


class EndUserTrafficAdmin(GroupTrafficAdmin, EndUserAdmin):
    """End users with their traffic."""

    list_display = (*EndUserAdmin.list_display, "calls")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return EndUserUsageChangeList
