"""In whose names a call was made, for its page: the key, its team, its owner and the end user."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.http import HttpRequest
from django.utils.http import urlencode

from common.admin import DASH
from gateway.models import RequestLog
from keys.admin_limited import address_of
from keys.limit_words import KIND_WORDS
from keys.models import EndUser, Owner, Team, VirtualKey


class CallParty(NamedTuple):
    """One of them; `page` is the address of its page and `calls` the query of its calls, empty where there is none."""

    kind: str
    word: str
    name: str
    page: str
    calls: str

    @property
    def noun(self) -> str:
        """What it is."""
        return KIND_WORDS[self.kind]


def parties_of(request: HttpRequest, call: RequestLog) -> Iterator[CallParty]:
    """All four, also those that the call does not name."""
    yield _key(request, call)
    for kind, word, ident, table, column in (
        ("team", "Team", call.team_id, Team, "team_id"),
        ("user", "Owner", call.user_id, Owner, "user_id"),
        ("end_user", "End user", call.end_user, EndUser, "end_user_id"),
    ):
        row = table._default_manager.filter(**{column: ident}).first() if ident else None
        name = ident if row is None or str(row) == ident else f"{row} ({ident})"
        yield CallParty(kind, word, name or DASH, _page(request, row), _calls(kind, ident))


def _key(request: HttpRequest, call: RequestLog) -> CallParty:
    row = None if call.key_id is None else VirtualKey.objects.filter(pk=call.key_id).first()
    name = call.key_name or (DASH if call.key_id is None else str(call.key_id))
    gone = " (deleted)" if call.key_id is not None and row is None else ""
    return CallParty("key", "Virtual key", f"{name}{gone}", _page(request, row), _calls("key", call.key_id))


def _page(request: HttpRequest, row: Any) -> str:
    return "" if row is None else address_of(request, row)


def _calls(kind: str, ident: str | int | None) -> str:
    return f"?{urlencode({kind: ident})}" if ident else ""
