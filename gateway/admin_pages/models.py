"""Models in the admin, with a warning where budgets in dollars cannot see what they cost."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse

from keys.models import EndUser, Owner, Team, VirtualKey
from upstreams.admin_routing import ModelAliasAdmin
from upstreams.model_list import every_model, without_price


class ModelsAdmin(ModelAliasAdmin):
    """The list of models, which looks at budgets too."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        models = every_model()
        unpriced = without_price(models)
        context = {"models": models, "unpriced": unpriced if unpriced and has_budgets_in_dollars() else []}
        return super().changelist_view(request, {**context, **(extra_context or {})})


def has_budgets_in_dollars() -> bool:
    """Whether any key, team, owner or end user has one."""
    dollars = Q(max_budget__isnull=False) | ~Q(budget_limits=[]) | ~Q(model_max_budget={})
    return any(kind._default_manager.filter(dollars).exists() for kind in (Team, Owner, VirtualKey, EndUser))
