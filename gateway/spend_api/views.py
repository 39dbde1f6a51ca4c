"""LiteLLM's `/spend/*` and `/global/*`, for managers: rows of the request log, and sums of the roll-ups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from common.errors import InvalidRequest
from gateway.models import UsageHour, UsageHourTag, UsageHourTotal
from gateway.spend_api import queries, spenders
from gateway.spend_api.pages import MOST_COUNTED, Asked, page_of
from gateway.spend_api.rows import described, digests_of
from gateway.spend_api.sums import added, by_day, grouped, in_range, total
from gateway.spend_api.wanted import key_filter, wanted
from keys.base_view import ManagementView
from keys.models import Team, VirtualKey
from keys.strict import StrictSerializer

TRUNCATED = "x-litellm-spend-logs-truncated"
UNASSIGNED = "Unassigned"
ALL_TAGS = "all-tags"
MOST_TEAMS = 10


class SpendView(ManagementView):
    """What the views of usage share."""

    def query(self, serializer_class: type[StrictSerializer]) -> dict[str, Any]:
        """The validated query. Raises InvalidRequest."""
        given = self.request.query_params.dict()
        return queries.read(serializer_class, given, lenient=settings.LENIENT_KEY_API)


class PageView(SpendView):
    """GET /spend/logs/v2 and /spend/logs/ui: rows in pages."""

    def get(self, request: Request) -> Response:
        """LiteLLM's page, with `has_more` and `next_cursor`, by which the next one is found however far it is."""
        query = self.query(queries.Page)
        asked = Asked(query["page"], query["page_size"], query.get("cursor"), query["sort_order"] == "asc")
        page = page_of(wanted(query), asked)
        return Response(
            {
                "data": described(page.rows, self.identity),
                "total": page.total,
                "page": asked.number,
                "page_size": asked.size,
                "total_pages": -(-page.total // asked.size),
                "total_is_capped": page.is_capped,
                "has_more": page.has_more,
                "next_cursor": page.rows[-1].pk.hex if page.has_more else None,
            }
        )


class RowsView(SpendView):
    """GET /spend/logs: the newest rows as they are, or sums by day where both dates are given."""

    def get(self, request: Request) -> Response:
        """A bare array, as LiteLLM; a header tells when there are more rows than it holds."""
        query = self.query(queries.Rows)
        if query["summarize"] and "start_date" in query and "end_date" in query:
            return Response(_summary(query, self))
        found = wanted(query)
        rows = list(found.rows().between(found.start, found.end).newest_first()[: MOST_COUNTED + 1])
        headers = {TRUNCATED: "true"} if len(rows) > MOST_COUNTED else {}
        return Response(described(rows[:MOST_COUNTED], self.identity), headers=headers)


def _summary(query: Mapping[str, Any], view: SpendView) -> list[dict[str, Any]]:
    """LiteLLM's days: `spend`, `users`, `models`, and the spend of each key under its digest."""
    for name in ("request_id", "tag", "status_filter", "status", "error_code", "outcome"):
        if name in query:
            raise InvalidRequest(f"{name}: Sums by day cannot tell this; say summarize=false.", param=name)
    hours = in_range(UsageHour.objects.filter(**wanted(query).columns), query)
    found = by_day(hours, "user_id", "model", "key_id")
    days = {
        day: {"startTime": day.isoformat(), "spend": sums.spend, "users": {}, "models": {}}
        for (day,), sums in added(found, 0).items()
    }
    for name, place in (("users", 1), ("models", 2)):
        for (day, value), sums in added(found, 0, place).items():
            days[day][name][value] = sums.spend
    digests = digests_of((group.values[3] for group in found), view.identity)
    for (day, key_id), sums in added(found, 0, 3).items():
        if key_id in digests:
            days[day][digests[key_id]] = sums.spend
    return list(days.values())


class KeysView(SpendView):
    """GET /spend/keys: keys with what they have spent in the period of their budget."""

    def get(self, request: Request) -> Response:
        """The costliest first. A management key sees none of its own kind."""
        return Response(spenders.keys(self.query(queries.Holders), self.identity))


class UsersView(SpendView):
    """GET /spend/users: owners likewise."""

    def get(self, request: Request) -> Response:
        """The costliest first, or the one of `user_id`."""
        return Response(spenders.users(self.query(queries.Holders)))


class TagsView(SpendView):
    """GET /spend/tags."""

    def get(self, request: Request) -> Response:
        """The costliest first."""
        hours = in_range(UsageHourTag.objects.all(), self.query(queries.Range))
        return Response(
            [
                {"individual_request_tag": tag, "log_count": sums.calls, "total_spend": sums.spend}
                for (tag,), sums in grouped(hours, "tag", most=queries.MOST_ROWS)
            ]
        )


class GlobalTagsView(SpendView):
    """GET /global/spend/tags."""

    def get(self, request: Request) -> Response:
        """Of the tags named in `tags`, or of all."""
        query = queries.needing_range(self.query(queries.Tags))
        hours = in_range(UsageHourTag.objects.all(), query)
        named = split(query.get("tags", ""))
        if named and ALL_TAGS not in named:
            hours = hours.filter(tag__in=named)
        found = grouped(hours, "tag", most=queries.MOST_ROWS)
        tags = [{"name": tag, "spend": sums.spend, "log_count": sums.calls} for (tag,), sums in found]
        return Response({"spend_per_tag": tags})


class GlobalView(SpendView):
    """GET /global/spend."""

    def get(self, request: Request) -> Response:
        """What all calls have cost. There is no budget of all."""
        hours = in_range(UsageHourTotal.objects.all(), self.query(queries.Range))
        return Response({"spend": total(hours).spend, "max_budget": None})


class GlobalDaysView(SpendView):
    """GET /global/spend/logs."""

    def get(self, request: Request) -> Response:
        """What each day has cost, of all keys or of one."""
        query = self.query(queries.OfKey)
        of_key = key_filter(query)
        hours = UsageHour.objects.filter(**of_key) if of_key else UsageHourTotal.objects.all()
        found = by_day(in_range(hours, query))
        return Response([{"date": day.isoformat(), "spend": sums.spend} for (day,), sums in found])


class GlobalKeysView(SpendView):
    """GET /global/spend/keys."""

    def get(self, request: Request) -> Response:
        """The costliest keys. A deleted one keeps its name, and has no digest."""
        query = self.query(queries.Top)
        found = grouped(in_range(UsageHour.objects.all(), query), "key_id", most=query["limit"])
        ids = [group.values[0] for group in found]
        digests = digests_of(ids, self.identity)
        names = {key.pk: key for key in VirtualKey.objects.filter(pk__in=ids).prefetch_related("secrets")}
        gone = dict(UsageHour.objects.filter(key_id__in=set(ids) - names.keys()).values_list("key_id", "key_name"))
        return Response(
            [
                {
                    "api_key": digests.get(key_id, ""),
                    "key_alias": names[key_id].name if key_id in names else gone.get(key_id),
                    "key_name": names[key_id].masked if key_id in names else None,
                    "total_spend": sums.spend,
                }
                for (key_id,), sums in found
            ]
        )


class GlobalModelsView(SpendView):
    """GET /global/spend/models."""

    def get(self, request: Request) -> Response:
        """The costliest models."""
        query = self.query(queries.TopModels)
        hours = in_range(UsageHour.objects.exclude(model=""), query)
        found = grouped(hours, "model", most=query["limit"])
        return Response([{"model": model, "total_spend": sums.spend} for (model,), sums in found])


class GlobalTeamsView(SpendView):
    """GET /global/spend/teams."""

    def get(self, request: Request) -> Response:
        """Each day's spend by team, by the teams' names, and the ten costliest."""
        hours = in_range(UsageHour.objects.all(), self.query(queries.Range))
        found = by_day(hours, "team_id")
        names = team_names({group.values[1] for group in found})
        days: dict[str, dict[str, Any]] = {}
        totals: dict[str, float] = {}
        for (day, team_id), sums in found:
            name = names.get(team_id, team_id) or UNASSIGNED
            one = days.setdefault(day.isoformat(), {"date": day.isoformat()})
            one[name] = one.get(name, 0.0) + sums.spend
            totals[name] = totals.get(name, 0.0) + sums.spend
        top = sorted(totals.items(), key=lambda item: -item[1])[:MOST_TEAMS]
        return Response(
            {
                "daily_spend": list(days.values()),
                "teams": sorted(totals),
                "total_spend_per_team": [{"team_id": name, "total_spend": spend} for name, spend in top],
            }
        )


class GlobalActivityView(SpendView):
    """GET /global/activity."""

    def get(self, request: Request) -> Response:
        """Calls and tokens of each day."""
        query = queries.needing_range(self.query(queries.Range))
        found = by_day(in_range(UsageHourTotal.objects.all(), query))
        return Response(
            {
                "daily_data": [
                    {"date": f"{day:%b %d}", "api_requests": sums.calls, "total_tokens": sums.tokens}
                    for (day,), sums in found
                ],
                "sum_api_requests": sum(group.sums.calls for group in found),
                "sum_total_tokens": sum(group.sums.tokens for group in found),
            }
        )


def team_names(ids: set[str]) -> dict[str, str]:
    """What the teams are called, by id; only of those that have a name."""
    return dict(Team.objects.filter(team_id__in=ids).exclude(alias="").values_list("team_id", "alias"))


def split(text: str) -> list[str]:
    """The parts of a list with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]
