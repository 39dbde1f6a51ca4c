"""Puts our admin site in the place of Django's. Loaded by the control plane only."""

from django.contrib.admin.apps import AdminConfig


class GatewayAdminConfig(AdminConfig):
    default_site = "gateway.admin_pages.site.GatewayAdminSite"
