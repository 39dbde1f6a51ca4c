"""Mounted at `me/` by the control plane. (`me` itself is JSON: gateway.spend_api.)"""

from django.urls import path

from gateway.holder_pages import views

urlpatterns = [
    path("", views.holder_view, name="key-holder"),
    path("close/", views.close_view, name="key-holder-close"),
]
