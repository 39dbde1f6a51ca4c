"""How rows of the request log are found: a page of several ranges, ids and names by their beginning, known values.

Each question is a walk along an index. Nothing here counts rows or reads the whole log.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connections, router
from django.utils import timezone

from gateway.models import RequestFacet, RequestLog, RequestLogQuerySet, UsageDay

MOST_FOUND = 1000  # by a prefix of an id: more would have to be sorted
MOST_NAMES = 20  # that begin alike: each is a range of its own
_HEX = re.compile(r"[0-9a-f]{1,32}")
_LAST = "\U0010ffff"
_TOLD_BY_DAY = {"key_name": ("key", "label"), "end_user": ("end_user", "value")}


@dataclass(frozen=True)
class LogRange:
    """Rows in the order of one index: that of a column, or of a facet (its kind and value), of which `start` and `end`
    are the first call and the one after the last; the rows themselves are narrowed to these too."""

    rows: RequestLogQuerySet
    facet: tuple[str, str] | None = None
    start: UUID | None = None
    end: UUID | None = None

    def newest_first(self, before: UUID | None = None) -> RequestLogQuerySet:
        """Those before this call."""
        rows = self.rows if before is None else self.rows.older_than(before)
        if self.facet is None:
            return rows.newest_first()
        end = min((one for one in (self.end, before) if one is not None), default=None)
        return self._of_facet(rows, self.start, end).order_by("-facets__call_id")

    def oldest_first(self, after: UUID) -> RequestLogQuerySet:
        """Those after this call."""
        rows = self.rows.filter(pk__gt=after)
        if self.facet is None:
            return rows.order_by("pk")
        start = after if self.start is None else max(self.start, after)
        return self._of_facet(rows, start, self.end).order_by("facets__call_id")

    def _of_facet(self, rows: RequestLogQuerySet, start: UUID | None, end: UUID | None) -> RequestLogQuerySet:
        kind, value = self.facet or ("", "")
        bounds: dict[str, Any] = {"facets__kind": kind, "facets__value": value}
        if start is not None:
            bounds["facets__call_id__gte"] = start
        if end is not None:
            bounds["facets__call_id__lt"] = end
        return rows.filter(**bounds)


class Page(NamedTuple):
    """Some rows, newest first, and whether there are more on either side."""

    rows: list[RequestLog]
    has_newer: bool
    has_older: bool


class Found(NamedTuple):
    """What begins with a text: calls by their ids, names of keys, end users. `is_cut`: there may be more of them."""

    ids: set[UUID]
    key_names: list[str]
    end_users: list[str]
    is_cut: bool


def page_of(branches: Sequence[LogRange], size: int, *, before: UUID | None = None, after: UUID | None = None) -> Page:
    """The newest rows; or the next older ones `before` a call; or the next newer ones `after` it.

    The branches may have rows in common.
    """
    if after is not None:
        parts = [one.oldest_first(after)[: size + 1] for one in branches]
    else:
        parts = [one.newest_first(before)[: size + 1] for one in branches]
    each = {row.pk: row for row in chain.from_iterable(parts)}
    found = sorted(each.values(), key=lambda row: row.pk, reverse=after is None)
    rows, more = found[:size], len(found) > size
    if after is not None:
        return Page(rows[::-1], has_newer=more, has_older=True)
    return Page(rows, has_newer=before is not None, has_older=more)


def found_by(text: str, teams: Collection[str] | None = None) -> Found:
    """The calls whose request id, call id, key's name or end user begins with the text; of these teams alone (None: of
    all), so that what others have says nothing and takes no place."""
    text = text.strip()
    ids = ids_like(text, teams)
    names, users = (_names(column, text, teams) for column in ("key_name", "end_user"))
    is_cut = len(ids) >= MOST_FOUND or max(len(names), len(users)) > MOST_NAMES
    return Found(ids, names[:MOST_NAMES], users[:MOST_NAMES], is_cut)


def ids_like(text: str, teams: Collection[str] | None = None) -> set[UUID]:
    """Calls whose request id or call id is the text or starts with it; at most about two thousand of each team."""
    text = text.strip()
    parts = _by_call_id(text)
    near = _by_request_id(text, MOST_FOUND + 1)
    if teams is None:
        found = {pk for pk, _ in near[:MOST_FOUND]}
    else:
        found = {pk for pk, team in near if team in teams}
        if len(near) > MOST_FOUND:
            # In this order the database may walk along the ids that begin so, or the team's calls, if these are fewer.
            # SQLite would take the calls for few ids as well, and read all of them for one that is none of theirs.
            parts.append(_with_prefix(text).newest_first())
        parts = [part.filter(team_id=team) for part in parts for team in sorted(teams)]
    return found.union(pk for part in parts for pk in part.values_list("pk", flat=True)[:MOST_FOUND])


def few_like(text: str, teams: Collection[str] | None, most: int) -> set[UUID]:
    """As `ids_like`, but those of the first `most` calls of all teams by either id, in two walks however many teams
    there are: a whole id finds its call, and so does the beginning of one that few calls share."""
    text = text.strip()
    near = _by_request_id(text, most)
    for part in _by_call_id(text):
        near += part.values_list("pk", "team_id")[:most]
    return {pk for pk, team in near if teams is None or team in teams}


def _by_call_id(text: str) -> list[RequestLogQuerySet]:
    """The calls whose own id begins so, the newest first; nothing where no id can."""
    digits = text.replace("-", "").lower()
    if not _HEX.fullmatch(digits):
        return []
    first, last = (UUID(digits.ljust(32, filler)) for filler in "0f")
    return [RequestLog.objects.filter(pk__gte=first, pk__lte=last).newest_first()]


def _by_request_id(text: str, most: int) -> list[tuple[UUID, str | None]]:
    """The first calls, and their teams, whose request id begins so: a walk along the index of these beginnings."""
    least, below, _, order = _comparisons()
    name, table = _quoted("request_id"), _quoted(RequestLog._meta.db_table)
    statement = (  # our own names only
        f"SELECT call_id, team_id FROM {table} WHERE {name} {least} %s AND {name} {below} %s"  # noqa: S608 - our own names
        f" ORDER BY {name} {order} LIMIT %s"
    )
    with connections[router.db_for_read(RequestLog)].cursor() as cursor:
        cursor.execute(statement, [text, text + _LAST, most])
        return [(pk if isinstance(pk, UUID) else UUID(pk), team) for pk, team in cursor.fetchall()]


def _with_prefix(text: str) -> RequestLogQuerySet:
    return RequestLog.objects.filter(**_begins("request_id", text))


def _begins(column: str, text: str) -> dict[str, str]:
    """SQLite compares bytes, so a prefix is a range; its LIKE would read the whole index, and take "A" for "a"."""
    if _vendor() == "sqlite":
        return {f"{column}__gte": text, f"{column}__lt": text + _LAST}
    return {f"{column}__startswith": text}


def _names(column: str, text: str, teams: Collection[str] | None) -> list[str]:
    most = MOST_NAMES + 1
    return names_like(column, text, most) if teams is None else names_of_teams(column, text, teams, most)


def names_of_teams(column: str, text: str, teams: Collection[str], most: int) -> list[str]:
    """As `names_like`, of the calls of these teams: out of their daily sums of the days that the log reaches back, as
    the log's index of names is that of all teams. The text itself is among them, in case it is a whole name."""
    dimension, told = _TOLD_BY_DAY[column]
    since = timezone.now().date() - timedelta(days=settings.LOG_RETENTION_DAYS)
    days = UsageDay.objects.filter(dimension=dimension, day__gte=since, team_id__in=teams)
    names = days.filter(**_begins(told, text)).order_by(told).values_list(told, flat=True).distinct()
    return list(dict.fromkeys([text, *names[:most]]))[:most]


def _comparisons() -> tuple[str, str, str, str]:
    """Not less, less, more, and the order. PostgreSQL's usual order is that of a language, in which what begins alike
    need not stand together; our indexes of beginnings do not have it."""
    return ("~>=~", "~<~", "~>~", "USING ~<~") if _vendor() == "postgresql" else (">=", "<", ">", "")


def names_like(column: str, text: str, most: int) -> list[str]:
    """The different values of a text column that begin with the text; one step in its index for each."""
    least, below, above, order = _comparisons()
    name, table = _quoted(column), _quoted(RequestLog._meta.db_table)
    statement = (  # our own names only
        f"WITH RECURSIVE known(value) AS (SELECT * FROM (SELECT {name} FROM {table}"  # noqa: S608 - our own names
        f" WHERE {name} {least} %s AND {name} {below} %s ORDER BY {name} {order} LIMIT 1) AS least UNION ALL"
        f" SELECT (SELECT {name} FROM {table} WHERE {name} {above} known.value AND {name} {below} %s"
        f" ORDER BY {name} {order} LIMIT 1) FROM known WHERE known.value IS NOT NULL)"
        " SELECT value FROM known WHERE value IS NOT NULL LIMIT %s"
    )
    return _column(statement, [text, text + _LAST, text + _LAST, most])


def known_values(column: str, most: int) -> list[Any]:
    """The different values of an indexed column of the log, in order; one step in the index for each."""
    name, table = _quoted(column), _quoted(RequestLog._meta.db_table)
    return _column(*_distinct(name, table, f"{name} IS NOT NULL", [], most))  # as an index of these alone wants it said


def known_facets(kind: str, most: int) -> list[str]:
    """The different values of a kind of facet, likewise."""
    return _column(*_distinct("value", _quoted(RequestFacet._meta.db_table), "kind = %s", [kind], most))


def _distinct(name: str, table: str, where: str, parameters: list[Any], most: int) -> tuple[str, list[Any]]:
    statement = (  # our own names only
        f"WITH RECURSIVE known(found) AS (SELECT MIN({name}) FROM {table} WHERE {where} UNION ALL"  # noqa: S608 - our own names
        f" SELECT (SELECT MIN({name}) FROM {table} WHERE {where} AND {name} > known.found) FROM known"
        " WHERE known.found IS NOT NULL) SELECT found FROM known WHERE found IS NOT NULL LIMIT %s"
    )
    return statement, [*parameters, *parameters, most]


def _column(statement: str, parameters: list[Any]) -> list[Any]:
    with connections[router.db_for_read(RequestLog)].cursor() as cursor:
        cursor.execute(statement, parameters)
        return [value for (value,) in cursor.fetchall()]


def _vendor() -> str:
    return connections[router.db_for_read(RequestLog)].vendor


def _quoted(name: str) -> str:
    return connections[router.db_for_read(RequestLog)].ops.quote_name(name)
