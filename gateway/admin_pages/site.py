"""The admin site: its name, its navigation, and its first page. Knows no model's own pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse

from gateway.admin_pages.overview import overview


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


# By what admins do, most often first. A model that is not named here comes last, under "More".
NAVIGATION = (
    ("Gateway", {"keys.VirtualKey": "key", "upstreams.Upstream": "server", "gateway.RequestLog": "log"}),
    ("Who calls", {"keys.Team": "team", "keys.Owner": "owner", "keys.EndUser": "person"}),
    ("Routing", {"upstreams.ModelAlias": "alias", "upstreams.Routing": "route"}),
    ("People", {"auth.User": "user", "auth.Group": "group"}),
)


class GatewayAdminSite(admin.AdminSite):
    """Django's admin under our name."""

    site_title = "vLLM Gateway"
    site_header = "vLLM Gateway"
    index_title = "Overview"
    site_url = None
    enable_nav_sidebar = False  # ours stands in base_site.html

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context = super().each_context(request)
        context["navigation"] = list(_groups(context["available_apps"], request.path))
        context["keys_required"] = settings.REQUIRE_KEYS
        return context

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        return super().index(request, {"overview": overview(request), **(extra_context or {})})


def _groups(available_apps: list[dict[str, Any]], path: str) -> Iterator[Group]:
    models = {
        f"{app['app_label']}.{model['object_name']}": model
        for app in available_apps
        for model in app["models"]
        if model["admin_url"]
    }
    home = reverse("admin:index")
    yield Group("", [Entry("Overview", home, "home", path == home)])
    named = [name for _, icons in NAVIGATION for name in icons]
    more = {name: "dot" for name in models if name not in named}
    for heading, icons in (*NAVIGATION, ("More", more)):
        entries = [
            Entry(models[name]["name"], models[name]["admin_url"], icon, path.startswith(models[name]["admin_url"]))
            for name, icon in icons.items()
            if name in models
        ]
        if entries:
            yield Group(heading, entries)
