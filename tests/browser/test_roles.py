"""What those do who may not do everything: a key manager with a team's keys, an operator with the usage of all."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PASSWORD
from tests.browser.test_pages import look_at
from tests.browser.visitor import Visitor
from tests.support.gateway import Gateway
from tests.support.patience import wait_for

CHAT = {"model": "tiny-chat", "messages": [{"role": "user", "content": "Which way is the sea?"}]}
PEOPLE = f"""
from django.contrib.auth.models import Group, User
from people.models import TeamManager

for name, role in (("kay", "Key manager"), ("otto", "Operator")):
    person = User.objects.create_user(name, password={PASSWORD!r}, is_staff=True)
    person.groups.add(Group.objects.get(name=role))
TeamManager.objects.create(user=User.objects.get(username="kay"), team_id="marketing")
"""


@pytest.fixture(scope="module")
def peopled(gateway: Gateway) -> Gateway:
    """The gateway with a month of traffic, with two more people."""
    gateway.shell(PEOPLE)
    return gateway


def test_a_key_manager_issues_a_key_of_their_team_and_rotates_it(visitor: Visitor, peopled: Gateway) -> None:
    page = visitor.page
    visitor.sign_in(peopled.url, PASSWORD, name="kay")
    pages = page.get_by_role("navigation", name="Pages")
    expect(pages.get_by_role("link", name="Upstreams")).to_have_count(0)
    pages.get_by_role("link", name="Keys").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(len(keys_of(peopled, "marketing")))
    page.get_by_role("link", name="Issue a key").first.click()
    look_at(visitor)
    expect(page.get_by_label("Team", exact=True).locator("option")).to_have_text(["Marketing"])
    page.get_by_label("Name", exact=True).fill("kays-key")
    page.get_by_role("button", name="Issue key").click()
    old = page.locator("#secret-1").inner_text()
    look_at(visitor)
    page.get_by_role("link", name="I have copied it").click()
    wait_for(lambda: status_of(peopled, old) == 200)
    assert "kays-key" in keys_of(peopled, "marketing")
    rotate(page)
    new = page.locator("#secret-1").inner_text()
    wait_for(lambda: (status_of(peopled, new), status_of(peopled, old)) == (200, 401))


def rotate(page: Page) -> None:
    """The key whose name was given just now, without an overlap."""
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Keys").click()
    page.get_by_role("link", name="kays-key").click()
    page.get_by_role("link", name=re.compile("Rotate")).click()
    page.get_by_label("Now: old secrets stop working at once").check()
    page.get_by_role("button", name="Rotate").click()


def test_a_key_manager_does_not_get_to_others_keys(visitor: Visitor, peopled: Gateway) -> None:
    page = visitor.page
    visitor.sign_in(peopled.url, PASSWORD, name="kay")
    [other] = peopled.query("SELECT id, name FROM keys_virtualkey WHERE team_id = 'support' ORDER BY id LIMIT 1")
    page.goto(f"{peopled.url}/admin/keys/virtualkey/{other['id']}/change/")
    expect(page.locator("#content")).not_to_contain_text(other["name"])
    page.goto(f"{peopled.url}/admin/policy-check/")
    page.get_by_label("Virtual key").fill(other["name"])
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("There is no key with this name or id that you may see.")).to_be_visible()
    assert other["name"] not in page.locator("#known-keys option").evaluate_all("all => all.map(one => one.value)")


def status_of(gateway: Gateway, secret: str) -> int:
    """Of a call with it."""
    return gateway.post("/v1/chat/completions", CHAT, key=secret).status


def keys_of(gateway: Gateway, team: str) -> list[str]:
    """The names of a team's keys."""
    rows = gateway.query("SELECT name FROM keys_virtualkey WHERE team_id = ?", team)
    return [str(row["name"]) for row in rows]


def test_an_operator_asks_for_the_usage_of_other_days(visitor: Visitor, peopled: Gateway) -> None:
    page = visitor.page
    visitor.sign_in(peopled.url, PASSWORD, name="otto")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Usage").click()
    show, title = page.get_by_role("button", name="Show", exact=True), page.locator("#usage-chart-heading")
    expect(title).to_contain_text("Tokens by team")
    expect(page.get_by_label("From (UTC)")).to_be_hidden()
    page.get_by_label("By", exact=True).select_option("Model")
    page.get_by_label("Show", exact=True).select_option("Cost")
    page.get_by_label("Time", exact=True).select_option("From … to …")
    visitor.expect(400)
    show.click()
    expect(page.get_by_text("Choose the first day.")).to_be_visible()
    look_at(visitor)
    page.get_by_label("From (UTC)").fill("2026-01-05")
    page.get_by_label("To (UTC)").fill("2026-01-11")
    page.get_by_label("Time", exact=True).select_option("Last 7 days")
    expect(page.get_by_label("To (UTC)")).to_be_hidden()
    page.get_by_label("Team", exact=True).select_option("Customer support")
    show.click()
    expect(title).to_contain_text("Cost by model")
    expect(page.locator(".usage-table tbody th").first).to_be_visible()
    assert "team=support" in page.url
    page.get_by_role("link", name="Reset").click()
    expect(title).to_contain_text("Tokens by team")


def test_an_operator_prints_the_statements_of_a_month(visitor: Visitor, peopled: Gateway) -> None:
    page = visitor.page
    visitor.sign_in(peopled.url, PASSWORD, name="otto")
    page.goto(f"{peopled.url}/admin/usage/")
    page.get_by_role("link", name="Monthly statement").click()
    statements = page.get_by_role("article")
    expect(statements.first).to_contain_text("Statement of usage")
    beside = (page.get_by_role("navigation", name="Pages"), page.locator("#statement-month"), page.locator("h1"))
    for one in beside:
        expect(one).to_be_visible()
    page.emulate_media(media="print")
    expect(statements.first).to_be_visible()
    for one in beside:
        expect(one).to_be_hidden()
    sheets = len(re.findall(rb"/Type\s*/Page\b", page.pdf()))
    assert sheets >= statements.count() > 1  # each team has its own
