"""What the query of a reading request to the key API may hold, and the keys that it asks for.

Every filter is a condition of one statement, and a page is found by its ids before its rows are read, so that pages of
100,000 keys stay quick.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q, QuerySet, Window
from django.utils import timezone
from rest_framework import serializers

from keys import crypto
from keys.models import VirtualKey
from keys.strict import StrictSerializer

LARGEST_PAGE = 1_000_000
LARGEST_SIZE = 100

# LiteLLM's filters that have no effect here.
INERT_QUERY = frozenset(
    "access_group_id agent_id expand include_created_by_keys include_team_keys organization_id project_id".split()
)
# Who reads the list sees every key: both answers mean the same.
_MOOT = frozenset({"include_team_keys", "include_created_by_keys"})

SORTABLE = {
    "created_at": "created_at",
    "updated_at": "updated_at",
    "key_alias": "name",
    "user_id": "user_id",
    "team_id": "team_id",
    "expires": "expires_at",
    "max_budget": "max_budget",
}
STATUSES = ("active", "expired", "revoked", "deleted")


def _text(largest: int = 255) -> serializers.CharField:
    return serializers.CharField(required=False, allow_blank=True, max_length=largest)


class InfoQuery(StrictSerializer):
    """GET /key/info: a secret or a digest; without it, who asks."""

    key = _text(crypto.LONGEST_KEY)


class PageQuery(StrictSerializer):
    """What all lists take."""

    page = serializers.IntegerField(default=1, min_value=1, max_value=LARGEST_PAGE)
    size = serializers.IntegerField(default=10, min_value=1, max_value=LARGEST_SIZE)

    def _is_empty(self, name: str, value: object) -> bool:
        return name in _MOOT or str(value).lower() in {"", "false"}


class ListQuery(PageQuery):
    """GET /key/list."""

    inert = INERT_QUERY

    user_id = _text()
    team_id = _text()
    key_alias = _text()
    key_hash = _text(crypto.LONGEST_KEY)
    search = _text(crypto.LONGEST_KEY)
    substring_matching = serializers.BooleanField(default=False)
    status = serializers.ChoiceField(STATUSES, required=False, allow_blank=True)
    expires = serializers.ChoiceField(["active", "expired"], required=False, allow_blank=True)
    return_full_object = serializers.BooleanField(default=False)
    sort_by = serializers.ChoiceField(list(SORTABLE), default="created_at")
    sort_order = serializers.ChoiceField(["asc", "desc"], default="desc")


class AliasQuery(PageQuery):
    """GET /key/aliases."""

    size = serializers.IntegerField(default=50, min_value=1, max_value=LARGEST_SIZE)
    search = _text()
    team_id = _text()


def listed(query: dict[str, Any]) -> QuerySet[VirtualKey]:
    """The keys that a ListQuery asks for, in its order."""
    keys: QuerySet[VirtualKey] = VirtualKey.objects.filter(_conditions(query))
    sign = "-" if query["sort_order"] == "desc" else ""
    return keys.order_by(sign + SORTABLE[query["sort_by"]], f"{sign}pk")


def aliases(query: dict[str, Any]) -> QuerySet[VirtualKey]:
    """The keys with a name that an AliasQuery asks for, by name."""
    keys: QuerySet[VirtualKey] = VirtualKey.objects.exclude(name=None)
    if query.get("search"):
        keys = keys.filter(name__icontains=query["search"])
    if query.get("team_id"):
        keys = keys.filter(team_id=query["team_id"])
    return keys.order_by("name")


def page_of(keys: QuerySet[VirtualKey], query: dict[str, Any]) -> tuple[list[VirtualKey], dict[str, int]]:
    """The rows of one page with their secrets, and LiteLLM's figures on the pages."""
    ids, figures = _page(keys, "pk", query)
    rows = VirtualKey.objects.filter(pk__in=ids).prefetch_related("secrets").in_bulk()
    return [rows[pk] for pk in ids if pk in rows], figures


def names_of(keys: QuerySet[VirtualKey], query: dict[str, Any]) -> tuple[list[str], dict[str, int]]:
    """The names of one page of keys, and LiteLLM's figures on the pages."""
    return _page(keys, "name", query)


def _page(keys: QuerySet[VirtualKey], column: str, query: dict[str, Any]) -> tuple[list[Any], dict[str, int]]:
    size, start = query["size"], (query["page"] - 1) * query["size"]
    find = _found_at_once if query.get("search") or query.get("substring_matching") else _found_from_the_nearer_end
    total, values = find(keys, column, start, size)
    return values, {"total_count": total, "current_page": query["page"], "total_pages": -(-total // size)}


def _found_at_once(keys: QuerySet[VirtualKey], column: str, start: int, size: int) -> tuple[int, list[Any]]:
    """Reads a search's rows once, to count them and to list them: no index helps to find a part of a text."""
    rows = keys.annotate(total=Window(Count("pk"))).values_list(column, "total")[start : start + size]
    found = list(rows)
    return found[0][1] if found else keys.count(), [value for value, _ in found]


def _found_from_the_nearer_end(keys: QuerySet[VirtualKey], column: str, start: int, size: int) -> tuple[int, list[Any]]:
    """Skips as few rows as it can."""
    total = keys.count()
    end = min(start + size, total)
    if start >= total:
        return total, []
    if start <= total // 2:
        return total, list(keys.values_list(column, flat=True)[start:end])
    return total, list(keys.reverse().values_list(column, flat=True)[total - end : total - start])[::-1]


def _conditions(query: dict[str, Any]) -> Q:
    contains = "__icontains" if query["substring_matching"] else ""
    found = Q()
    for name, lookup in (("user_id", f"user_id{contains}"), ("key_alias", f"name{contains}"), ("team_id", "team_id")):
        if query.get(name):
            found &= Q(**{lookup: query[name]})
    if query.get("key_hash"):
        found &= _with_secret(query["key_hash"])
    if query.get("search"):
        found &= Q(name__icontains=query["search"]) | _with_secret(query["search"])
    return found & _status(query.get("status", "")) & _expiry(query.get("expires", ""))


def _with_secret(secret_or_digest: str) -> Q:
    # By ids: a join would list a key once for each of its secrets.
    return Q(pk__in=list(VirtualKey.objects.with_secret(secret_or_digest).values_list("pk", flat=True)))


def _status(status: str) -> Q:
    """Deleted keys are gone."""
    if status == "deleted":
        return Q(pk__in=[])
    if status == "revoked":
        return Q(blocked=True)
    return Q(blocked=False) & _expiry(status) if status else Q()


def _expiry(expires: str) -> Q:
    now = timezone.now()
    if expires == "expired":
        return Q(expires_at__lte=now)
    return Q(expires_at=None) | Q(expires_at__gt=now) if expires == "active" else Q()
