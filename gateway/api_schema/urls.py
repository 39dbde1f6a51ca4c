"""The description of the REST API, mounted at `api/` by the control plane."""

from django.urls import path

from gateway.api_schema import views

urlpatterns = [
    path("schema/", views.SchemaView.as_view(), name="api-schema"),
    path("docs/", views.docs, name="api-docs"),
]
