"""LiteLLM's `/user/daily/activity` and its like, for managers: each day's usage, with what it is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.models import UsageHour
from gateway.spend_api import queries
from gateway.spend_api.rows import digests_of
from gateway.spend_api.sums import Group, Sums, added, by_day, costliest, in_range
from gateway.spend_api.views import SpendView, split, team_names
from gateway.spend_api.wanted import key_filter
from keys.models import EndUser, VirtualKey
from keys.strict import StrictSerializer

MOST_LISTED = 100
"""Keys, and holders, that a day's breakdown lists: those with most spend in the pages' days."""
PROVIDER = "hosted_vllm"


class DailyView(SpendView):
    """One answer for owners, teams and end users; `column` is theirs in the roll-ups."""

    serializer_class: type[StrictSerializer]
    column: str
    of_keys: tuple[str, ...] = ()
    """The column, where a key has one value of it: then one look at the roll-ups tells all."""

    def hours(self, query: Mapping[str, Any]) -> QuerySet[UsageHour]:
        """The roll-ups of the holders that the query names; of all holders where it names none."""
        found = UsageHour.objects.exclude(**{self.column: ""})
        named, excluded = (split(query.get(f"{prefix}{self.column}s", "")) for prefix in ("", "exclude_"))
        if named:
            found = found.filter(**{f"{self.column}__in": named})
        return found.exclude(**{f"{self.column}__in": excluded}) if excluded else found

    def about(self, holders: set[str]) -> Mapping[str, dict[str, Any]]:
        """What is said of each holder beside its figures."""
        raise NotImplementedError

    def get(self, request: Request) -> Response:
        """One page of days, the newest first; `metadata` has the sums of all pages."""
        query = self.query(self.serializer_class)
        hours = in_range(self.hours(query).filter(**key_filter(query)), query)
        if "model" in query:
            hours = hours.filter(model=query["model"])
        whole = by_day(hours, "model", "key_id", *self.of_keys)
        days = list(added(whole, 0).items())[::-1]
        first = (query["page"] - 1) * query["page_size"]
        page = days[first : first + query["page_size"]]
        breakdown = _Breakdown(self, hours, [day for (day,), _ in page], whole)
        return Response(
            {
                "results": [
                    {"date": day.isoformat(), "metrics": metrics(sums), "breakdown": breakdown.of(day, sums)}
                    for (day,), sums in page
                ],
                "metadata": {
                    **_totals(sums for _, sums in days),
                    "page": query["page"],
                    "total_pages": -(-len(days) // query["page_size"]),
                    "has_more": first + query["page_size"] < len(days),
                    "api_key_limit": MOST_LISTED,
                    "total_api_keys": breakdown.keys,
                },
            }
        )


class UserDailyView(DailyView):
    """GET /user/daily/activity: of one owner, or of all calls, whoever owns their keys."""

    serializer_class = queries.UserActivity
    column = "user_id"
    of_keys = ("user_id",)

    def hours(self, query: Mapping[str, Any]) -> QuerySet[UsageHour]:
        named = {"user_id": query["user_id"]} if "user_id" in query else {}
        return UsageHour.objects.filter(**named)

    def about(self, holders: set[str]) -> Mapping[str, dict[str, Any]]:
        return {}


class TeamDailyView(DailyView):
    """GET /team/daily/activity."""

    serializer_class = queries.TeamActivity
    column = "team_id"
    of_keys = ("team_id",)

    def about(self, holders: set[str]) -> Mapping[str, dict[str, Any]]:
        return {team_id: {"team_alias": alias} for team_id, alias in team_names(holders).items()}


class EndUserDailyView(DailyView):
    """GET /customer/daily/activity and /end_user/daily/activity."""

    serializer_class = queries.EndUserActivity
    column = "end_user"

    def hours(self, query: Mapping[str, Any]) -> QuerySet[UsageHour]:
        names = {name.replace("end_user_ids", "end_users"): value for name, value in query.items()}
        return super().hours(names)

    def about(self, holders: set[str]) -> Mapping[str, dict[str, Any]]:
        found = EndUser.objects.filter(end_user_id__in=holders).exclude(alias="")
        return {name: {"alias": alias} for name, alias in found.values_list("end_user_id", "alias")}


class _Breakdown:
    """What the days of a page are made of."""

    def __init__(
        self, view: DailyView, hours: QuerySet[UsageHour], days: Sequence[date], whole: Sequence[Group]
    ) -> None:
        shown = frozenset(days)
        whole = [group for group in whole if group.values[0] in shown]
        keys, holders = added(whole, 0, 2), added(whole, 0, 3) if view.of_keys else {}
        if days and not view.of_keys:
            within = hours.filter(hour__gte=_midnight(days[-1]), hour__lt=_midnight(days[0]) + timedelta(days=1))
            holders = {group.values: group.sums for group in by_day(within, view.column)}
        self.keys = len({key_id for _, key_id in keys})
        self._models, self._keys, self._holders = _listed(added(whole, 0, 1)), _listed(keys), _listed(holders)
        self._digests = digests_of(_values(self._keys), view.identity)
        named = VirtualKey.objects.filter(pk__in=self._digests)
        self._about_keys = {
            pk: {"key_alias": alias, "team_id": team or None, "user_id": user, "key_exists": True}
            for pk, alias, team, user in named.values_list("pk", "name", "team_id", "user_id")
        }
        self._about_holders = view.about(_values(self._holders))

    def of(self, day: date, sums: Sums) -> dict[str, Any]:
        """LiteLLM's `breakdown`. A key that is gone has no digest: it is listed by its number."""
        models = {model: _entry(one, {}) for model, one in self._models.get(day, ())}
        return {
            "models": models,
            "model_groups": models,
            "providers": {PROVIDER: _entry(sums, {})},
            "api_keys": {
                self._digests.get(key_id, f"key {key_id}"): _entry(one, self._about_keys.get(key_id, {}))
                for key_id, one in self._keys.get(day, ())
            },
            "entities": {
                name or "Unassigned": _entry(one, self._about_holders.get(name, {}))
                for name, one in self._holders.get(day, ())
            },
            "mcp_servers": {},
            "endpoints": {},
        }


Listed = dict[date, list[tuple[Any, Sums]]]


def _listed(found: Mapping[tuple[Any, ...], Sums]) -> Listed:
    groups = [Group(*item) for item in found.items()]
    top = {value for (value,) in costliest(added(groups, 1), MOST_LISTED)}
    listed: Listed = {}
    for (day, value), sums in groups:
        if value in top:
            listed.setdefault(day, []).append((value, sums))
    return listed


def _values(listed: Listed) -> set[Any]:
    return {value for some in listed.values() for value, _ in some}


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _entry(sums: Sums, about: Mapping[str, Any]) -> dict[str, Any]:
    return {"metrics": metrics(sums), "metadata": dict(about), "api_key_breakdown": {}}


def metrics(sums: Sums) -> dict[str, Any]:
    """LiteLLM's names for the sums."""
    return {
        "spend": sums.spend,
        "prompt_tokens": sums.prompt_tokens,
        "completion_tokens": sums.completion_tokens,
        "total_tokens": sums.tokens,
        "cache_read_input_tokens": sums.cached_tokens,
        "cache_creation_input_tokens": 0,
        "api_requests": sums.calls,
        "successful_requests": sums.calls - sums.errors,
        "failed_requests": sums.errors,
    }


def _totals(days: Iterable[Sums]) -> dict[str, Any]:
    whole = Sums()
    for one in days:
        whole = whole.plus(one)
    names = {"total_tokens": "total_tokens"}
    return {names.get(name, f"total_{name}"): value for name, value in metrics(whole).items()}
