"""What the search of the admin's frame finds beside its pages: rows of a few tables by their names, calls by their ids.

Each table is asked as its own list is: with its permission, and among the rows that the person may see there. What is
asked for comes in a body, so that no address, log or history has it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import and_, or_
from typing import Any

from django.contrib import admin
from django.db.models import Case, Model, OuterRef, Q, QuerySet, Subquery, When
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from common.admin import posted_from
from gateway.admin_pages.key_named import NO_SECRET, looks_like_secret
from gateway.admin_pages.log_search import few_like
from gateway.admin_pages.navigation import MODELS
from gateway.admin_pages.playground_keys import usual
from gateway.models import RequestLog
from gateway.secrets_in_text import without_secrets
from keys import crypto
from keys.models import EndUser, Owner, Secret, Team, VirtualKey
from keys.scope import visible_teams
from upstreams.models import Deployment, ModelAlias, Upstream

MOST = 5  # of each table
MOST_WORDS = 5
MOST_READ = 20_000  # rows of a table in whose names a part is looked for
MOST_PLACES = 50  # deployments, of which several may be of one model
SHORTEST, LONGEST = 2, 255  # a shorter text is in nearly every name, a longer one in none
SHORTEST_ID = 6
MOST_NEAR = 200  # calls whose ids begin alike, of which the newest are shown
_LAST_FOUR = 4

Found = dict[str, str]
"""One line: `name`, `detail`, `url`, and of calls `at`, in ISO 8601."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows that are found by their names: by how the one in the column `indexed` begins, among however many there are,
    and by what is within any of the `columns` among the newest ones."""

    model: type[Model]
    indexed: str
    columns: tuple[str, ...]
    detail: Callable[[Any], str]
    exactly: Callable[[str], Q | None] = lambda text: None
    """By what else the text may name a row, before all names."""
    narrowed: Callable[[QuerySet[Any]], QuerySet[Any]] = lambda rows: rows

    def found(self, request: HttpRequest, text: str, *, of_all: bool) -> list[Found]:
        """A handful of those that this person may see; `of_all`: they may see the rows of every team."""
        page = admin.site.get_model_admin(self.model)
        if not page.has_view_or_change_permission(request):
            return []
        rows = self.narrowed(page.get_queryset(request))
        found: list[Any] = []
        for condition, order in self._ways(text, newest=self._newest() if of_all else Q()):
            if len(found) < MOST:
                others = rows.exclude(pk__in=[row.pk for row in found])
                found += others.filter(condition).order_by(*order)[: MOST - len(found)]
        return [_line(row, str(row), self.detail(row)) for row in found]

    def _ways(self, text: str, *, newest: Q) -> Iterator[tuple[Q, Sequence[Any]]]:
        """Conditions with the orders in which they are met, the best first."""
        exactly = self.exactly(text)
        if exactly is not None:
            yield exactly, ["-pk"]
        yield Q(**{f"{self.indexed}__startswith": text}), [self.indexed]
        within, first = newest & _with_words(self.columns, text), self.columns[0]
        if first == self.indexed:
            yield within, ["-pk"]
        else:
            yield within, [Case(When(**{f"{first}__istartswith": text}, then=0), default=1), "-pk"]

    def _newest(self) -> Q:
        """The rows in whose names a part is looked for, for which no index helps. Those of some teams are few."""
        last = self.model._default_manager.order_by("-pk").values("pk")[:1]
        return Q(pk__gt=Subquery(last) - MOST_READ)


def _with_words(columns: Sequence[str], text: str) -> Q:
    """Each of the words is in one of the columns."""
    return reduce(and_, (_any_has(columns, word) for word in text.split()[:MOST_WORDS]))


def _any_has(columns: Sequence[str], word: str) -> Q:
    return reduce(or_, (Q(**{f"{column}__icontains": word}) for column in columns))


def _line(row: Model, name: str, detail: str, at: datetime | None = None) -> Found:
    meta = row._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    more = {} if at is None else {"at": at.isoformat(timespec="milliseconds")}
    return {"name": name, "detail": detail, "url": url, **more}


def _by_secret(text: str) -> Q | None:
    """A key by what may be told of its secrets: the last four characters, or the digest."""
    if len(text) == _LAST_FOUR:
        return Q(pk__in=Secret.objects.filter(last_four=text).values("key_id"))
    return Q(pk__in=Secret.objects.filter(digest=text).values("key_id")) if crypto.is_digest(text) else None


def _keys(rows: QuerySet[VirtualKey]) -> QuerySet[Any]:
    """Those that somebody issued, with the names of their teams."""
    names = Team.objects.filter(team_id=OuterRef("team_id")).values("alias")
    return usual(rows).annotate(team_name=Subquery(names[:1]))


def _key_detail(key: VirtualKey) -> str:
    team = getattr(key, "team_name", None) or key.team_id
    return _told(key.masked if key.name else "", "" if key.state == "active" else key.state, team)


def _group_detail(row: Any) -> str:
    return _told(row.public_id if row.alias else "", "blocked" if row.blocked else "")


def _owner_detail(owner: Owner) -> str:
    return _told(_group_detail(owner), owner.email)


def _alias_detail(alias: ModelAlias) -> str:
    return f"stands for {alias.stands_for}" if alias.stands_for else "alias"


def _told(*facts: str | None) -> str:
    return " · ".join(filter(None, facts))


TABLES: tuple[Table, ...] = (
    Table(VirtualKey, "name", ("name",), _key_detail, _by_secret, _keys),
    Table(Team, "team_id", ("alias", "team_id"), _group_detail),
    Table(Owner, "user_id", ("alias", "user_id", "email"), _owner_detail),
    Table(EndUser, "end_user_id", ("alias", "end_user_id"), _group_detail),
    Table(Upstream, "name", ("name", "url"), lambda upstream: upstream.url),
    Table(ModelAlias, "name", ("name", "stands_for"), _alias_detail),
)


@never_cache
@posted_from("index")
@sensitive_post_parameters("q")
def find_view(request: HttpRequest) -> HttpResponse:
    """What the text `q` finds, as JSON: `groups` of `found` lines, each group with its `name` and its `icon`.

    A `note` says why nothing was looked for; the text is never repeated. For everybody who is signed in: each sees
    what the lists would show to them.
    """
    text = request.POST.get("q", "").replace("\0", "").strip()
    if is_secret(text):
        return JsonResponse({"groups": [], "note": NO_SECRET})
    groups = _groups(request, text) if SHORTEST <= len(text) <= LONGEST else ()
    return JsonResponse({"groups": [group for group in groups if group["found"]]})


def is_secret(text: str) -> bool:
    """Whether the text is, or holds, what looks like a credential."""
    if looks_like_secret(text):
        return True
    written = text[: LONGEST * 4].encode(errors="replace")
    return without_secrets(written, b"") != written


def _groups(request: HttpRequest, text: str) -> Iterator[dict[str, Any]]:
    teams = visible_teams(request.user)
    for table in TABLES:
        found = table.found(request, text, of_all=teams is None)
        if table.model is ModelAlias:
            found = [*found, *_deployments(request, text)][:MOST]
        yield _group(table.model, found)
    yield _group(RequestLog, _calls(request, text, teams) if len(text) >= SHORTEST_ID else [])


def _group(model: type[Model], found: list[Found]) -> dict[str, Any]:
    name, icon = MODELS[model._meta.label]
    return {"name": name, "icon": icon, "found": found}


def _deployments(request: HttpRequest, text: str) -> list[Found]:
    """Models by the names that upstreams serve them under. Each leads to its upstream; to all models, if it has several
    and there is such a list for this person."""
    page = admin.site.get_model_admin(Upstream)
    if not page.has_view_or_change_permission(request):
        return []
    rows = Deployment.objects.filter(_with_words(["alias"], text), upstream__in=page.get_queryset(request))
    places: dict[str, list[Upstream]] = {}
    for one in rows.select_related("upstream").order_by("alias", "pk")[:MOST_PLACES]:
        places.setdefault(one.alias, []).append(one.upstream)
    lists = admin.site.get_model_admin(ModelAlias).has_view_or_change_permission(request)
    return [_model(name, upstreams, lists=lists) for name, upstreams in places.items()]


def _model(name: str, upstreams: list[Upstream], *, lists: bool) -> Found:
    line = _line(upstreams[0], name, f"on {', '.join(str(one) for one in upstreams)}")
    return {**line, "url": reverse("admin:upstreams_modelalias_changelist")} if lists and upstreams[1:] else line


def _calls(request: HttpRequest, text: str, teams: Collection[str] | None) -> list[Found]:
    """The newest calls whose request id or call id is the text or begins with it."""
    page = admin.site.get_model_admin(RequestLog)
    if not page.has_view_or_change_permission(request):
        return []
    ids = few_like(text, teams, MOST_NEAR)
    rows = page.get_queryset(request).filter(pk__in=sorted(ids)[-MOST:]).defer("decisions").order_by("-pk")
    return [_line(call, call.request_id, _call_detail(call), call.received_at) for call in rows]


def _call_detail(call: RequestLog) -> str:
    ended = str(call.get_outcome_display()).replace("_", " ")
    return _told(call.model, call.key_name, ended if call.status is None else f"{ended}, {call.status}")
