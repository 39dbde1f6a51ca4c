"""Forms with changes that nobody saved: leaving them is asked about, and nothing else is."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PASSWORD
from tests.browser.visitor import Visitor
from tests.support.gateway import Gateway


@pytest.fixture
def admin(visitor: Visitor, gateway: Gateway) -> Visitor:
    visitor.sign_in(gateway.url, PASSWORD)
    return visitor


@pytest.fixture
def team(admin: Visitor, gateway: Gateway) -> Page:
    """The page of a team, which nothing is saved of."""
    open_first(admin.page, f"{gateway.url}/admin/keys/team/?q=platform")
    return admin.page


def open_first(page: Page, url: str) -> None:
    page.goto(url)
    page.locator("#result_list tbody th a").first.click()
    page.wait_for_load_state()


def leave(page: Page) -> None:
    """By a link, without a mouse."""
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Owners").press("Enter")


def expect_left(page: Page) -> None:
    expect(page.get_by_role("heading", name="Owners", exact=True)).to_be_visible()


def test_who_leaves_a_change_is_asked_and_may_stay(admin: Visitor, team: Page) -> None:
    name = team.locator("#id_alias")
    name.press("End")
    name.press_sequentially("!")
    admin.stays = True
    leave(team)
    expect(name).to_have_value("Platform!")
    assert admin.questions == 1
    admin.stays = False
    leave(team)
    expect_left(team)
    assert admin.questions == 2


def test_what_is_changed_back_is_left_without_a_question(admin: Visitor, team: Page) -> None:
    name = team.locator("#id_alias")
    name.press_sequentially("?")
    name.press("Backspace")
    leave(team)
    expect_left(team)
    assert admin.questions == 0


def test_what_is_saved_is_left_without_a_question(admin: Visitor, gateway: Gateway) -> None:
    page = admin.page
    page.goto(f"{gateway.url}/admin/keys/team/add/")
    page.locator("#id_alias").fill("Saved at once")
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist .success")).to_be_visible()
    leave(page)
    expect_left(page)
    assert admin.questions == 0


def test_a_form_that_came_back_with_errors_is_not_saved(admin: Visitor, gateway: Gateway) -> None:
    page = admin.page
    page.goto(f"{gateway.url}/admin/keys/team/add/")
    page.locator("#id_max_budget").fill("-1")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".errornote")).to_be_visible()
    assert admin.questions == 0
    leave(page)
    expect_left(page)
    assert admin.questions == 1


def test_a_row_of_a_table_below_counts_while_it_is_there(admin: Visitor, gateway: Gateway) -> None:
    page = admin.page
    open_first(page, f"{gateway.url}/admin/upstreams/upstream/")
    admin.stays = True
    page.locator("#deployments-group .add-row a").click()
    leave(page)
    expect(page.locator("#deployments-group .inline-deletelink")).to_be_visible()
    assert admin.questions == 1
    page.locator("#deployments-group .inline-deletelink").click()
    leave(page)
    expect_left(page)
    assert admin.questions == 1


def test_what_is_answered_in_place_saves_nothing(admin: Visitor, gateway: Gateway) -> None:
    page = admin.page
    page.goto(f"{gateway.url}/admin/upstreams/upstream/add/")
    page.get_by_label("URL", exact=True).fill("nonsense")
    page.get_by_role("button", name="Check the server").click()
    expect(page.locator("#check-answer p").first).to_be_visible()
    leave(page)
    expect_left(page)
    assert admin.questions == 1


def test_searches_and_choices_of_lists_are_left_without_a_question(admin: Visitor, gateway: Gateway) -> None:
    page = admin.page
    page.goto(f"{gateway.url}/admin/keys/virtualkey/")
    page.locator("#searchbar").fill("support")
    page.locator("input.action-select").first.check()
    leave(page)
    expect_left(page)
    page.goto(f"{gateway.url}/admin/keys/virtualkey/add/")
    finder = page.get_by_label("Find a model")
    if finder.count():
        finder.fill("llama")
    leave(page)
    expect_left(page)
    page.goto(f"{gateway.url}/admin/playground/")
    page.locator("textarea").first.fill("Which way is the sea?")
    leave(page)
    expect_left(page)
    assert admin.questions == 0
