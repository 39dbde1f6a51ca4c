"""Usage as a browser shows it: days of UTC wherever one is, and names of any length."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import PASSWORD
from tests.browser.test_pages import DESK, PHONE
from tests.browser.visitor import Visitor
from tests.support.gateway import Gateway


@pytest.fixture
def admin(visitor: Visitor, gateway: Gateway) -> Visitor:
    visitor.sign_in(gateway.url, PASSWORD)
    return visitor


def test_a_chart_of_utc_days_tells_them_so_in_every_zone(browser: Browser, gateway: Gateway) -> None:
    context = browser.new_context(timezone_id="America/Los_Angeles", locale="en-GB", reduced_motion="reduce")
    visitor = Visitor(context)
    visitor.sign_in(gateway.url, PASSWORD)
    page = visitor.page
    words = {
        "day": ("%-d %b %Y", "%-d %b %Y"),
        "week": ("Week from %-d %b %Y", "%-d %b %Y"),
        "month": ("%b %Y", "%B %Y"),
    }
    for step, (told, figure) in words.items():
        page.goto(f"{gateway.url}/admin/usage/?range=90d&step={step}")
        starts = json.loads(page.locator("#usage-chart-data").inner_text())["x"]
        last = datetime.fromtimestamp(starts[-1], UTC)  # in Los Angeles this is the day before
        page.locator(".chart-stage").focus()
        page.keyboard.press("End")
        expect(page.locator(".chart-tip strong")).to_have_text(last.strftime(told).replace("Sep ", "Sept "))
        page.get_by_text("Figures").click()
        expect(page.locator(".chart-figures tbody th").first).to_have_text(last.strftime(figure))
    context.close()
    assert not visitor.complaints, visitor.complaints


def test_a_long_name_does_not_widen_a_chart(admin: Visitor, gateway: Gateway) -> None:
    page = admin.page
    for by in ("key", "model"):
        page.goto(f"{gateway.url}/admin/usage/?by={by}")
        for size in (PHONE, DESK):
            page.set_viewport_size(size)
            page.locator(".chart-stage").focus()
            page.keyboard.press("End")
            expect(page.locator(".chart-tip > .series-1")).to_have_text(re.compile(r"^(.)\1+: 9,000,000 tokens$"))
            assert not admin.is_wider_than_the_window(), (by, size)


def test_a_long_name_does_not_widen_what_is_told_of_its_key(admin: Visitor, gateway: Gateway) -> None:
    page = admin.page
    [key] = gateway.query("SELECT id, name FROM keys_virtualkey WHERE name LIKE 'kkkk%'")
    of_key = f"keys/virtualkey/{key['id']}"
    check = f"policy-check/?key={key['name']}&method=POST&route=/v1/models&model=m"
    for path in (f"{of_key}/change/", f"{of_key}/delete/", check, "usage/statement/"):
        page.goto(f"{gateway.url}/admin/{path}")
        expect(page.locator("#content")).to_contain_text(re.compile(r"([kT])\1{199}"))
        for size in (PHONE, DESK):
            page.set_viewport_size(size)
            assert not admin.is_wider_than_the_window(), (path, size)


def test_a_statement_has_the_whole_width_of_its_paper(admin: Visitor, gateway: Gateway) -> None:
    page = admin.page
    page.goto(f"{gateway.url}/admin/usage/statement/")
    page.emulate_media(media="print")
    for width in (680, 794, 1009):  # A4 with our margins, without any, and turned
        page.set_viewport_size({"width": width, "height": 800})
        boxes = [page.locator(name).first.bounding_box() for name in (".statement", ".statement .usage-table")]
        assert [(box["x"], box["width"]) for box in boxes if box] == [(0, width)] * 2
