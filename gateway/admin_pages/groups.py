"""Teams, owners and end users in the admin, with what was used in their names."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils.safestring import SafeString

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
