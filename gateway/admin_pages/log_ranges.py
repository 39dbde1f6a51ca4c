"""Which rows of the log filters ask for, so that ten million answer at once: a range of an index, or a few of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import BooleanField, Q
from django.db.models.expressions import RawSQL

from gateway.account.endings import CUTTING, FAILING, FIRST_BAD_STATUS, OTHERWISE
from gateway.account.entry import Outcome
from gateway.admin_pages.log_search import Found, LogRange, known_values
from gateway.admin_pages.log_times import bounds
from gateway.models import ANY, SHADOWED, TAG, RequestLogQuerySet

MOST_STATUSES = 200
MOST_TEAMS = 50  # as a range each; of more, the log is walked for them
NO_KEY = "none"
ANY_LIMIT = "any"
TEXT_COLUMNS = {
    "model": "model",
    "route": "route",
    "error_type": "error_type",
    "outcome": "outcome",
    "team": "team_id",
    "user": "user_id",
    "end_user": "end_user",
    "endpoint_class": "endpoint_class",
}
_OUTCOMES = {
    "failed": FAILING,
    "refused": (Outcome.REFUSED,),
    "cut": CUTTING,
    "trouble": OTHERWISE,
}
# Written out, as in the index that has these rows alone: SQLite takes that for no condition with parameters.
_OTHERWISE = ", ".join(f"'{outcome}'" for outcome in OTHERWISE)
_ERROR_ANSWERS = (
    f"NOT (gateway_requestlog.outcome IN ({_OTHERWISE})) AND gateway_requestlog.status >= {FIRST_BAD_STATUS}"
)

Alternatives = list[Q]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: the filters that are `chosen`, by name; what the text that is searched for has `found`, None
    without one; of the calls of these `teams` alone, None for all."""

    chosen: Mapping[str, Any]
    found: Found | None
    teams: frozenset[str] | None

    def ranges_of(self, rows: RequestLogQuerySet) -> list[LogRange]:
        """The ranges whose union is what is asked for; each is in the order of one index.

        Of what allows several values (a class of statuses, names that begin alike, teams), the first is read as a
        range for each: as one range it would have to be sorted. The rest only narrows these.
        """
        rows = self._narrowed(rows)
        several = [one for one in (self._searched(), self._ends(), self._statuses(), self._scope()) if one is not None]
        if not all(several):
            return []
        facet, *facets = self._facets() or (None,)
        for kind, value in facets:
            rows = rows.filter(facets__kind=kind, facets__value=value)
        start, end = bounds(self.chosen)
        # A facet is a range already: of its rows, those of any of the several values.
        first, others = ([Q()], several) if facet is not None or not several else (several[0], several[1:])
        for alternatives in others:
            rows = rows.filter(reduce(or_, alternatives))
        return [LogRange(rows.filter(one), facet, start, end) for one in first]

    def _narrowed(self, rows: RequestLogQuerySet) -> RequestLogQuerySet:
        chosen = self.chosen
        start, end = bounds(chosen)
        if start is not None:
            rows = rows.filter(pk__gte=start)
        if end is not None:
            rows = rows.filter(pk__lt=end)
        for name, column in (("key", "key_id"), ("upstream", "upstream_id")):
            if name in chosen:
                rows = rows.filter(**_reference(column, chosen[name]))
        for name, column in TEXT_COLUMNS.items():
            if name in chosen:
                rows = rows.filter(**{column: chosen[name]})
        if "streaming" in chosen:
            rows = rows.filter(streaming__in=[chosen["streaming"] == "yes"])  # "= false" is no range to all databases
        return rows

    def _facets(self) -> list[tuple[str, str]]:
        """Limits in shadow first, as fewer calls have one."""
        chosen, found = self.chosen, []
        if "shadowed" in chosen:
            found.append((SHADOWED, ANY if chosen["shadowed"] == ANY_LIMIT else chosen["shadowed"]))
        if "tag" in chosen:
            found.append((TAG, chosen["tag"]))
        return found

    def _searched(self) -> Alternatives | None:
        if self.found is None:
            return None
        names = [Q(key_name=name) for name in self.found.key_names]
        users = [Q(end_user=user) for user in self.found.end_users]
        ids = [Q(pk__in=self.found.ids)] if self.found.ids else []
        return [*ids, *names, *users]

    def _ends(self) -> Alternatives | None:
        ended = self.chosen.get("ended")
        if ended is None:
            return None
        found = [Q(outcome=outcome.value) for outcome in _OUTCOMES[ended]]
        if ended in ("failed", "trouble"):
            found.append(Q(RawSQL(_ERROR_ANSWERS, [], output_field=BooleanField())))  # noqa: S611 - our own text
        return found

    def _statuses(self) -> Alternatives | None:
        status = self.chosen.get("status")
        if status is None:
            return None
        if status == "none":
            return [Q(status=None)]
        return [Q(status=one) for one in ([int(status)] if len(status) == 3 else _known_statuses(status))]

    def _scope(self) -> Alternatives | None:
        if self.teams is None:
            return None
        if len(self.teams) > MOST_TEAMS:
            return [Q(team_id__in=self.teams)]
        return [Q(team_id=team) for team in sorted(self.teams)]


def _known_statuses(classes: str) -> list[int]:
    return [status for status in known_values("status", MOST_STATUSES) if str(status)[0] in classes]


def _reference(column: str, value: str) -> dict[str, Any]:
    if value.isdecimal() and len(value) < 19:
        return {column: int(value)}
    return {column: None} if value == NO_KEY else {"pk__in": []}
