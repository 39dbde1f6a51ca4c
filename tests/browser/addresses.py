"""Every address that the admin has, from its URLconf and its tables: a page that is added is looked at without being
named anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from django.contrib import admin
from django.db.models import Model
from django.urls import URLPattern, URLResolver
from django.urls.resolvers import RoutePattern

from tests.support.gateway import Gateway

PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
OTHER_PARAMETERS = {"form": "csv", "content_type_id": "1"}


def addresses(gateway: Gateway) -> Iterator[str]:
    """The paths of all routes, of the first row where a route is about one. A table without a row is an error."""
    for route in _routes(admin.site.get_urls()):
        yield "/admin/" + _filled(route, gateway)


def tables() -> list[str]:
    """The paths of all lists, below which the pages of their tables are."""
    return [f"/admin/{_place(model)}" for model in admin.site._registry]


def parts() -> list[str]:
    """What the admin consists of: the apps that have tables, and "" for its own pages and those beside it."""
    return ["", *sorted({model._meta.app_label for model in admin.site._registry})]


def part_of(path: str) -> str:
    """The part that the page at this path belongs to."""
    first = path.removeprefix("/admin/").partition("/")[0]
    return first if path.startswith("/admin/") and first in parts() else ""


def _routes(patterns: Iterable[URLPattern | URLResolver], before: str = "") -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, before + str(pattern.pattern))
        elif isinstance(pattern.pattern, RoutePattern):
            yield before + str(pattern.pattern)
        else:
            assert pattern.name in {"app_list", None}, f"what may stand for {pattern.pattern}?"


def _place(model: type[Model]) -> str:
    return f"{model._meta.app_label}/{model._meta.model_name}/"


def _filled(route: str, gateway: Gateway) -> str:
    model = next((model for model in admin.site._registry if route.startswith(_place(model))), None)
    return PARAMETER.sub(lambda found: _value(found[1], model, gateway), route)


def _value(name: str, model: type[Model] | None, gateway: Gateway) -> str:
    if name in OTHER_PARAMETERS:
        return OTHER_PARAMETERS[name]
    if model is None:
        return "1"
    pk = model._meta.pk
    assert pk is not None
    key = pk.column
    rows = gateway.query(f"SELECT {key} AS pk FROM {model._meta.db_table} ORDER BY {key} LIMIT 1")
    assert rows, f"there is no {model._meta.verbose_name} to look at: let the fixtures make one"
    return str(rows[0]["pk"])
