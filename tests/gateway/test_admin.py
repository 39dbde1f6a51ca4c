import re
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import Permission
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from common.admin import DASH
from gateway.account.log_store import LogStore
from gateway.models import RequestLog
from keys.models import EndUser, Owner, Team, VirtualKey
from keys.spending import start_with
from tests.support.admin_lists import listed
from tests.support.entries import an_entry
from tests.support.people import signed_in
from upstreams.models import Upstream

pytestmark = pytest.mark.django_db
KEYS, UPSTREAMS = "/admin/keys/virtualkey/", "/admin/upstreams/upstream/"
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC).timestamp()


@pytest.fixture
def admin() -> Client:
    return signed_in()


def an_upstream(name: str = "gpu-1", **fields: object) -> Upstream:
    upstream = Upstream(name=name, url=f"http://{name}:8000", **fields)
    upstream.save()
    return upstream


def calls(*fields: dict[str, object]) -> None:
    LogStore().store([an_entry(at=time.time(), **one) for one in fields], pytest.fail)


def text(html: bytes) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.decode()))


# --- Keys and upstreams with their traffic --------------------------------------------------------


def test_the_list_of_keys_has_calls_and_tokens(admin: Client) -> None:
    key, _ = VirtualKey.objects.issue(name="docs bot")
    calls({"key_id": key.pk, "prompt_tokens": 1_000}, {"key_id": key.pk, "prompt_tokens": 200})
    assert "2 1,210" in text(admin.get(KEYS).content)


def test_the_list_of_keys_takes_as_many_queries_for_many_keys(admin: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            admin.get(KEYS)
        return len(captured)

    VirtualKey.objects.issue(name="one")
    few = queries()
    for number in range(5):
        VirtualKey.objects.issue(name=f"key {number}")
    assert queries() == few


def test_a_keys_page_has_its_usage_and_leads_to_its_calls(admin: Client) -> None:
    key, _ = VirtualKey.objects.issue(name="docs bot")
    calls({"key_id": key.pk, "status": 500}, {"key_id": key.pk})
    page = admin.get(f"{KEYS}{key.pk}/change/").content
    assert (
        "Calls, 24 h 2 Failed, 24 h 1 Refused, 24 h 0 Cut, 24 h 0 Prompt tokens, 24 h 6 Completion tokens, 24 h 10"
        in text(page)
    )
    assert f"/admin/gateway/requestlog/?key={key.pk}" in page.decode()


@pytest.mark.parametrize(
    ("row", "column", "name"),
    [
        (Team(team_id="a b"), "team_id", "team"),
        (Owner(user_id="a b"), "user_id", "user"),
        (EndUser(end_user_id="a b"), "end_user", "end_user"),
    ],
)
def test_groups_have_their_usage_and_lead_to_their_calls(
    admin: Client, row: Team | Owner | EndUser, column: str, name: str
) -> None:
    row.save()
    calls({column: "a b", "status": 500, "prompt_tokens": 1_000}, {column: "a b"}, {column: "other"})
    place = f"/admin/keys/{row._meta.model_name}/"
    assert "2 1,013 tokens" in text(admin.get(place).content)
    page = admin.get(f"{place}{row.pk}/change/").content
    assert "Calls, 24 h 2 Failed, 24 h 1 Refused, 24 h 0 Cut, 24 h 0 Prompt tokens, 24 h 1,003" in text(page)
    assert f"/admin/gateway/requestlog/?{name}=a+b" in page.decode()
    assert len(listed(RequestLog, {name: "a b"}).result_list) == 2
    viewer = signed_in(f"keys.view_{row._meta.model_name}", name="eve")
    assert "requestlog" not in viewer.get(f"{place}{row.pk}/change/").content.decode()


def test_links_to_calls_are_for_who_may_see_them() -> None:
    key, _ = VirtualKey.objects.issue(name="docs bot")
    page = signed_in("keys.view_virtualkey").get(f"{KEYS}{key.pk}/change/").content.decode()
    assert "requestlog" not in page


def test_the_list_of_upstreams_has_their_calls() -> None:
    upstream = an_upstream()
    calls({"upstream_id": upstream.pk}, {"upstream_id": upstream.pk}, {"upstream_id": upstream.pk + 1})
    [shown] = listed(Upstream).result_list
    assert shown.calls == 2


def test_an_upstreams_page_leads_to_its_calls(admin: Client) -> None:
    upstream = an_upstream()
    assert f"?upstream={upstream.pk}" in admin.get(f"{UPSTREAMS}{upstream.pk}/change/").content.decode()


# --- The site -------------------------------------------------------------------------------------


def test_a_gateway_without_keys_says_so_on_every_page(admin: Client, settings) -> None:
    settings.REQUIRE_KEYS = False
    for page in ("/admin/", KEYS, UPSTREAMS):
        assert "Anyone can call this gateway." in text(admin.get(page).content)


def test_a_gateway_with_keys_has_no_banner(admin: Client) -> None:
    assert "Anyone can call" not in text(admin.get("/admin/").content)


def test_the_side_leads_to_what_one_may_see() -> None:
    side = text(signed_in("keys.view_virtualkey").get("/admin/").content)
    assert "Keys" in side
    assert "Users" not in side


def test_a_model_without_a_place_comes_last(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.admin_pages.navigation.ORDER", {"People": ("auth.User",)})
    headings = [group.heading for group in admin.get("/admin/").context["navigation"]]
    assert headings == ["", "People", "More"]


def test_signing_in_shows_our_name_and_no_navigation() -> None:
    page = Client().get("/admin/login/").content.decode()
    assert "vLLM Gateway" in page
    assert 'class="side"' not in page


def groups() -> list[Team | Owner | EndUser]:
    rows: list[Team | Owner | EndUser] = [Team(team_id="t"), Owner(user_id="o"), EndUser(end_user_id="e")]
    for row in rows:
        row.max_budget, row.token_budget = Decimal(5), 100
        row.save()
        start_with(row, 1)
    return rows


def pages_of_group(row: Team | Owner | EndUser) -> list[str]:
    place = f"/admin/keys/{row._meta.model_name}/"
    return [place, f"{place}add/", *(f"{place}{row.pk}/{verb}/" for verb in ("change", "delete", "history"))]


@pytest.fixture(scope="module")
def every_page(django_db_setup: None, django_db_blocker: Any) -> dict[str, Any]:
    """The answer of each, asked for once."""
    with django_db_blocker.unblock(), transaction.atomic():
        admin = signed_in()
        answers = {page: admin.get(page) for page in addresses()}
        transaction.set_rollback(True)
    return answers


def addresses() -> list[str]:
    key, _ = VirtualKey.objects.issue(name="docs bot")
    upstream = an_upstream(credential="the-servers-own-key")
    calls({"key_id": key.pk})
    row = RequestLog.objects.get()
    return [
        *("/admin/", "/admin/login/", "/admin/password_change/", "/admin/auth/user/", "/admin/auth/user/add/"),
        *("/admin/auth/group/add/", "/admin/keys/", KEYS, f"{KEYS}add/", f"{KEYS}rotate/?ids={key.pk}"),
        *(f"{KEYS}{key.pk}/{verb}/" for verb in ("change", "delete", "history")),
        *(UPSTREAMS, f"{UPSTREAMS}add/"),
        *(page for row in groups() for page in pages_of_group(row)),
        *(f"{UPSTREAMS}{upstream.pk}/{verb}/" for verb in ("change", "delete", "history")),
        *("/admin/gateway/requestlog/", f"/admin/gateway/requestlog/{row.pk}/change/"),
    ]


def test_no_page_needs_what_the_content_security_policy_forbids(every_page: dict[str, Any]) -> None:
    # A block of data is no script: no browser runs it, and no policy speaks of it.
    unsafe = re.compile(
        r"<style|<script(?![^>]*(?:\ssrc=|\stype=\"application/json\"))|\s(style|on[a-z]+)=|javascript:", re.IGNORECASE
    )
    for page, response in every_page.items():
        assert response.status_code == 200 or page == "/admin/login/", page
        assert not unsafe.search(response.content.decode()), page
        assert "unsafe" not in response["Content-Security-Policy"]


def test_no_page_loads_anything_from_elsewhere(every_page: dict[str, Any]) -> None:
    for page, response in every_page.items():
        loaded = re.findall(r'(?:src|<link[^>]*href)="([^"]+)"', response.content.decode())
        assert all(address.startswith("/") for address in loaded), page


def test_the_master_key_and_credentials_are_on_no_page(every_page: dict[str, Any], settings) -> None:
    for response in every_page.values():
        html = response.content.decode()
        assert settings.MASTER_KEY not in html
        assert "the-servers-own-key" not in html


def test_an_operator_needs_no_superuser() -> None:
    wanted = Permission.objects.filter(content_type__app_label__in=["keys", "upstreams", "gateway"])
    operator = signed_in(*(f"{one.content_type.app_label}.{one.codename}" for one in wanted))
    assert all(operator.get(page).status_code == 200 for page in (KEYS, f"{KEYS}add/", UPSTREAMS))


def test_what_is_not_there_is_the_dash_of_all_pages() -> None:
    assert site.empty_value_display == DASH
