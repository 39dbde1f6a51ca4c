"""Model aliases, and the settings of routing."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from upstreams.models import ModelAlias, Routing, UpstreamsVersion

pytestmark = pytest.mark.django_db
ALIASES, ROUTING = "/admin/upstreams/modelalias/", "/admin/upstreams/routing/"
DEFAULTS = {
    "strategy": "least_in_flight",
    "prefix_bytes": 1024,
    "most_attempts": "",
    "cooldown_seconds": 5,
    "failures_before_cooldown": 3,
}


def test_an_alias_is_added_and_every_process_hears_of_it(admin: Client) -> None:
    version = UpstreamsVersion.current()
    admin.post(f"{ALIASES}add/", {"name": "gpt-4", "stands_for": "qwen", "strategy": "session_affinity"})
    alias = ModelAlias.objects.get()
    assert (alias.name, alias.stands_for, alias.strategy) == ("gpt-4", "qwen", "session_affinity")
    assert UpstreamsVersion.current() > version


def test_an_alias_cannot_stand_for_itself(admin: Client) -> None:
    response = admin.post(f"{ALIASES}add/", {"name": "gpt-4", "stands_for": "gpt-4"})
    assert "stands_for" in response.context["adminform"].form.errors


def test_a_strategy_that_there_is_not_is_refused(admin: Client) -> None:
    response = admin.post(f"{ALIASES}add/", {"name": "gpt-4", "strategy": "luck"})
    assert "strategy" in response.context["adminform"].form.errors


def test_aliases_are_listed(admin: Client) -> None:
    ModelAlias.objects.create(name="gpt-4", stands_for="qwen", strategy="session_affinity")
    html = admin.get(ALIASES).content.decode()
    for told in ("gpt-4", "qwen", "Session affinity"):
        assert told in html


def test_the_routing_has_a_page_before_it_has_a_row(admin: Client) -> None:
    assert admin.get(ROUTING).url == f"{ROUTING}1/change/"
    assert b"Least in flight" in admin.get(f"{ROUTING}1/change/").content
    assert not Routing.objects.exists()


def test_the_routing_stands_once_in_its_title_and_path(admin: Client) -> None:
    html = admin.get(f"{ROUTING}1/change/").content.decode()
    assert "<title>Routing | " in html
    assert re.findall(r"<h1>(.*?)</h1>", html) == ["Routing"]
    assert path_of(html) == "Home &rsaquo; Routing"
    assert path_of(admin.get(f"{ROUTING}1/history/").content.decode()) == "Home &rsaquo; Routing &rsaquo; History"


def path_of(html: str) -> str:
    [path] = re.findall(r'<div class="breadcrumbs">(.*?)</div>', html, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", "", path).split())


def test_the_routing_is_changed_with_a_history(admin: Client) -> None:
    for attempts in (2, 3):
        admin.post(f"{ROUTING}1/change/", {**DEFAULTS, "strategy": "lowest_waiting", "most_attempts": attempts})
    routing = Routing.objects.get()
    assert (routing.pk, routing.strategy, routing.most_attempts) == (1, "lowest_waiting", 3)
    assert LogEntry.objects.count() == 2


def test_a_changed_routing_says_so_in_plain_words_and_stays(admin: Client) -> None:
    response = admin.post(f"{ROUTING}1/change/", DEFAULTS, follow=True)
    assert [str(message) for message in response.context["messages"]] == ["The routing was changed."]
    assert response.redirect_chain == [(f"{ROUTING}1/change/", 302)]
    assert "_continue" not in response.content.decode()


def test_there_is_one_routing_that_is_neither_added_nor_deleted(admin: Client) -> None:
    assert admin.get(f"{ROUTING}add/").status_code == 403
    assert admin.get(f"{ROUTING}1/delete/").status_code == 403
    assert admin.get(f"{ROUTING}2/change/").status_code == 302


def test_both_pages_are_in_the_navigation(admin: Client) -> None:
    html = admin.get("/admin/").content.decode()
    assert ALIASES in html
    assert ROUTING in html
