"""Usage as a browser shows it: days of UTC wherever one is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import PASSWORD
from tests.browser.visitor import Visitor
from tests.support.gateway import Gateway


@pytest.fixture
def in_los_angeles(browser: Browser, gateway: Gateway) -> Iterator[Visitor]:
    """An admin for whom a day of UTC begins on the day before."""
    context = browser.new_context(timezone_id="America/Los_Angeles", locale="en-GB", reduced_motion="reduce")
    visitor = Visitor(context)
    visitor.sign_in(gateway.url, PASSWORD)
    yield visitor
    context.close()
    assert not visitor.complaints, visitor.complaints


@pytest.mark.parametrize(
    ("step", "told", "figure"),
    [("day", "%-d %b %Y", "%-d %b %Y"), ("week", "Week from %-d %b %Y", "%-d %b %Y"), ("month", "%b %Y", "%B %Y")],
)
def test_a_chart_of_utc_days_tells_them_so_in_every_zone(
    in_los_angeles: Visitor, gateway: Gateway, step: str, told: str, figure: str
) -> None:
    page = in_los_angeles.page
    page.goto(f"{gateway.url}/admin/usage/?range=90d&step={step}")
    starts = json.loads(page.locator("#usage-chart-data").inner_text())["x"]
    last = datetime.fromtimestamp(starts[-1], UTC)
    page.locator(".chart-stage").focus()
    page.keyboard.press("End")
    expect(page.locator(".chart-tip strong")).to_have_text(last.strftime(told).replace("Sep ", "Sept "))
    page.get_by_text("Figures").click()
    expect(page.locator(".chart-figures tbody th").first).to_have_text(last.strftime(figure))
