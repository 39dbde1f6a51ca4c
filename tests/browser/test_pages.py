"""Every page that one can get to by links, in light and dark, on a wide screen and on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PASSWORD
from tests.browser.visitor import Visitor
from tests.support.gateway import Gateway

UNWALKED = re.compile(r"/(logout|jsi18n|export|download|csv|ndjson)/|\.(csv|ndjson|json)$|^/admin/(r|autocomplete)/")
ONE_OF_MANY = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|(?<=/)\d+(?=/)|(?<=/)[0-9a-f]{32}(?=/)")
SAME_FOR_ALL = re.compile(r"/(history|delete)/$")
PHONE, DESK = {"width": 390, "height": 800}, {"width": 1280, "height": 800}


def shape(path: str) -> str:
    """Pages of the same kind have the same shape: one of them is enough."""
    common = SAME_FOR_ALL.search(path)
    return common[0] if common else ONE_OF_MANY.sub("…", path)


def links(visitor: Visitor) -> Iterator[str]:
    """The paths below the admin that the page leads to."""
    found = visitor.page.eval_on_selector_all("a[href]", "all => all.map(one => one.href)")
    for address in map(urlsplit, found):
        if address.netloc == visitor.host and address.path.startswith("/admin/"):
            yield address.path


def look_at(visitor: Visitor, path: str) -> None:
    """Notes what is wrong with the page in any of its looks."""
    page = visitor.page
    for finding in visitor.findings():
        visitor.complain(finding)
    page.emulate_media(color_scheme="dark")
    for finding in visitor.findings(colours_only=True):
        visitor.complain(f"in dark, {finding}")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(PHONE)
    if visitor.is_wider_than_the_window():
        visitor.complain("is wider than a phone")
    page.set_viewport_size(DESK)
    if visitor.is_wider_than_the_window():
        visitor.complain("is wider than 1280 pixels")


@pytest.fixture
def admin(visitor: Visitor, gateway: Gateway) -> Visitor:
    visitor.sign_in(gateway.url, PASSWORD)
    return visitor


def test_every_page_is_sound(admin: Visitor, gateway: Gateway) -> None:
    waiting, seen = ["/admin/"], {shape("/admin/")}
    while waiting:
        path = waiting.pop(0)
        answer = admin.page.goto(gateway.url + path)
        assert answer is not None
        if answer.status != 200:
            admin.complain(f"{path} answers {answer.status}")
            continue
        look_at(admin, path)
        for found in links(admin):
            if shape(found) not in seen and not UNWALKED.search(found):
                seen.add(shape(found))
                waiting.append(found)
    assert len(seen) > 25, seen


def test_signing_in_is_sound(visitor: Visitor, gateway: Gateway) -> None:
    visitor.host = urlsplit(gateway.url).netloc
    visitor.page.goto(f"{gateway.url}/admin/login/")
    look_at(visitor, "/admin/login/")
    visitor.page.get_by_label("Username").fill("admin")
    visitor.page.get_by_label("Password").fill("wrong")
    visitor.page.get_by_role("button", name="Log in", exact=True).click()
    expect(visitor.page.get_by_text("Please enter the correct username")).to_be_visible()
    look_at(visitor, "/admin/login/")


def test_going_astray_is_sound(admin: Visitor, gateway: Gateway) -> None:
    admin.expect(404)
    admin.page.goto(f"{gateway.url}/admin/nowhere/")
    expect(admin.page.get_by_role("heading", name="Nothing is at this address")).to_be_visible()
    look_at(admin, "/admin/nowhere/")


def test_the_menu_of_a_phone_opens_and_closes(admin: Visitor, gateway: Gateway) -> None:
    admin.page.set_viewport_size(PHONE)
    pages = admin.page.get_by_role("navigation", name="Pages")
    assert not pages.is_visible()
    admin.page.get_by_role("button", name="Menu").click()
    pages.get_by_role("link", name="Keys").click()
    expect(admin.page.get_by_role("heading", name="Virtual keys")).to_be_visible()


def test_a_menu_closes_on_escape_and_its_button_has_the_focus_again(admin: Visitor, gateway: Gateway) -> None:
    menu = admin.page.locator(".user-menu summary")
    menu.focus()
    admin.page.keyboard.press("Enter")
    leave = admin.page.get_by_role("button", name="Log out")
    assert leave.is_visible()
    admin.page.keyboard.press("Tab")
    admin.page.keyboard.press("Escape")
    assert not leave.is_visible()
    assert menu.evaluate("element => element === document.activeElement")


def test_times_are_in_the_viewers_zone_and_in_utc_on_hover(admin: Visitor, gateway: Gateway) -> None:
    admin.page.goto(f"{gateway.url}/admin/keys/virtualkey/")
    time = admin.page.locator("#result_list time").first
    assert time.get_attribute("title", timeout=5000).endswith("UTC")  # type: ignore[union-attr]
    assert "UTC" not in time.inner_text()
