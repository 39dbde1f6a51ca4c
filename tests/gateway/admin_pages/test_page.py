"""Pages that belong to no model: their addresses, their place in the navigation, and who may see them."""

from collections.abc import Callable, Iterator

import pytest
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import clear_url_caches, path, set_urlconf

from gateway.admin_pages import navigation, site
from gateway.admin_pages.page import Page, Part, View, has_perm
from tests.support.people import signed_in

pytestmark = pytest.mark.django_db


def answer(words: str) -> Callable[[HttpRequest], HttpResponse]:
    return lambda request: HttpResponse(words)


PAGE = Page(
    "weather/",
    "Weather",
    navigation.DAILY,
    "dot",
    answer("sun"),
    has_perm("keys.view_virtualkey"),
    (Part("rain/", "weather_rain", answer("rain")),),
)


@pytest.fixture(autouse=True)
def page(monkeypatch: pytest.MonkeyPatch, settings: object) -> Iterator[None]:
    """The site with one page more."""
    monkeypatch.setattr(site, "PAGES", (*site.PAGES, PAGE))
    urls = type("urls", (), {"urlpatterns": [path("admin/", admin.site.urls)]})
    monkeypatch.setattr(settings, "ROOT_URLCONF", urls)
    clear_url_caches()
    set_urlconf(None)
    yield
    monkeypatch.undo()
    clear_url_caches()


def names(client: Client) -> list[str]:
    return [entry.name for group in client.get("/admin/").context["navigation"] for entry in group.entries]


def test_who_may_see_it_does() -> None:
    user = signed_in("keys.view_virtualkey")
    assert user.get("/admin/weather/").content == b"sun"
    assert user.get("/admin/weather/rain/").content == b"rain"
    assert "Weather" in names(user)


@pytest.mark.parametrize("address", ["/admin/weather/", "/admin/weather/rain/"])
def test_who_may_not_see_it_is_refused(address: str) -> None:
    user = signed_in("keys.view_team")
    assert user.get(address).status_code == 403
    assert "Weather" not in names(user)


def test_who_is_not_signed_in_is_sent_to_do_so() -> None:
    response = Client().get("/admin/weather/")
    assert response.status_code == 302
    assert response.headers["Location"].startswith("/admin/login/")


def test_the_navigation_is_in_the_order_of_what_admins_do() -> None:
    expected = ["Home", "Keys", "Request logs", "Weather", "Users"]
    seen = names(signed_in("keys.view_virtualkey", "gateway.view_requestlog", "auth.view_user"))
    assert [name for name in seen if name in expected] == expected


def test_a_page_is_named_by_its_path() -> None:
    view: View = answer("")
    assert Page("a/b/", "", "", "", view, lambda request: True).url_name == "a_b"
