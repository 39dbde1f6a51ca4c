"""Which columns the list has."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.gateway.admin_pages.log_explorer.page import LIST, calls, text
from tests.support.people import signed_in

pytestmark = pytest.mark.django_db


def columns_of(client: Client) -> list[str]:
    html = client.get(LIST).content.decode()
    return re.findall(r'class="column-(\w+)"', html)


def test_columns_can_be_chosen_and_stay(admin: Client) -> None:
    calls({"request_id": "shown-1"})
    response = admin.post(f"{LIST}columns/", {"column": ["request_id", "tags", "nonsense"], "query": "?model=qwen"})
    assert response.url == f"{LIST}?model=qwen"
    assert columns_of(admin) == ["received", "tags", "request_id"]
    assert "shown-1" in text(admin.get(LIST))


def test_a_choice_outlives_the_session_and_is_the_persons_own(admin: Client) -> None:
    calls({})
    admin.post(f"{LIST}columns/", {"column": ["tags"]})
    cookies = admin.cookies
    other = signed_in(name="grace")
    other.cookies.update({name: morsel for name, morsel in cookies.items() if name.startswith("log_columns")})
    assert "tags" not in columns_of(other)
    assert cookies[f"log_columns_{User.objects.get(username='ada').pk}"]["max-age"] > 86_400


@pytest.mark.parametrize("form", [{"usual": "1", "column": ["tags"]}, {}, {"column": ["nonsense"]}])
def test_the_usual_columns_can_be_had_back(admin: Client, form: dict[str, object]) -> None:
    calls({})
    usual = columns_of(admin)
    admin.post(f"{LIST}columns/", {"column": ["tags"]})
    admin.post(f"{LIST}columns/", form)
    assert columns_of(admin) == usual


def test_a_choice_leads_nowhere_else(admin: Client) -> None:
    assert admin.post(f"{LIST}columns/", {"query": "https://example.com"}).url == LIST


def test_columns_are_for_who_sees_the_log() -> None:
    nosy = signed_in("keys.view_virtualkey")
    assert nosy.post(f"{LIST}columns/").status_code == nosy.get(f"{LIST}export.csv").status_code == 403


def test_a_refused_call_says_why_and_that_it_was_not_sent(admin: Client) -> None:
    calls(
        {"outcome": "refused", "status": 401, "error_type": "expired_key", "upstream_id": None, "upstream_name": None}
    )
    told = text(admin.get(LIST))
    assert "key expired" in told
    assert "not sent" in told
    assert "no upstream" not in told.partition("Received Result")[2]


def test_the_type_of_an_error_leads_to_all_that_have_it(admin: Client) -> None:
    calls({"error_type": "Odd Error"})
    admin.post(f"{LIST}columns/", {"column": ["error_type"]})
    assert '<a class="badge badge-code" href="?error_type=Odd+Error">Odd Error</a>' in admin.get(LIST).content.decode()


def test_the_list_tells_cost_and_times(admin: Client) -> None:
    calls({"cost": "0.0012"})
    told = text(admin.get(LIST))
    for words in ("$0.0012", "200 ms", "1.00 s"):
        assert words in told


def test_the_chip_of_a_time_is_shown_in_the_viewers_zone(admin: Client) -> None:
    html = admin.get(LIST, {"since": "2026-05-04T12:30"}).content.decode()
    chip = re.search(r'<span class="chip-label">From</span> (.*?) <span class="chip-end"', html)[1]
    assert chip == '<time datetime="2026-05-04T12:30:00.000+00:00">2026-05-04 12:30:00 UTC</time>'
