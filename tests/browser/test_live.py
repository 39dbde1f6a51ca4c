"""Pages that keep themselves up to date, and charts by keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import PASSWORD
from tests.browser.visitor import Visitor
from tests.support.gateway import Gateway
from tests.support.patience import wait_for

NO_NEWS = re.compile(r"^No news since \d\d:\d\d:\d\d; trying again\.$")


@pytest.fixture
def admin(visitor: Visitor, gateway: Gateway) -> Visitor:
    visitor.sign_in(gateway.url, PASSWORD)
    visitor.expect_lost_connections()
    visitor.page.clock.install()
    return visitor


def open_upstream(page: Page, gateway: Gateway) -> None:
    page.goto(f"{gateway.url}/admin/upstreams/upstream/")
    page.locator("#result_list tbody th a").first.click()
    expect(page.get_by_role("heading", name="Now", exact=True)).to_be_visible()


def open_home(page: Page, gateway: Gateway) -> None:
    page.goto(f"{gateway.url}/admin/")


def soon(page: Page, look: Callable[[], bool]) -> None:
    """Lets the page's clock go on in steps, with time for its requests: they are given up after ten of its seconds."""

    def goes_on() -> bool:
        page.clock.run_for(1_000)
        return look()

    wait_for(goes_on, every=0.2)


@pytest.mark.parametrize(("open_page", "parts"), [(open_home, 4), (open_upstream, 1)])
def test_a_page_that_gets_no_news_says_so_and_mends_itself(
    admin: Visitor, gateway: Gateway, open_page: Callable[[Page, Gateway], None], parts: int
) -> None:
    page = admin.page
    open_page(page, gateway)
    live = re.compile(r"/admin/(home/(?!chart)|upstreams/upstream/\d+/now/)")
    page.route(live, lambda route: route.abort())
    page.clock.run_for(3_100)
    expect(page.locator(".stale-note")).to_have_text([NO_NEWS])
    page.evaluate("dispatchEvent(new Event('online'))")  # all parts ask at once
    expect(page.locator("[data-stale]")).to_have_count(parts)
    expect(page.locator(".stale-note")).to_have_text([NO_NEWS])  # once, however many parts there are
    page.unroute(live)
    soon(page, lambda: page.locator("[data-stale]").count() == 0)
    expect(page.locator(".stale-note")).to_have_count(0)


def test_a_part_that_alone_is_slow_says_so_and_waits_for_its_turn(admin: Visitor, gateway: Gateway) -> None:
    page = admin.page
    held: list[Route] = []
    page.route("**/admin/home/upstreams/", lambda route: held.append(route))
    open_home(page, gateway)
    with page.expect_request("**/admin/home/upstreams/"):
        page.clock.run_for(5_100)
    for _ in range(2):  # others are answered while it waits; who asks again has noted the answer before
        with page.expect_response("**/admin/home/figures/"):
            page.clock.run_for(3_100)
    held[0].abort()
    expect(page.locator(".stale-note")).to_have_text([re.compile(r"^Not brought up to date since \d\d:\d\d:\d\d; ")])
    with page.expect_response("**/admin/home/figures/"):
        page.clock.run_for(3_100)
    assert len(held) == 1


def test_a_control_plane_that_is_away_is_no_news_either(admin: Visitor, gateway: Gateway) -> None:
    page = admin.page
    admin.expect(502)
    open_upstream(page, gateway)
    page.route("**/now/", lambda route: route.fulfill(status=502, body="{}"))
    page.clock.run_for(3_100)
    expect(page.locator(".stale-note")).to_have_text([NO_NEWS])


def test_who_is_signed_out_is_told_so(admin: Visitor, gateway: Gateway) -> None:
    page = admin.page
    open_upstream(page, gateway)
    page.context.clear_cookies()
    page.clock.run_for(3_100)
    expect(page.locator(".stale-note")).to_contain_text("you are not signed in any more")


def test_what_has_the_focus_stays_and_is_still_watched(admin: Visitor, gateway: Gateway) -> None:
    page = admin.page
    open_home(page, gateway)
    link = page.locator("[data-live] a").first
    link.focus()
    page.route("**/admin/home/figures/", lambda route: route.fulfill(body="new", content_type="text/plain"))
    with page.expect_response("**/admin/home/figures/"):
        page.clock.run_for(3_100)
    expect(link).to_be_focused()
    page.get_by_role("link", name="Keys", exact=True).first.focus()
    soon(page, lambda: page.locator("[data-live]").first.inner_text() == "new")


def test_a_chart_and_its_figures_are_read_by_keyboard(admin: Visitor, gateway: Gateway) -> None:
    page = admin.page
    open_home(page, gateway)
    stage, spoken = page.locator("#day .chart-stage"), page.locator("#day [aria-live=polite]")
    expect(stage).to_be_visible()
    page.locator("#day a").last.focus()
    page.keyboard.press("Tab")
    expect(stage).to_be_focused()
    page.keyboard.press("Home")
    first = spoken.inner_text()
    assert re.search(r"\d\d:\d\d\. .+: \d", first), first
    page.keyboard.press("ArrowRight")
    expect(spoken).not_to_have_text(first)
    expect(page.locator("#day .chart-tip")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(spoken).to_have_text(first)
    page.keyboard.press("Escape")
    expect(page.locator("#day .chart-tip")).to_be_hidden()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#day .chart-figures table")).to_be_visible()


def test_lines_of_a_chart_are_told_apart_without_their_colours(admin: Visitor, gateway: Gateway) -> None:
    open_upstream(admin.page, gateway)
    legend = admin.page.locator(".chart-legend li")
    expect(legend.first).to_be_visible()
    styles = legend.evaluate_all(
        "all => all.map(one => getComputedStyle(one, '::before')).map(one => [one.borderTopStyle, one.height].join())"
    )
    assert len(set(styles)) == len(styles) == 3


def test_a_chart_that_is_drawn_anew_keeps_the_focus_and_its_place(admin: Visitor, gateway: Gateway) -> None:
    page = admin.page
    open_home(page, gateway)
    page.locator("#day .chart-stage").focus()
    page.keyboard.press("Home")
    told = page.locator("#day .chart-tip").inner_text()
    page.route("**/admin/home/chart/**", _with_another_name)
    page.clock.run_for(30_100)
    expect(page.locator("#day .chart-legend")).to_contain_text("changed")
    expect(page.locator("#day .chart-stage")).to_be_focused()
    expect(page.locator("#day .chart-tip strong")).to_have_text(told.splitlines()[0])


def _with_another_name(route: Route) -> None:
    answer = route.fetch()
    data = answer.json()
    data["series"][0]["name"] = "changed"
    route.fulfill(response=answer, json=data)


def test_settings_are_found_as_one_types(admin: Visitor, gateway: Gateway) -> None:
    page = admin.page
    page.goto(f"{gateway.url}/admin/settings/")
    page.get_by_label("Find a setting").fill("data_dir")
    expect(page.locator(".settings-group:visible tbody tr:visible th code").first).to_have_text("GATEWAY_DATA_DIR")
    assert page.url.endswith("?q=data_dir")
    page.get_by_label("Find a setting").fill("no such setting")
    expect(page.locator(".settings-group:visible")).to_have_count(0)
    expect(page.get_by_role("status")).to_contain_text("0 of")
    page.get_by_label("Find a setting").fill("")
    page.get_by_label("Only changed ones").check()
    expect(page.locator("tbody tr:visible:not([data-changed])")).to_have_count(0)
