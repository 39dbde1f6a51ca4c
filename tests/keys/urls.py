"""Mounts the key API alone."""

from django.urls import include, path

from keys.urls import v2_urlpatterns

urlpatterns = [path("key/", include("keys.urls")), path("v2/key/", include(v2_urlpatterns))]
