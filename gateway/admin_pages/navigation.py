"""The navigation at the side, ordered by what admins do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from gateway.admin_pages.page import Page

DAILY, SERVING, CALLERS, SYSTEM, MORE = "Gateway", "Serving", "Callers", "System", "More"

# What stands where, most often first. A model that is not named here comes last, under "More".
ORDER: dict[str, tuple[str, ...]] = {
    DAILY: ("keys.VirtualKey", "gateway.RequestLog", "usage/", "playground/", "policy-check/"),
    SERVING: ("upstreams.Upstream", "upstreams.ModelAlias", "upstreams.Routing"),
    CALLERS: ("keys.Team", "keys.Owner", "keys.EndUser"),
    SYSTEM: ("gateway.PayloadCapture", "settings/", "auth.User", "auth.Group"),
}
MODELS = {
    "keys.VirtualKey": ("Keys", "key"),
    "gateway.RequestLog": ("Request logs", "log"),
    "upstreams.Upstream": ("Upstreams", "server"),
    "upstreams.ModelAlias": ("Models", "alias"),
    "upstreams.Routing": ("Routing", "route"),
    "keys.Team": ("Teams", "team"),
    "keys.Owner": ("Owners", "owner"),
    "keys.EndUser": ("End users", "person"),
    "gateway.PayloadCapture": ("Payload captures", "capture"),
    "auth.User": ("Users", "user"),
    "auth.Group": ("Roles", "group"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the navigation."""

    name: str
    url: str
    icon: str
    current: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Some lines of the navigation under a heading."""

    heading: str
    entries: list[Entry]


def navigation(request: HttpRequest, apps: list[dict[str, Any]], pages: Iterable[Page]) -> Iterator[Group]:
    """What this user may open. `apps` as AdminSite.get_app_list() returns it."""
    home = reverse("admin:index")
    yield Group("", [Entry("Home", home, "home", request.path == home)])
    lines = {**_models(apps), **_pages(request, pages)}
    for heading in (*ORDER, MORE):
        names = [name for name in ORDER.get(heading, ()) if name in lines]
        names += [name for name, line in lines.items() if line[0] == heading and name not in names]
        if names:
            yield Group(heading, [_entry(request, *lines[name][1:]) for name in names])


def _models(apps: list[dict[str, Any]]) -> dict[str, tuple[str, str, str, str]]:
    headings = {name: heading for heading, names in ORDER.items() for name in names}
    lines = {}
    for app in apps:
        for model in app["models"]:
            if model["admin_url"]:
                key = f"{app['app_label']}.{model['object_name']}"
                name, icon = MODELS.get(key, (model["name"], "dot"))
                lines[key] = (headings.get(key, MORE), str(name), model["admin_url"], icon)
    return lines


def _pages(request: HttpRequest, pages: Iterable[Page]) -> dict[str, tuple[str, str, str, str]]:
    return {
        page.path: (page.heading, page.name, reverse(f"admin:{page.url_name}"), page.icon)
        for page in pages
        if page.allowed(request)
    }


def _entry(request: HttpRequest, name: str, url: str, icon: str) -> Entry:
    return Entry(name, url, icon, request.path.startswith(url))
