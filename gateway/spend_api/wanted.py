"""Which calls a query asks for, as filters of the request log and, where they can tell, of the roll-ups."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connections, router
from django.db.models import BooleanField, Q
from django.db.models.expressions import RawSQL

from gateway.account.endings import FINE, FIRST_BAD_STATUS
from gateway.models import RequestLog, RequestLogQuerySet
from gateway.spend_api.queries import FAILURE, SUCCESS
from keys.models import VirtualKey

NOT_ANSWERED = Q(status__gte=FIRST_BAD_STATUS) | ~Q(outcome__in=FINE)
ANSWERED = Q(outcome__in=FINE) & (Q(status__lt=FIRST_BAD_STATUS) | Q(status=None))
"""As the roll-ups count errors (`gateway.account.endings`)."""

NO_KEY_AT_ALL = -1
_COLUMNS = ("user_id", "team_id", "end_user", "model")
# What a tag is looked for in; the second condition lets PostgreSQL use its index of tags.
_TAGGED = {
    "postgresql": "tags @> %s::jsonb AND tags <> '[]'::jsonb",
    "sqlite": "EXISTS (SELECT 1 FROM json_each(tags) WHERE json_each.value = %s)",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Some calls. `columns` are those of the request log that the roll-ups have too; `failed`: only those, or none."""

    start: datetime | None = None
    end: datetime | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    failed: bool | None = None
    tag: str | None = None
    others: Q = field(default_factory=Q)

    def rows(self) -> RequestLogQuerySet:
        """The rows of the request log, of any time."""
        found = RequestLog.objects.filter(self.others, **self.columns)
        if self.failed is not None:
            found = found.filter(NOT_ANSWERED if self.failed else ANSWERED)
        return found if self.tag is None else found.filter(_tagged(self.tag))


def wanted(query: Mapping[str, Any]) -> Wanted:
    """What a query of `queries.Calls` asks for."""
    columns = {name: query[name] for name in _COLUMNS if name in query}
    if "model_group" in query:
        columns.setdefault("model", query["model_group"])
    columns.update(key_filter(query))
    failed, codes = _statuses(query)
    others = Q(*(Q(status=code) for code in codes))
    if "outcome" in query:
        others &= Q(outcome=query["outcome"])
    if "request_id" in query:
        others &= _of_request(query["request_id"])
    return Wanted(query.get("start_date"), query.get("end_date"), columns, failed, query.get("tag"), others)


def key_filter(query: Mapping[str, Any]) -> dict[str, int]:
    """The key that `api_key` (secret or digest) or `key_alias` names; one that does not exist has no calls."""
    keys: Any = VirtualKey.objects.all()
    if "api_key" in query:
        keys = keys.with_secret(query["api_key"])
    elif "key_alias" in query:
        keys = keys.filter(name=query["key_alias"])
    else:
        return {}
    found = keys.values_list("pk", flat=True).first()
    return {"key_id": NO_KEY_AT_ALL if found is None else found}


def _statuses(query: Mapping[str, Any]) -> tuple[bool | None, list[int]]:
    words = [query[name] for name in ("status_filter", "status", "error_code") if name in query]
    codes = [int(word) for word in words if word not in (SUCCESS, FAILURE)]
    words = [word for word in words if word in (SUCCESS, FAILURE)]
    return (words[0] == FAILURE if words else None), codes


def _of_request(text: str) -> Q:
    """As LiteLLM: the client's id or that of the call."""
    try:
        return Q(request_id=text) | Q(pk=UUID(text))
    except ValueError:
        return Q(request_id=text)


def _tagged(tag: str) -> RawSQL:
    vendor = connections[router.db_for_read(RequestLog)].vendor
    value = json.dumps([tag]) if vendor == "postgresql" else tag
    return RawSQL(_TAGGED[vendor], [value], output_field=BooleanField())  # noqa: S611 - our own text
