"""The key API, mounted at `key/` by the control plane, and its one route below `v2/key/`."""

from django.urls import path

from keys import views

urlpatterns = [
    path("generate", views.GenerateView.as_view()),
    path("service-account/generate", views.ServiceAccountView.as_view()),
    path("update", views.UpdateView.as_view()),
    path("bulk_update", views.BulkUpdateView.as_view()),
    path("delete", views.DeleteView.as_view()),
    path("block", views.BlockView.as_view()),
    path("unblock", views.UnblockView.as_view()),
    path("regenerate", views.RegenerateView.as_view()),
    path("health", views.HealthView.as_view()),
    path("info", views.InfoView.as_view()),
    path("list", views.ListView.as_view()),
    path("aliases", views.AliasesView.as_view()),
    path("<path:key>/regenerate", views.RegenerateView.as_view()),
    path("<path:key>/reset_spend", views.ResetSpendView.as_view()),
]
v2_urlpatterns = [path("info", views.InfosView.as_view())]
