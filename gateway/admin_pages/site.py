"""The admin site: its name, its own pages, its navigation, and its first page. Knows no model's own pages."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path

from common.admin import DASH, posted_from
from gateway.admin_pages import playground, policy_check, usage_page, usage_statement
from gateway.admin_pages import settings as settings_page
from gateway.admin_pages.finding import find_view
from gateway.admin_pages.home import views as home_page
from gateway.admin_pages.navigation import DAILY, SYSTEM, navigation
from gateway.admin_pages.page import Page, Part, has_perm
from gateway.admin_pages.sign_in import SignInForm, ways_in
from keys.scope import visible_teams

# The pages that belong to no model, each with its line in the navigation.
PAGES: tuple[Page, ...] = (
    Page(
        "usage/",
        "Usage",
        DAILY,
        "chart",
        usage_page.usage_view,
        has_perm(usage_page.PERMISSION),
        (
            Part("csv/", "usage_csv", usage_page.usage_csv),
            Part("statement/", "usage_statement", usage_statement.statement_view),
        ),
    ),
    Page(
        "playground/",
        "Playground",
        DAILY,
        "play",
        playground.playground_view,
        has_perm(playground.PERMISSION),
        (Part("key/", "playground_key", playground.key_view),),
    ),
    Page(
        "policy-check/",
        "Policy check",
        DAILY,
        "check",
        policy_check.policy_check_view,
        has_perm(policy_check.PERMISSION),
    ),
    Page(
        "settings/",
        "Settings in force",
        SYSTEM,
        "settings",
        settings_page.settings_view,
        has_perm(settings_page.PERMISSION),
    ),
)


class GatewayAdminSite(admin.AdminSite):
    """Django's admin under our name."""

    site_title = "vLLM Gateway"
    site_header = "vLLM Gateway"
    index_title = "Home"
    site_url = None
    empty_value_display = DASH
    enable_nav_sidebar = False  # ours stands in base_site.html
    login_form = SignInForm

    def get_urls(self) -> list[URLResolver | URLPattern]:
        own = [url for page in PAGES for url in page.urls(self.admin_view)]
        find = path("find/", self.admin_view(find_view), name="find")
        return [*home_page.urls(self.admin_view), find, *own, *super().get_urls()]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """What Django gives every page, but the list of all apps: only its own navigation needs that."""
        may_enter = self.has_permission(request)
        return {
            "site_title": self.site_title,
            "site_header": self.site_header,
            "site_url": self.site_url,
            "has_permission": may_enter,
            "is_popup": False,
            "is_nav_sidebar_enabled": self.enable_nav_sidebar,
            "log_entries": self.get_log_entries(request),
            "navigation": list(navigation(request, self, PAGES)),
            "keys_required": settings.REQUIRE_KEYS,
            "manages_no_team": may_enter and visible_teams(request.user) == frozenset(),
        }

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().login(request, {**ways_in(request), **(extra_context or {})})

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return posted_from("index")(super().logout)(request, extra_context)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        return super().index(request, {"home": home_page.home(request), **(extra_context or {})})
