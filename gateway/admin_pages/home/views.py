"""The first page, and the parts of it that are fetched again and again. Each only for who may see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import URLPattern, path

from common.admin import QUIET
from gateway.admin_pages.home import chart, tops
from gateway.admin_pages.home.attention import attention
from gateway.admin_pages.home.day import busiest_keys, by_key, by_model, in_all
from gateway.admin_pages.home.now import tiles
from gateway.admin_pages.home.servers import servers
from gateway.admin_pages.home.steps import steps
from gateway.admin_pages.page import View
from gateway.admin_pages.unlisted import unlisted
from gateway.admin_pages.unlisted import url as unlisted_url
from upstreams.models import Upstream

MOST_NOTICES = 5
TRAFFIC, UPSTREAMS = "gateway.view_requestlog", "upstreams.view_upstream"
WATCHED = (
    TRAFFIC,
    UPSTREAMS,
    "keys.view_virtualkey",
    "keys.view_team",
    "keys.view_owner",
    "keys.view_enduser",
    "gateway.view_settings_in_force",
)
"""What notices are about: who may see none of it is not told that all is well."""


def home(request: HttpRequest) -> dict[str, Any]:
    """What the page shows to this user."""
    user = request.user
    context: dict[str, Any] = {"steps": steps(user), **_attention(user)}
    if user.has_perm(TRAFFIC):
        context |= {**_figures(user), **_chart(request), **_tops(user)}
    if user.has_perm(UPSTREAMS):
        context |= _upstreams(user)
    context["is_bare"] = not user.has_perm(TRAFFIC) and not user.has_perm(UPSTREAMS)
    return context


def urls(wrap: Callable[[View], View]) -> list[URLPattern]:
    """The addresses of the parts. `wrap` is AdminSite.admin_view."""
    parts: dict[str, View] = {
        "attention": _part("attention", _attention),
        "figures": _part("figures", _figures, TRAFFIC),
        "upstreams": _part("upstreams", _upstreams, UPSTREAMS),
        "tops": _part("tops", _tops, TRAFFIC),
        "chart": _chart_data,
    }
    return [path(f"home/{name}/", wrap(view), name=f"home_{name}") for name, view in parts.items()]


def _part(name: str, found: Callable[[Any], dict[str, Any]], permission: str = "") -> View:
    def view(request: HttpRequest) -> HttpResponse:
        if permission and not request.user.has_perm(permission):
            raise PermissionDenied
        return render(request, f"admin/home/{name}.html", found(request.user))

    return view


def _attention(user: Any) -> dict[str, Any]:
    notices = attention(user)
    is_well = all(notice.kind == QUIET for notice in notices)
    is_empty = is_well and user.has_perm(UPSTREAMS) and not Upstream.objects.exists()  # the first steps say so
    return {
        "notices": notices[:MOST_NOTICES],
        "more_notices": notices[MOST_NOTICES:],
        "is_well": is_well,
        "is_empty": is_empty,
        "is_watching": any(map(user.has_perm, WATCHED)) and bool(notices or not is_empty),
        "has_no_role": not user.get_all_permissions(),
    }


def _figures(user: Any) -> dict[str, Any]:
    return {"figures": tiles(user), "unlisted": unlisted(user), "unlisted_url": unlisted_url()}


def _upstreams(user: Any) -> dict[str, Any]:
    shown, more = servers(user)
    return {"servers": shown, "more_servers": more}


def _tops(user: Any) -> dict[str, Any]:
    return {"top_keys": tops.keys(user), "top_models": tops.models(user)}


def _chart(request: HttpRequest) -> dict[str, Any]:
    figure = chart.chosen(request.GET.get("figure"), chart.FIGURES)
    by = chart.chosen(request.GET.get("by"), chart.PARTS)
    return {
        "chart_figure": figure,
        "chart_by": by,
        "chart_figures": [(name, word, f"?figure={name}&by={by}#day") for name, word in chart.FIGURES.items()],
        "chart_parts": [(name, word, f"?figure={figure}&by={name}#day") for name, word in chart.PARTS.items()],
    }


def _chart_data(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm(TRAFFIC):
        raise PermissionDenied
    figure = chart.chosen(request.GET.get("figure"), chart.FIGURES)
    by = chart.chosen(request.GET.get("by"), chart.PARTS)
    user = request.user
    if by == "key":
        found = chart.data(in_all(user), figure, by_key(user, busiest_keys(user, figure)), tops.key_names)
    elif by == "model":
        models = by_model(user)
        found = chart.data(models, figure, models, tops.model_names)
    else:
        found = chart.data(in_all(user), figure)
    return JsonResponse(found)
