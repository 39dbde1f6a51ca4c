"""GET /me: what the holder of a key may know of it, and of the limits that hold for its calls. No other key's data."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q, Sum
from django.http import HttpResponseRedirect
from rest_framework.request import Request
from rest_framework.response import Response

from common.errors import InvalidRequest
from common.money import dollars
from gateway.admin_pages.cause import ADMIN
from gateway.admin_pages.causes import cause_of
from gateway.limits_in_use import in_use
from gateway.models import RequestLog, UsageHour
from gateway.spend_api.pages import HOUR
from gateway.spend_api.sums import DAYS, grouped, thirty_days_ago, total
from gateway.spend_api.views import SpendView
from gateway.spend_api.wanted import NOT_ANSWERED
from keys import limit_values
from keys.errors import HolderBlocked, KeyMissing
from keys.identity import MANAGEMENT, MASTER, Identity, Party
from keys.limit_values import SOFT_BUDGET, Budget
from keys.limits import CALLS, InUse, budget_counter, rates_of, spend_counter
from keys.models import Group, Owner, SpendWindow, Team, VirtualKey
from keys.parties import party_of
from keys.permissions import check_parties
from keys.strict import StrictSerializer

MOST_ERRORS = 10
MOST_LINES = 1_000
_PARTY_COLUMNS = ("alias", "models", "metadata", "blocked", "spend_epoch", *limit_values.COLUMNS)


class NoQuery(StrictSerializer):
    """There is nothing to choose."""


class MeView(SpendView):
    """GET /me, for every usable key."""

    needs_manager = False

    def handle_exception(self, exc: Exception) -> Any:
        """Who opens the address in a browser, without a key, means the page."""
        if isinstance(exc, KeyMissing) and "text/html" in self.request.headers.get("Accept", ""):
            return HttpResponseRedirect("/me/")
        return super().handle_exception(exc)

    def get(self, request: Request) -> Response:
        """The key, its limits, its usage of 30 days and its last errors. Raises KeyMissing without a key."""
        self.query(NoQuery)
        if self.identity is MASTER:
            raise InvalidRequest("The master key has neither limits nor usage of its own; see /spend/logs.")
        key = VirtualKey.objects.filter(pk=self.identity.key_id).first()
        if key is None:
            raise KeyMissing
        return Response(facts_of(key, self.identity))


def facts_of(key: VirtualKey, identity: Identity) -> dict[str, Any]:
    """What the holder of the key may know; `identity` is that of the key."""
    parties = list(_parties(identity))
    return {
        "key": _described(key, identity),
        "blocked_by": [_block(one) for one in blocks_of(identity, parties)],
        **_limits(parties, time.time()),
        "usage": _usage(key.pk),
        "errors": _errors(key.pk),
    }


def _parties(identity: Identity) -> Iterator[Party]:
    """The key, its team and its owner, where these have been said anything of."""
    if identity.party is not None:
        yield identity.party
    tables: tuple[tuple[type[Group], str, str | None], ...] = (
        (Team, "team_id", identity.team_id),
        (Owner, "user_id", identity.user_id),
    )
    for table, column, ident in tables:
        row = table._default_manager.filter(**{column: ident}).values(*_PARTY_COLUMNS).first() if ident else None
        if ident and row is not None:
            yield party_of(table.kind, ident, row)


def _described(key: VirtualKey, identity: Identity) -> dict[str, Any]:
    return {
        "key_name": identity.masked,
        "key_alias": key.name,
        "key_type": key.key_type,
        "user_id": key.user_id,
        "team_id": key.team_id or None,
        "models": key.models,
        "endpoint_classes": key.granted_classes,
        "allowed_routes": key.allowed_routes,
        "created_at": key.created_at.isoformat(),
        "expires": key.expires_at.isoformat() if key.expires_at else None,
    }


# --- Blocks ------------------------------------------------------------------------------------------------------


def blocks_of(identity: Identity, parties: Iterable[Party]) -> Iterator[HolderBlocked]:
    """What each call of the key is refused with, as the relay says it; a management key makes none."""
    if identity.key_type == MANAGEMENT:
        return
    for party in parties:
        try:
            check_parties([party], None)
        except HolderBlocked as refusal:
            yield refusal


def _block(refusal: HolderBlocked) -> dict[str, str]:
    return {
        "of": refusal.kind,
        "name": refusal.name,
        "reason": str(refusal.message),
        "who_can_mend": ADMIN,
    }


# --- Limits ------------------------------------------------------------------------------------------------------


def _limits(parties: list[Party], now: float) -> dict[str, Any]:
    spends = {party: spend_counter(party, now) for party in parties}
    budgets = [(party, one, *budget_counter(party, one, now)) for party in parties for one in party.limits.budgets]
    counters = {counter for counter, _ in spends.values()} | {counter for _, _, counter, _ in budgets}
    used = dict(SpendWindow.objects.filter(counter__in=counters).values_list("counter", "used"))
    return {
        "spend": [
            {
                "of": party.kind,
                "name": party.label,
                "spend": float(dollars(used.get(counter, 0))),
                **_until(seconds, now),
            }
            for party, (counter, seconds) in spends.items()
        ],
        "limits": [
            *(_budget(party, one, used.get(counter, 0), seconds, now) for party, one, counter, seconds in budgets),
            *_rates(parties, now),
        ],
    }


def _budget(party: Party, budget: Budget, used: int, seconds: float | None, now: float) -> dict[str, Any]:
    def shown(amount: int) -> float | int:
        return float(dollars(amount)) if budget.unit == "usd" else amount

    return {
        **_line(party, budget.name, budget.model, budget.unit),
        "period": budget.period or None,
        "ceiling": shown(budget.ceiling),
        "used": shown(used),
        "left": shown(max(0, budget.ceiling - used)),
        **_until(seconds, now),
    }


def _rates(parties: Iterable[Party], now: float) -> Iterator[dict[str, Any]]:
    """Open calls and limits a minute: what is in use of them where calls are counted, None while nobody can tell."""
    rates = [(party, charge) for party in parties for charge in rates_of(party)]
    found: Sequence[InUse | None] | None = in_use([charge for _, charge in rates]) if rates else None
    for (party, charge), told in zip(rates, found or [None] * len(rates), strict=True):
        used, seconds = told or (None, None)
        yield {
            **_line(party, charge.limit, charge.model, charge.unit or CALLS),
            "period": "1m" if charge.seconds else None,
            "ceiling": charge.ceiling,
            "used": used,
            "left": None if used is None else max(0, charge.ceiling - used),
            **_until(seconds if used and charge.seconds else None, now),
        }


def _line(party: Party, name: str, model: str | None, unit: str) -> dict[str, Any]:
    enforced = name != SOFT_BUDGET and name not in party.limits.shadow
    return {"of": party.kind, "name": party.label, "limit": name, "model": model, "unit": unit, "enforced": enforced}


def _until(seconds: float | None, now: float) -> dict[str, str | None]:
    return {"resets_at": None if seconds is None else datetime.fromtimestamp(round(now + seconds), UTC).isoformat()}


# --- Usage -------------------------------------------------------------------------------------------------------


def _usage(key_id: int) -> dict[str, Any]:
    hours = UsageHour.objects.filter(key_id=key_id, hour__gte=thirty_days_ago())
    lines = grouped(hours, "day", "model", most=MOST_LINES)
    return {
        "days": DAYS,
        "total": _figures(total(hours)),
        "by_model_and_day": [
            {"date": day.isoformat(), "model": model, **_figures(sums)}
            for (day, model), sums in sorted(lines, key=lambda group: group.values, reverse=True)
        ],
    }


def _figures(sums: Any) -> dict[str, Any]:
    return {
        "calls": sums.calls,
        "errors": sums.errors,
        "failed": sums.failed,
        "refused": sums.refused,
        "cut": sums.cut,
        "prompt_tokens": sums.prompt_tokens,
        "completion_tokens": sums.completion_tokens,
        "cached_tokens": sums.cached_tokens,
        "spend": None if sums.cost is None else float(sums.cost),
    }


# --- Errors ------------------------------------------------------------------------------------------------------


def _errors(key_id: int) -> list[dict[str, Any]]:
    """The last ten. Only hours that had errors are read, as the roll-ups tell: a key may have millions of calls."""
    hours = UsageHour.objects.filter(key_id=key_id, errors__gt=0).order_by("-hour").values_list("hour")
    found: list[RequestLog] = []
    for hour, _ in hours.annotate(calls=Sum("errors"))[:MOST_ERRORS]:
        rows = RequestLog.objects.filter(Q(key_id=key_id) & NOT_ANSWERED).between(hour, hour + HOUR)
        found += rows.newest_first()[: MOST_ERRORS - len(found)]
        if len(found) >= MOST_ERRORS:
            break
    return [_error(row) for row in found]


def _error(row: RequestLog) -> dict[str, Any]:
    cause = cause_of(row.outcome, row.status, row.error_type, row.error_text)
    return {
        "at": row.received_at.isoformat(),
        "call_id": row.call_id.hex,
        "request_id": row.request_id,
        "model": row.model,
        "route": row.route,
        "status": row.status,
        "type": row.error_type,
        "outcome": row.outcome,
        "reason": row.error_text or (cause.sentence if cause else None),
        "who_can_mend": cause.who if cause else None,
    }
