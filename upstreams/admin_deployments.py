"""The models of an upstream, on the upstream's page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.utils.safestring import SafeString

from common.admin import QUIET, WARNING, badge
from upstreams.admin_prices import DeploymentForm
from upstreams.models import DISCOVERED, Deployment, Upstream

if TYPE_CHECKING:
    _DeploymentInline = admin.TabularInline[Deployment, Upstream]
else:
    _DeploymentInline = admin.TabularInline


class DeploymentInline(_DeploymentInline):
    """Which model names lead to this upstream, and what a call there costs."""

    model = Deployment
    form = DeploymentForm
    fields = (
        "alias",
        "served_name",
        "origin",
        "weight",
        "hidden",
        "input_cost_per_token",
        "cache_read_input_token_cost",
        "output_cost_per_token",
        "cost_per_second",
        "cost_per_request",
        "rpm",
        "tpm",
    )
    readonly_fields = ("origin",)
    extra = 0
    verbose_name_plural = "deployments"

    @admin.display(description="source")
    def origin(self, deployment: Deployment) -> SafeString | str:
        """Where the row comes from. (A discovered one that is deleted comes back; hidden, it does not.)"""
        if deployment._state.adding:
            return ""
        source = badge(QUIET, deployment.get_source_display())
        listed = deployment.upstream.served_models
        if deployment.source == DISCOVERED and listed and deployment.served_name not in listed:
            source += badge(WARNING, "Not listed", "The server does not list this model now, so no call goes there")
        return source
