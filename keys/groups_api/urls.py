"""The routes of teams, users and customers, mounted at the root by the control plane."""

from django.urls import URLPattern, path

from keys.groups_api import customers, teams, users


def _customers(prefix: str) -> list[URLPattern]:
    return [
        path(f"{prefix}/new", customers.NewView.as_view()),
        path(f"{prefix}/update", customers.UpdateView.as_view()),
        path(f"{prefix}/delete", customers.DeleteView.as_view()),
        path(f"{prefix}/block", customers.BlockView.as_view()),
        path(f"{prefix}/unblock", customers.UnblockView.as_view()),
        path(f"{prefix}/info", customers.InfoView.as_view()),
        path(f"{prefix}/list", customers.ListView.as_view()),
    ]


urlpatterns = [
    path("team/new", teams.NewView.as_view()),
    path("team/update", teams.UpdateView.as_view()),
    path("team/delete", teams.DeleteView.as_view()),
    path("team/block", teams.BlockView.as_view()),
    path("team/unblock", teams.UnblockView.as_view()),
    path("team/member_add", teams.AddMembersView.as_view()),
    path("team/member_delete", teams.DeleteMemberView.as_view()),
    path("team/info", teams.InfoView.as_view()),
    path("team/list", teams.ListView.as_view()),
    path("v2/team/list", teams.PagedListView.as_view()),
    path("user/new", users.NewView.as_view()),
    path("user/update", users.UpdateView.as_view()),
    path("user/delete", users.DeleteView.as_view()),
    path("user/info", users.InfoView.as_view()),
    path("v2/user/info", users.ShortInfoView.as_view()),
    path("user/list", users.ListView.as_view()),
    *_customers("customer"),
    *_customers("end_user"),
]
