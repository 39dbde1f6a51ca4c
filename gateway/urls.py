"""The whole public surface."""

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
handler404 = "gateway.error_handler.not_found"
handler500 = "gateway.error_handler.server_error"
