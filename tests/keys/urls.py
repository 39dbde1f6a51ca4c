"""Mounts the key API alone."""

from django.urls import include, path

urlpatterns = [path("key/", include("keys.urls"))]
