"""The frame of every page: the search that Ctrl+K opens, and the side menu that folds."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, expect

from tests.browser.conftest import PASSWORD
from tests.browser.test_pages import PHONE, look_at
from tests.browser.visitor import Visitor
from tests.support.gateway import Gateway

HOME_WIDTH = 1280


@pytest.fixture
def admin(visitor: Visitor, gateway: Gateway) -> Visitor:
    visitor.sign_in(gateway.url, PASSWORD)
    return visitor


@pytest.fixture
def asked(admin: Visitor) -> list[Request]:
    """What the page asks the server from now on, by itself."""
    requests: list[Request] = []
    admin.page.on("request", lambda request: requests.append(request) if request.method == "POST" else None)
    return requests


def search(page: Page) -> Locator:
    return page.get_by_role("combobox", name=re.compile("^Find"))


def option(page: Page, name: str | re.Pattern[str]) -> Locator:
    return page.get_by_role("option", name=name)


def chosen(page: Page) -> Locator:
    """The line that Enter would open, as a screen reader is told."""
    ident = search(page).get_attribute("aria-activedescendant")
    line = page.locator(f"#{ident}")
    expect(line).to_have_attribute("aria-selected", "true")
    return line


def sent(requests: list[Request]) -> list[str]:
    """What was asked for, by the bodies of the requests."""
    bodies = [request.post_data or "" for request in requests if request.url.endswith("/admin/find/")]
    return [parse_qs(body)["q"][0] if "q=" in body else _of_multipart(body) for body in bodies]


def _of_multipart(body: str) -> str:
    found = re.search(r'name="q"\r\n\r\n(.*?)\r\n', body)
    assert found is not None, body
    return found[1]


# --- The search -----------------------------------------------------------------------------------------------------


def test_a_page_is_found_and_opened_without_a_mouse(admin: Visitor) -> None:
    page = admin.page
    page.keyboard.press("Control+k")
    expect(search(page)).to_be_focused()
    pages = page.get_by_role("navigation", name="Pages").get_by_role("link").all_inner_texts()
    assert page.get_by_role("option").locator(".palette-name").all_inner_texts() == pages
    page.keyboard.type("te")
    expect(chosen(page)).to_contain_text("Teams")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Teams", exact=True)).to_be_visible()


def test_a_row_is_found_and_opened_and_is_there_again(admin: Visitor, asked: list[Request]) -> None:
    page = admin.page
    page.get_by_role("button", name="Search the admin").click()
    page.keyboard.type("support-")
    expect(option(page, re.compile("^support-assistant sk-"))).to_be_visible()
    expect(page.get_by_role("dialog").get_by_role("status")).to_have_text(re.compile(r"^\d+ found: Keys 2"))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    expect(chosen(page)).to_contain_text("support-summaries")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="support-summaries")).to_be_visible()
    assert sent(asked) == ["support-"]  # once, when the typing paused
    assert "support" not in page.url
    page.wait_for_load_state()  # a page can be seen before its scripts hear of keys
    page.keyboard.press("/")
    expect(page.get_by_role("group", name="Last opened").get_by_role("option")).to_have_text([re.compile("^support-s")])


def test_a_key_that_is_pasted_stays_in_the_browser(admin: Visitor, gateway: Gateway, asked: list[Request]) -> None:
    page = admin.page
    secret = gateway.make_key(key_alias="pasted-by-somebody")
    page.keyboard.press("Control+k")
    for text in (secret, f'curl -H "Authorization: Bearer {secret}" http://localhost', "sk-vgw-abc", "Bearer"):
        search(page).fill(text)
        expect(page.get_by_text("stays in this browser")).to_be_visible()
    search(page).fill(f" {secret}")
    page.keyboard.press("Enter")
    expect(search(page)).to_have_value(secret[-4:])
    expect(option(page, re.compile("pasted-by-somebody"))).to_be_visible()
    search(page).fill(f"sk-...{secret[-4:]}")  # as lists show it
    expect(page.get_by_text("stays in this browser")).to_be_hidden()
    expect(option(page, re.compile("pasted-by-somebody"))).to_be_visible()
    assert set(sent(asked)) == {secret[-4:]}
    page.keyboard.press("Escape")
    expect(search(page)).to_have_count(0)
    expect(page.locator("#palette-field")).to_have_value("")


def test_a_slash_opens_it_where_nobody_writes(admin: Visitor, gateway: Gateway) -> None:
    page = admin.page
    page.goto(f"{gateway.url}/admin/gateway/requestlog/")
    page.get_by_label("Model", exact=True).fill("org")
    page.keyboard.press("/")
    expect(page.get_by_label("Model", exact=True)).to_have_value("org/")
    opener = page.get_by_role("button", name="Search the admin")
    opener.focus()
    page.keyboard.press("/")
    expect(search(page)).to_be_focused()
    expect(search(page)).to_have_value("")
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()


def test_the_search_is_sound(admin: Visitor) -> None:
    page = admin.page
    page.keyboard.press("Control+k")
    look_at(admin)
    search(page).fill("a")
    search(page).fill("sk-0123456789abcdef")
    look_at(admin, briefly=True)
    page.set_viewport_size(PHONE)
    search(page).fill("llama")
    expect(option(page, re.compile("^llama"))).to_be_visible()
    box = page.get_by_role("dialog").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]
    look_at(admin)
    page.emulate_media(forced_colors="active")
    assert _background(page, "[role=option][aria-selected=true]") != _background(page, "[role=listbox]")


def _background(page: Page, selector: str) -> str:
    return str(page.locator(selector).first.evaluate("element => getComputedStyle(element).backgroundColor"))


def test_pages_are_found_while_the_server_is_silent_or_knows_nobody(admin: Visitor) -> None:
    page = admin.page
    admin.expect_lost_connections()
    page.route("**/admin/find/", lambda route: route.abort())
    page.keyboard.press("Control+k")
    search(page).fill("owne")
    status = page.get_by_role("dialog").get_by_role("status")
    expect(status).to_have_text("The gateway does not answer; only pages are found")
    expect(option(page, re.compile("^Owners"))).to_be_visible()
    page.unroute("**/admin/find/")
    page.context.clear_cookies()
    admin.expect(403)
    search(page).fill("owner")
    expect(status).to_have_text("You are no longer signed in. Reload the page")


# --- The side -------------------------------------------------------------------------------------------------------


def test_groups_of_the_side_stay_folded(admin: Visitor, gateway: Gateway) -> None:
    page = admin.page
    side = page.get_by_role("navigation", name="Pages")
    for name in ("Serving", "Callers"):
        side.get_by_role("button", name=name).focus()
        page.keyboard.press("Enter")
        expect(side.get_by_role("button", name=name)).to_have_attribute("aria-expanded", "false")
    expect(side.get_by_role("link", name="Upstreams")).to_be_hidden()
    page.goto(f"{gateway.url}/admin/upstreams/upstream/")
    expect(side.get_by_role("link", name="Upstreams")).to_be_visible()  # it is the page
    expect(side.get_by_role("link", name="Owners")).to_be_hidden()
    look_at(admin, briefly=True)
    side.get_by_role("button", name="Callers").click()
    page.goto(f"{gateway.url}/admin/usage/")
    expect(side.get_by_role("link", name="Owners")).to_be_visible()
    expect(side.get_by_role("link", name="Upstreams")).to_be_hidden()


def test_the_side_stays_away_and_a_phone_has_its_menu(admin: Visitor, gateway: Gateway) -> None:
    page = admin.page
    pages, button = page.get_by_role("navigation", name="Pages"), page.get_by_role("button", name="Side menu")
    before = page.locator("#content").bounding_box()
    button.click()
    expect(button).to_have_attribute("aria-expanded", "false")
    expect(pages).to_be_hidden()
    page.goto(f"{gateway.url}/admin/keys/virtualkey/")
    expect(pages).to_be_hidden()
    after = page.locator("#content").bounding_box()
    assert before is not None
    assert after is not None
    assert after["width"] == HOME_WIDTH > before["width"]
    look_at(admin)
    page.set_viewport_size(PHONE)
    page.get_by_role("button", name="Menu", exact=True).click()
    expect(pages).to_be_visible()
    page.set_viewport_size({"width": HOME_WIDTH, "height": 800})
    button.press("Enter")
    page.reload()
    expect(pages).to_be_visible()


def test_without_scripts_all_is_open_and_nothing_is_offered_in_vain(browser: Browser, gateway: Gateway) -> None:
    context = browser.new_context(java_script_enabled=False)
    visitor = Visitor(context)
    visitor.sign_in(gateway.url, PASSWORD)
    page = visitor.page
    links = page.get_by_role("navigation", name="Pages").get_by_role("link")
    assert links.count() > 10
    assert all(link.is_visible() for link in links.all())
    for name in ("Search the admin", "Side menu", "Serving"):
        assert page.get_by_role("button", name=name, exact=True).count() == 0
    context.close()
    assert not visitor.complaints, visitor.complaints
