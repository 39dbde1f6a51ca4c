"""The navigation at the side, ordered by what admins do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst

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


def navigation(request: HttpRequest, site: AdminSite, pages: Iterable[Page]) -> Iterator[Group]:
    """What this user may open."""
    home = reverse("admin:index")
    yield Group("", [Entry("Home", home, "home", request.path == home)])
    lines = {**_models(request, site), **_pages(request, pages)}
    for heading in (*ORDER, MORE):
        names = [name for name in ORDER.get(heading, ()) if name in lines]
        names += [name for name, line in lines.items() if line[0] == heading and name not in names]
        if names:
            yield Group(heading, [_entry(request, *lines[name][1:]) for name in names])


def _models(request: HttpRequest, site: AdminSite) -> dict[str, tuple[str, str, str, str]]:
    headings = {name: heading for heading, names in ORDER.items() for name in names}
    lines = {}
    for model, model_admin in site._registry.items():
        permissions = model_admin.get_model_perms(request)
        if permissions.get("view") or permissions.get("change"):
            key = model._meta.label
            name, icon = MODELS.get(key, (capfirst(model._meta.verbose_name_plural), "dot"))
            url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
            lines[key] = (headings.get(key, MORE), str(name), url, icon)
    return lines


def _pages(request: HttpRequest, pages: Iterable[Page]) -> dict[str, tuple[str, str, str, str]]:
    return {
        page.path: (page.heading, page.name, reverse(f"admin:{page.url_name}"), page.icon)
        for page in pages
        if page.allowed(request)
    }


def _entry(request: HttpRequest, name: str, url: str, icon: str) -> Entry:
    return Entry(name, url, icon, request.path.startswith(url))
