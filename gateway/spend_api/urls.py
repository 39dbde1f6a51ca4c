"""Reading usage, mounted at the root by the control plane, before `user/`, `team/` and `customer/`."""

from django.urls import path

from gateway.spend_api import daily, views
from gateway.spend_api.own import MeView

urlpatterns = [
    path("me", MeView.as_view()),
    path("spend/logs", views.RowsView.as_view()),
    path("spend/logs/v2", views.PageView.as_view()),
    path("spend/logs/ui", views.PageView.as_view()),
    path("spend/keys", views.KeysView.as_view()),
    path("spend/users", views.UsersView.as_view()),
    path("spend/tags", views.TagsView.as_view()),
    path("global/spend", views.GlobalView.as_view()),
    path("global/spend/logs", views.GlobalDaysView.as_view()),
    path("global/spend/keys", views.GlobalKeysView.as_view()),
    path("global/spend/models", views.GlobalModelsView.as_view()),
    path("global/spend/teams", views.GlobalTeamsView.as_view()),
    path("global/spend/tags", views.GlobalTagsView.as_view()),
    path("global/activity", views.GlobalActivityView.as_view()),
    path("user/daily/activity", daily.UserDailyView.as_view()),
    path("team/daily/activity", daily.TeamDailyView.as_view()),
    path("customer/daily/activity", daily.EndUserDailyView.as_view()),
    path("end_user/daily/activity", daily.EndUserDailyView.as_view()),
]
