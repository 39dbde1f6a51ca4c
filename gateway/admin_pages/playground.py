"""The playground: the browser calls a model as any client does, at this same address, with a key like any other.

The server's part is the page and, where wanted, a key for it. Prompts and answers pass through the relay alone.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache

from common.admin import posted_from
from gateway.account.entry import Outcome
from gateway.admin_pages import playground_keys
from gateway.admin_pages.cause import CALLER, Cause
from gateway.admin_pages.cause_table import BY_TYPE
from gateway.admin_pages.causes import cause_of
from gateway.admin_pages.known_models import EMBEDDING, RERANK, answering_first, current_view, known_models, mode_of
from gateway.admin_pages.traffic import logs_url_with
from keys.models import Team
from keys.scope import scoped, visible_teams

PERMISSION = "gateway.use_playground"
MOST_MODELS = 500
UNKNOWN_KEY = "token_not_found_in_db"

_NO_KEY = Cause(CALLER, "This gateway has no such key: look for a typo, or paste another one.")
_STATUSES = (400, 401, 403, 404, 413, 422, 429, 500, 501, 502, 503, 504)


@never_cache
def playground_view(request: HttpRequest) -> HttpResponse:
    """The page."""
    context = {
        **admin.site.each_context(request),
        "title": "Playground",
        "models": _models(),
        "chosen": request.GET.get("model", ""),
        "teams": _teams(request.user),
        "needs_team": visible_teams(request.user) is not None,
        "minutes": playground_keys.MINUTES,
        "rpm": playground_keys.LIMITS["rpm_limit"],
        "budget": playground_keys.LIMITS["max_budget"],
        "causes": {name: {"sentence": cause.sentence, "who": cause.who} for name, cause in _causes().items()},
        "logs_url": logs_url_with(request, q=""),
    }
    return TemplateResponse(request, "admin/playground/index.html", context)


@never_cache
@posted_from("playground")
def key_view(request: HttpRequest) -> HttpResponse:
    """Makes a key for the page, and tells its secret this once. POST, with the site's CSRF token."""
    try:
        key, plain = playground_keys.issue(request.user, request.POST.get("team", ""))
    except playground_keys.PlaygroundRefused as refusal:
        return JsonResponse({"error": str(refusal)}, status=403)
    return JsonResponse({"name": str(key), "secret": plain, "seconds": playground_keys.MINUTES * 60})


def _causes() -> dict[str, Cause]:
    """What errors mean, by their type, and by status where the type is an upstream's own."""
    of_status = {str(status): cause_of(Outcome.COMPLETED, status, None) for status in _STATUSES}
    return {**{status: cause for status, cause in of_status.items() if cause}, UNKNOWN_KEY: _NO_KEY, **BY_TYPE}


def _models() -> list[str]:
    """What a chat may be asked of. The first is the one that the page proposes."""
    view = current_view()
    names = [one.name for one in known_models(view) if "*" not in one.name][:MOST_MODELS]
    return [name for name in answering_first(view, names) if mode_of(view, name) not in {EMBEDDING, RERANK}]


def _teams(user: Any) -> list[tuple[str, str]]:
    rows = scoped(Team.objects.order_by("alias", "team_id"), user).values_list("team_id", "alias")
    return [(ident, alias or ident) for ident, alias in rows]
