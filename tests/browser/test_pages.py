"""Every page that the admin has addresses for, or that links lead to, in light and dark, on a desk and on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.addresses import addresses, part_of, parts, tables
from tests.browser.conftest import PASSWORD
from tests.browser.visitor import Visitor
from tests.support.gateway import Gateway

UNWALKED = re.compile(r"/(logout|jsi18n|export|download|csv|ndjson)/|\.(csv|ndjson|json)$|^/admin/(r|autocomplete)/")
ONE_OF_MANY = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|(?<=/)\d+(?=/)|(?<=/)[0-9a-f]{32}(?=/)")
SAME_FOR_ALL = re.compile(r"/(history|delete|block|unblock|reset_spend)/$")
NO_ROW_OF_THEIR_OWN = re.compile(r"^/admin/r/")
BESIDE_THE_ADMIN = ["/me/", "/api/docs/"]
PHONE, DESK = {"width": 390, "height": 800}, {"width": 1280, "height": 800}


def shape(path: str) -> str:
    """Pages of the same kind have the same shape: one of them is enough."""
    return ONE_OF_MANY.sub("…", path)


def links(visitor: Visitor) -> Iterator[str]:
    """The paths below the admin that the page leads to."""
    found = visitor.page.eval_on_selector_all("a[href]", "all => all.map(one => one.href)")
    for address in map(urlsplit, found):
        if address.netloc == visitor.host and address.path.startswith("/admin/"):
            yield address.path


def look_at(visitor: Visitor, *, briefly: bool = False) -> None:
    """Notes what is wrong with the page in any of its looks; `briefly` in the first of them only."""
    page = visitor.page
    for finding in visitor.findings():
        visitor.complain(finding)
    if briefly:
        return
    page.emulate_media(color_scheme="dark")
    for finding in visitor.findings(all_else=False):
        visitor.complain(f"in dark, {finding}")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(PHONE)
    if visitor.is_wider_than_the_window():
        visitor.complain("is wider than a phone")
    for finding in visitor.findings(colours=False):
        visitor.complain(f"on a phone, {finding}")
    page.set_viewport_size(DESK)
    if visitor.is_wider_than_the_window():
        visitor.complain("is wider than 1280 pixels")


@pytest.fixture
def admin(visitor: Visitor, gateway: Gateway) -> Visitor:
    visitor.sign_in(gateway.url, PASSWORD)
    return visitor


def is_page(visitor: Visitor, url: str) -> bool:
    """Whether there is a page at the URL, and not a redirect, a refusal, a fragment or a file. Notes what fails."""
    answer = visitor.page.request.get(url, max_redirects=0)
    path = urlsplit(url).path
    if answer.status >= 500 or (answer.status == 404 and not NO_ROW_OF_THEIR_OWN.search(path)):
        visitor.complain(f"{path} answers {answer.status}")
    return answer.status == 200 and answer.body().lstrip()[:15].lower() == b"<!doctype html>"


@pytest.mark.parametrize("part", parts())
def test_every_page_is_sound(admin: Visitor, gateway: Gateway, part: str) -> None:
    """One part of the admin at a time, so that no test takes long."""
    waiting = [path for path in [*addresses(gateway), *BESIDE_THE_ADMIN] if part_of(path) == part]
    seen, looked_at, kinds = {shape(path) for path in waiting}, set(), set()
    while waiting:
        path = waiting.pop(0)
        if not is_page(admin, gateway.url + path):
            continue
        admin.page.goto(gateway.url + path)
        looked_at.add(path)
        kind = SAME_FOR_ALL.search(path)
        look_at(admin, briefly=kind is not None and kind[0] in kinds)
        kinds.add(kind[0] if kind else "")
        for found in links(admin):
            if part_of(found) == part and shape(found) not in seen and not UNWALKED.search(found):
                seen.add(shape(found))
                waiting.append(found)
    assert looked_at
    below = [table for table in tables() if part_of(table) == part]
    assert not [table for table in below if not any(path.startswith(table) for path in looked_at)]


def test_every_question_before_an_action_is_sound(admin: Visitor, gateway: Gateway) -> None:
    """All actions of all lists, for their first row. The few that ask nothing undo each other, or change nothing."""
    asked = set()
    for path in tables():
        admin.page.goto(gateway.url + path)
        named = admin.page.locator("select[name=action] option").evaluate_all("all => all.map(one => one.value)")
        for action in filter(None, named):
            admin.page.goto(gateway.url + path)
            admin.page.locator("input.action-select").first.check()
            admin.page.locator("select[name=action]").select_option(action)
            admin.page.get_by_role("button", name="Go").click()
            if admin.page.locator("input[name=post], .errornote").count():
                look_at(admin, briefly=bool(asked))
                asked.add((path, action))
    assert len(asked) >= 10, asked


def test_signing_in_is_sound(visitor: Visitor, gateway: Gateway) -> None:
    visitor.page.goto(f"{gateway.url}/admin/login/")
    look_at(visitor)
    visitor.page.get_by_label("Username").fill("admin")
    visitor.page.get_by_label("Password").fill("wrong")
    visitor.page.get_by_role("button", name="Log in", exact=True).click()
    expect(visitor.page.get_by_text("The name or the password is wrong")).to_be_visible()
    look_at(visitor)


def test_going_astray_is_sound(admin: Visitor, gateway: Gateway) -> None:
    admin.expect(404)
    admin.page.goto(f"{gateway.url}/admin/nowhere/")
    expect(admin.page.get_by_role("heading", name="Nothing is at this address")).to_be_visible()
    look_at(admin)


def test_the_menu_of_a_phone_opens_and_closes(admin: Visitor, gateway: Gateway) -> None:
    admin.page.set_viewport_size(PHONE)
    pages = admin.page.get_by_role("navigation", name="Pages")
    expect(pages).to_be_hidden()
    admin.page.get_by_role("button", name="Menu").click()
    pages.get_by_role("link", name="Keys").click()
    expect(admin.page.get_by_role("heading", name="Virtual keys")).to_be_visible()


def test_a_menu_closes_on_escape_and_its_button_has_the_focus_again(admin: Visitor, gateway: Gateway) -> None:
    menu = admin.page.locator(".user-menu summary")
    menu.focus()
    admin.page.keyboard.press("Enter")
    leave = admin.page.get_by_role("button", name="Log out")
    expect(leave).to_be_visible()
    admin.page.keyboard.press("Tab")
    admin.page.keyboard.press("Escape")
    expect(leave).to_be_hidden()
    expect(menu).to_be_focused()


def test_times_are_in_the_viewers_zone_and_in_utc_on_hover(admin: Visitor, gateway: Gateway) -> None:
    admin.page.goto(f"{gateway.url}/admin/keys/virtualkey/")
    time = admin.page.locator("#result_list time").first
    expect(time).to_have_attribute("title", re.compile("UTC$"))
    assert "UTC" not in time.inner_text()


def test_what_is_wrong_in_a_form_is_unfolded_and_has_the_focus(admin: Visitor, gateway: Gateway) -> None:
    admin.page.goto(f"{gateway.url}/admin/keys/virtualkey/add/")
    admin.page.locator("#id_name").fill("wrong")
    networks = admin.page.locator("#id_allowed_ips")
    networks.evaluate("field => { field.value = 'nowhere'; field.form.noValidate = true; }")
    admin.page.locator("[name=_save]").click()
    expect(networks).to_be_focused()
    expect(networks).to_be_visible()


def test_a_slash_leads_to_the_search(admin: Visitor, gateway: Gateway) -> None:
    admin.page.goto(f"{gateway.url}/admin/keys/virtualkey/")
    admin.page.keyboard.press("/")
    admin.page.keyboard.type("a/b")
    expect(admin.page.get_by_role("searchbox")).to_have_value("a/b")


def test_the_address_of_a_filtered_list_of_calls_holds_what_is_set_alone(admin: Visitor, gateway: Gateway) -> None:
    calls = f"{gateway.url}/admin/gateway/requestlog/"
    admin.page.goto(calls)
    admin.page.get_by_role("combobox", name="Route").fill("embeddings")
    admin.page.keyboard.press("Enter")
    admin.page.wait_for_url(f"{calls}?route=embeddings")


def test_a_row_is_a_card_on_a_phone(admin: Visitor, gateway: Gateway) -> None:
    admin.page.set_viewport_size(PHONE)
    admin.page.goto(f"{gateway.url}/admin/keys/virtualkey/")
    row = admin.page.locator("#result_list tbody tr").first
    assert row.locator("td[data-label=State]").count() == 1
    boxes = [cell.bounding_box() for cell in row.locator("td").all()]
    assert all(box is not None and box["x"] < PHONE["width"] for box in boxes)


def test_the_filters_of_the_log_are_folded_on_a_phone(admin: Visitor, gateway: Gateway) -> None:
    admin.page.goto(f"{gateway.url}/admin/gateway/requestlog/?status=4")
    status = admin.page.get_by_label("Status")
    expect(status).to_be_visible()
    admin.page.set_viewport_size(PHONE)
    expect(status).to_be_hidden()
    expect(admin.page.get_by_label("Request id, call id, key or end user")).to_be_visible()
    admin.page.get_by_text("More filters").click()
    expect(status).to_have_value("4")
    admin.page.set_viewport_size(DESK)
    expect(status).to_be_visible()


@pytest.mark.parametrize("width", [PHONE["width"], 1100, DESK["width"]])
def test_every_field_of_a_deployment_can_be_reached(admin: Visitor, gateway: Gateway, width: int) -> None:
    admin.page.goto(f"{gateway.url}/admin/upstreams/upstream/")
    admin.page.locator("#result_list tbody th a").first.click()
    admin.page.set_viewport_size({"width": width, "height": 800})
    card = admin.page.locator("#deployments-group .form-row:not(.empty-form)").first
    group = admin.page.locator("#deployments-group").bounding_box()
    boxes = [one.bounding_box() for one in card.locator("input:not([type=hidden])").all()]
    assert group is not None
    assert len(boxes) == 12
    assert all(box is not None and box["x"] + box["width"] <= group["x"] + group["width"] for box in boxes)


def test_a_budget_of_nothing_waits_for_no_price(admin: Visitor, gateway: Gateway) -> None:
    admin.page.goto(f"{gateway.url}/admin/keys/virtualkey/add/")
    admin.page.locator("details:has([name=max_budget])").evaluate_all("all => all.forEach(one => one.open = true)")
    admin.page.locator("[name=models]").fill("nobody-serves-this")
    warning, budget = admin.page.locator("[data-price-warning]"), admin.page.locator("[name=max_budget]")
    budget.fill("5")
    expect(warning).to_be_visible()
    budget.fill("0.00")
    expect(warning).to_be_hidden()
