"""The traffic of a key, a team, an owner or an end user on its page: two weeks in charts, its last calls, and
the last of them that were not answered.

Figures come from the roll-ups; of the log only a few rows are read, by an index. Everything is cut to the teams that
the viewer may see.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from common.admin import figure
from common.money import units
from gateway.account.endings import failed_share
from gateway.admin_pages.causes import cause_of
from gateway.admin_pages.home.chart import COLOURS
from gateway.admin_pages.log_columns import result_badge
from gateway.models import RequestLog, UsageDay, UsageHour, UsageHourModel
from gateway.spend_api.sums import Sums, by_day
from gateway.spend_api.wanted import NOT_ANSWERED
from keys.limit_words import UNPRICED, dollars
from keys.scope import scoped

DAYS = 14
MOST_CALLS = 8
MOST_ERRORS = 5
HOUR = timedelta(hours=1)
_DIMENSIONS = {"key_id": "key", "team_id": "team", "user_id": "owner", "end_user": "end_user"}
_FILTERS = {"key_id": "key", "team_id": "team", "user_id": "user", "end_user": "end_user"}
"""What the list of calls calls them."""


@dataclass(frozen=True, slots=True)
class LastError:
    """A call that was not answered, in words; `alike` leads to the calls of the same party with this type of error."""

    call: RequestLog
    url: str
    alike: str
    result: SafeString
    sentence: str
    who: str


@dataclass(frozen=True, slots=True)
class PartyTraffic:
    """What the page shows. `figures` are pairs of a name and a figure."""

    figures: list[tuple[str, str]]
    calls_chart: dict[str, Any]
    tokens_chart: dict[str, Any]
    last_calls: list[tuple[RequestLog, str, SafeString]]
    last_errors: list[LastError]
    may_see_calls: bool
    unpriced: str
    """A sentence where tokens were used and none had a price; else empty."""

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing in these weeks."""
        return not any(any(series["values"]) for series in self.calls_chart["series"])


def party_traffic(request: HttpRequest, column: str, value: str | int) -> PartyTraffic:
    """The traffic of one. `column` names it in the request log: `key_id`, `team_id`, `user_id` or `end_user`."""
    days = _days(scoped(UsageDay.objects.filter(dimension=_DIMENSIONS[column], value=str(value)), request.user))
    hours = scoped(_last_hours(column).filter(**{column: value}), request.user)
    may_see_calls = request.user.has_perm("gateway.view_requestlog")
    calls: Any = scoped(RequestLog.objects.filter(**{column: value}), request.user)
    whole = reduce(Sums.plus, days.values(), Sums())
    return PartyTraffic(
        _figures(whole),
        _calls_chart(days),
        _tokens_chart(days),
        [(call, _page(call), result_badge(call)) for call in calls.newest_first()[:MOST_CALLS]]
        if may_see_calls
        else [],
        list(_last_errors(hours, calls, {_FILTERS[column]: str(value)})) if may_see_calls else [],
        may_see_calls,
        UNPRICED if whole.is_unpriced else "",
    )


def _last_hours(column: str) -> QuerySet[Any]:
    """The sums by hour of the last days in which those of a column are found by an index: of teams each hour is a place
    of one, the others have their own."""
    now = timezone.now()
    if column != "team_id":
        return UsageHour.objects.filter(hour__gte=now - timedelta(days=DAYS))
    last = now.replace(minute=0, second=0, microsecond=0)
    return UsageHourModel.objects.filter(hour__in=[last - hour * HOUR for hour in range(DAYS * 24)])


def _days(sums_by_day: QuerySet[Any]) -> dict[datetime, Sums]:
    """The sums of each of the last days, today's last; days of UTC, as budgets have them."""
    today = timezone.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    dates = [today - timedelta(days=ago) for ago in reversed(range(DAYS))]
    found = {values[0]: sums for values, sums in by_day(sums_by_day.filter(day__gte=dates[0].date()))}
    return {date: found.get(date.date(), Sums()) for date in dates}


def _figures(whole: Sums) -> list[tuple[str, str]]:
    share = failed_share(answered=whole.answered, failed=whole.failed)
    failed = figure(whole.failed) + (f" ({100 * share:.1f} % of those let through)" if share is not None else "")
    cost = "—" if whole.cost is None else dollars(units(whole.cost))
    return [
        ("Calls", figure(whole.calls)),
        ("Failed", failed),
        ("Refused", figure(whole.refused)),
        *([("Cut", figure(whole.cut))] if whole.cut else []),
        ("Tokens", figure(whole.tokens)),
        ("Spend", cost),
    ]


def _chart(days: dict[datetime, Sums], unit: str, series: Sequence[tuple[str, list[int], int]]) -> dict[str, Any]:
    return {
        "x": [int(day.timestamp()) for day in days],
        "series": [{"name": name, "unit": unit, "values": values, "colour": colour} for name, values, colour in series],
        "stacked": True,
        "kind": "bars",
        "dates": "day",
    }


def _calls_chart(days: dict[datetime, Sums]) -> dict[str, Any]:
    found = [(name, [getattr(one, name) for one in days.values()], colour) for name, colour in COLOURS.items()]
    return _chart(
        days, "calls", [(name, values, colour) for name, values, colour in found if name != "cut" or any(values)]
    )


def _tokens_chart(days: dict[datetime, Sums]) -> dict[str, Any]:
    prompt, completion = (
        [getattr(one, f"{kind}_tokens") for one in days.values()] for kind in ("prompt", "completion")
    )
    return _chart(days, "tokens", [("prompt", prompt, 1), ("completion", completion, 2)])


def _last_errors(hours: QuerySet[Any], calls: Any, party: Mapping[str, str]) -> Iterator[LastError]:
    """The newest ones of the last days. Only hours that had such are read: there may be millions of calls."""
    failed = hours.filter(errors__gt=0).order_by("-hour").values_list("hour")
    left = MOST_ERRORS
    for hour, _ in failed.annotate(failed=Sum("errors"))[:MOST_ERRORS]:
        for call in calls.filter(Q(NOT_ANSWERED)).between(hour, hour + HOUR).newest_first()[:left]:
            left -= 1
            yield _error(call, party)
        if not left:
            return


def _error(call: RequestLog, party: Mapping[str, str]) -> LastError:
    cause = cause_of(call.outcome, call.status, call.error_type, call.error_text)
    sentence = cause.sentence if cause else call.error_text or "The call failed, and nobody said why."
    query = urlencode({**party, "error_type": call.error_type or ""})
    alike = f"{reverse('admin:gateway_requestlog_changelist')}?{query}"
    return LastError(call, _page(call), alike, result_badge(call), sentence, cause.who if cause else "")


def _page(call: RequestLog) -> str:
    return reverse("admin:gateway_requestlog_change", args=[call.pk])
