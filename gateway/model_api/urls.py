"""The model API, mounted at the root by the control plane."""

from django.urls import path

from gateway.model_api import views

urlpatterns = [
    path("model/new", views.NewView.as_view()),
    path("model/update", views.UpdateView.as_view()),
    path("model/delete", views.DeleteView.as_view()),
    path("model/info", views.InfoView.as_view()),
    path("v1/model/info", views.InfoView.as_view()),
    path("v2/model/info", views.PageView.as_view()),
    path("model_group/info", views.GroupView.as_view()),
]
