"""The key API, mounted at `key/` by the control plane."""

from django.urls import path

from keys import views

urlpatterns = [
    path("generate", views.GenerateView.as_view()),
    path("info", views.InfoView.as_view()),
    path("list", views.ListView.as_view()),
    path("update", views.UpdateView.as_view()),
    path("delete", views.DeleteView.as_view()),
    path("block", views.BlockView.as_view()),
    path("unblock", views.UnblockView.as_view()),
]
